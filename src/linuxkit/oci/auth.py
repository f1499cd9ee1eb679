"""Who we are to a registry: the user's logins, challenges, and the tokens that answer them.

A login is used for the registry it was stored for and nobody else; when to ask is left to
:mod:`linuxkit.oci.registry`.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from linuxkit.base import proc
from linuxkit.base.errors import Error, printable
from linuxkit.net import http
from linuxkit.net import url as urls

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HUB_KEY = "https://index.docker.io/v1/"  # what Docker files its own registry's login under
_TOKEN_USER = "<token>"  # noqa: S105 - the name that says that a refresh token follows
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_S = 60.0
_SENT = re.compile(r"[^\x00-\x1f\x7f]+")  # what a login may hold
_SENT_ALONE = re.compile(r"[!-~]+")  # what a token may
_CHALLENGE_LIMIT = 8 << 10  # characters of a WWW-Authenticate header
_REPLY_LIMIT = 1 << 20  # bytes of a token server's answer
_CONFIG_LIMIT = 4 << 20  # bytes of config.json

# RFC 9110, section 11.6.1: a scheme, or a parameter whose value is a token or a quoted string.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's word
_PART = re.compile(
    rf'\s*,?\s*(?:({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))|({_TOKEN})(?=\s|,|$))'
)


class Login(NamedTuple):
    """A name with a password; or a token, that buys others ("refresh") or is sent as it is."""

    user: str
    secret: str
    kind: str = "basic"  # or "refresh" or "bearer"

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"

    def header(self) -> str:
        """The value of the Authorization header (RFC 7617, RFC 6750)."""
        if self.kind == "bearer":
            return f"Bearer {self.secret}"
        plain = f"{self.user}:{self.secret}".encode()
        return "Basic " + base64.b64encode(plain).decode()


class Challenge(NamedTuple):
    """What a registry wants to see: ``scheme`` is "basic" or "bearer"."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


class Keychain:
    """The user's logins: those ``given``, then those of files, and of the helpers these name.

    The files are Docker's ``config.json`` and the ``auth.json`` of podman, skopeo and buildah
    (containers-auth.json(5)), or ``path`` alone.
    """

    def __init__(
        self, path: Path | None = None, given: Mapping[str, Login] = MappingProxyType({})
    ) -> None:
        self._given = given
        self._files = tuple(map(_File, [path] if path else default_files()))

    def login(self, host: str, repository: str = "") -> Login | None:
        """The login for the registry ``host`` (with its port, if it has one); None without.

        One for the repository, or a part of the registry that it lies in, comes before one for the
        whole.  Raises LK0326 (a file is damaged), LK0901 to LK0903 (a helper is missing or failed).
        """
        names = HUB_HOSTS if host in HUB_HOSTS else (host,)
        for name in names:
            if name in self._given:
                return self._given[name]
        for file in self._files:
            found = file.login(host, repository)
            if found:
                return found
        return None


class _File:
    """A file of logins; read when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config: Mapping[str, Any] | None = None

    def login(self, host: str, repository: str) -> Login | None:
        if self._config is None:
            self._config = _load(self._path)
        key = _HUB_KEY if host in HUB_HOSTS else host
        helpers = self._object("credHelpers")
        names = (*HUB_HOSTS, _HUB_KEY) if host in HUB_HOSTS else (host,)
        helper = next((helpers[name] for name in names if name in helpers), None)
        helper = helper or self._config.get("credsStore")
        found = _ask_helper(str(helper), key) if helper else None
        return found or self._stored(host, repository)

    def _stored(self, host: str, repository: str) -> Login | None:
        best: tuple[int, Login] | None = None
        for key, entry in self._object("auths").items():
            name, part = _place_of(key)
            same = name == host or (host in HUB_HOSTS and name in HUB_HOSTS)
            if same and (not part or f"{repository}/".startswith(f"{part}/")):
                login = _login(entry, f"{self._path}: auths: {printable(key)}")
                if login and (best is None or len(part) > best[0]):
                    best = len(part), login
        return best[1] if best else None

    def _object(self, name: str) -> Mapping[str, Any]:
        value = (self._config or {}).get(name) or {}
        if not isinstance(value, dict):
            raise _damaged(f'{self._path}: "{name}" is not an object')
        return value


def default_files() -> tuple[Path, ...]:
    """Where logins are looked for, in order.

    ``$REGISTRY_AUTH_FILE`` alone if it is set.  Else ``$DOCKER_CONFIG/config.json`` or
    ``~/.docker/config.json``, as the Go tool does, then ``containers/auth.json`` in
    ``$XDG_RUNTIME_DIR`` (else ``/run/containers/UID/auth.json``) and in ``~/.config``.
    """
    only = os.environ.get("REGISTRY_AUTH_FILE")
    if only:
        return (Path(only),)
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - must not fail without a home
    docker = os.environ.get("DOCKER_CONFIG")
    running = os.environ.get("XDG_RUNTIME_DIR")
    passing = Path(running, "containers") if running else Path(f"/run/containers/{os.getuid()}")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return (
        (Path(docker) if docker else home / ".docker") / "config.json",
        passing / "auth.json",
        config / "containers" / "auth.json",
    )


def given(text: str) -> tuple[str, Login]:
    """The registry and the login in ``REGISTRY=USER:PASSWORD`` or ``REGISTRY=TOKEN``.

    Raises LK0332, which shows nothing of what may be secret.
    """
    registry, _, rest = text.partition("=")
    host, part = _place_of(registry)
    user, colon, secret = rest.partition(":")
    sendable = _SENT if colon else _SENT_ALONE
    if not host or part or not user or (colon and not secret) or not sendable.fullmatch(rest):
        at = f" for {printable(host)}" if rest and host else ""
        raise Error(
            "LK0332",
            f"what is given{at} is no login for a registry",
            hint="write REGISTRY=USER:PASSWORD or REGISTRY=TOKEN",
        )
    return host, Login(user, secret) if colon else Login("", user, "bearer")


def challenges(header: str) -> tuple[Challenge, ...]:
    """Read a ``WWW-Authenticate`` header; what is not understood is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    text = header[:_CHALLENGE_LIMIT]
    while match := _PART.match(text, at):
        at = match.end()
        name, quoted, plain, scheme = match.groups()
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
    return tuple(
        Challenge(scheme, *(values.get(name, "") for name in ("realm", "service", "scope")))
        for scheme, values in found
        if scheme in {"basic", "bearer"}
    )


def token(
    transport: http.Transport,
    challenge: Challenge,
    registry: str,
    login: Login | None,
    trusted: Collection[str] = (),
) -> str:
    """Buy a token from the realm that the registry at ``registry`` (HOST[:PORT]) names.

    The realm must lie on the registry's own host, a neighbour of it or a ``trusted`` host.  Raises
    LK0322 (it does not), LK0321 (refused), LK0324 (no answer that can be used), LK041x.
    """
    url = _realm(challenge, registry, trusted)
    service = [("service", challenge.service)] if challenge.service else []
    asking = http.Asking()
    if login and login.kind == "refresh":
        form = [("grant_type", "refresh_token"), ("client_id", "linuxkit"), *service]
        form += [("scope", challenge.scope)]
        body = urlencode([*form, ("refresh_token", login.secret)]).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        asking = http.Asking(kind, "POST", lambda: io.BytesIO(body), len(body))
    else:
        asked = [*service, *(("scope", scope) for scope in challenge.scope.split())]
        url += ("&" if urlsplit(url).query else "?") + urlencode(asked)
        if login:
            asking = http.Asking({"Authorization": login.header()})
    try:
        body = transport.ask(url, asking, limit=_REPLY_LIMIT).body
    except http.Refused as refused:
        who = f'the login of "{printable(login.user)}"' if login else "a request without a login"
        raise Error(
            "LK0321",
            f"{registry}: its token server {urls.shown(url)} refused {who} (HTTP {refused.status})",
            hint="log in with `docker login` or `skopeo login`",
        ) from refused
    return _token_of(body, url)


def neighbours(one: str, other: str) -> bool:
    """Whether two host names belong to one owner, as far as names can tell.

    They are equal, or share their last two labels; three under two-letter domains that are
    divided by use, such as co.uk.  Addresses are neighbours of themselves alone.
    """
    if one == other:
        return True
    a, b = one.lower().split("."), other.lower().split(".")
    last = a[-1]
    if ":" in one or last.isdigit() or len(a) < 2 or len(b) < 2:  # noqa: PLR2004
        return False
    divided = len(last) == 2 and len(a[-2]) <= 3  # noqa: PLR2004 - co.uk, com.au
    count = 3 if divided and len(a) > 2 else 2  # noqa: PLR2004
    return a[-count:] == b[-count:]


def _realm(challenge: Challenge, registry: str, trusted: Collection[str]) -> str:
    """The URL of the token server, checked."""
    split = urls.parts(challenge.realm)
    host = split.hostname or ""
    if split.scheme not in ("http", "https") or not host or "@" in split.netloc:
        raise Error(
            "LK0324",
            f'{registry} names "{printable(challenge.realm)}" as its token server, which is no URL',
        )
    if host not in trusted and not neighbours(urlsplit(f"//{registry}").hostname or "", host):
        raise Error(
            "LK0322",
            f"{registry} sends us to {printable(host)} for a token, which is another owner's host",
            hint=f"if that is right, set LINUXKIT_TOKEN_HOSTS={printable(host)}",
        )
    return challenge.realm


def _token_of(body: bytes, url: str) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    found = None
    if isinstance(value, dict):
        found = value.get("token") or value.get("access_token")
    if not isinstance(found, str) or not _SENT_ALONE.fullmatch(found):
        raise Error("LK0324", f"the token server {urls.shown(url)} answered without a token")
    return found


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_CONFIG_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _damaged(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"{path} is not JSON") from error
    if not isinstance(value, dict):
        raise _damaged(f"{path} is not a JSON object")
    return value


def _login(entry: object, at: str) -> Login | None:
    if not isinstance(entry, dict):
        raise _damaged(f"{at} is not an object")
    texts: dict[str, str] = {k: v for k, v in entry.items() if isinstance(v, str) and v}
    user: str = texts.get("username", "")
    secret: str = texts.get("password", "")
    if "auth" in texts:
        try:
            plain = base64.b64decode(texts["auth"], validate=True).decode().rstrip("\0")
        except (binascii.Error, UnicodeDecodeError):
            raise _damaged(f"{at}: auth is not base64") from None
        user, _, secret = plain.partition(":")
    if "identitytoken" in texts:
        return Login(user, texts["identitytoken"], "refresh")
    if "registrytoken" in texts:
        return Login(user, texts["registrytoken"], "bearer")
    return Login(user, secret) if user else None


def _ask_helper(helper: str, key: str) -> Login | None:
    """Docker's credential helper protocol: the key on standard input, JSON on standard output."""
    if not _HELPER.fullmatch(helper):
        raise _damaged(f'"{printable(helper)}" is not the name of a credential helper')
    program = f"docker-credential-{helper}"
    try:
        done = proc.run(
            [program, "get"], stdin=key.encode(), env=os.environ, timeout_s=_HELPER_S
        )  # fmt: skip
    except Error as error:
        if "credentials not found" in error.detail:  # the words that helpers have agreed on
            return None
        raise
    try:
        value = json.loads(done.stdout)
        user, secret = str(value["Username"]), str(value["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _damaged(f"{program} answered something else than a login") from None
    kind = "refresh" if user == _TOKEN_USER else "basic"
    return Login(user, secret, kind) if user and secret else None


def _place_of(key: str) -> tuple[str, str]:
    """The registry that an entry is for, and the part of it; "" for the whole."""
    rest = key.partition("://")[2] or key
    host, _, path = rest.partition("/")
    part = path.strip("/")
    return host, "" if part in ("v1", "v2") else part


def _damaged(message: str) -> Error:
    return Error("LK0326", message, hint="mend it, or log in again")


def listed(variable: str) -> tuple[str, ...]:
    """What an environment variable lists, separated by commas or white space."""
    return tuple(word for word in re.split(r"[\s,]+", os.environ.get(variable, "")) if word)
