"""Access to registries: which host stands for one, over what, and with whose login.

Mirrors, plain HTTP and certificates are decided here; who we are is the business of
:mod:`linuxkit.oci.auth`, what is asked that of :mod:`linuxkit.oci.registry`, and how bytes travel
that of :mod:`linuxkit.net.http`.
"""

from __future__ import annotations

import json
import os
import re
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from linuxkit.base.errors import Error, printable
from linuxkit.net import http
from linuxkit.net import url as urls
from linuxkit.net.patience import Settings
from linuxkit.oci import auth
from linuxkit.oci.auth import HUB_HOSTS, Keychain, Login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from urllib.parse import SplitResult

    from linuxkit.oci.ref import Ref

_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_ANY = "*"
_CREDS = "LINUXKIT_REGISTRY_CREDS"
_PING_LIMIT = 64 << 10
_UNREACHED = ("LK0410", "LK0416", "LK0419")
_WHO = 401
_T = TypeVar("_T")


class Options(NamedTuple):
    """How registries are reached."""

    mirrors: Mapping[str, str]  # registry, or "*" for all others, to the URL of its mirror
    certs: tuple[str, ...] = ()  # files of certificates to trust besides the system's
    insecure: frozenset[str] = frozenset()  # HOST or HOST:PORT that may be asked without TLS
    token_hosts: frozenset[str] = frozenset()  # hosts that any registry may send us to for tokens
    settings: Settings = Settings()
    logins: Mapping[str, Login] = MappingProxyType({})  # registry to what goes before stored logins
    chunk: int = 32 << 20  # bytes of a blob that are sent at a time


def options(
    mirrors: Iterable[str] = (), certs: Iterable[str] = (), logins: Iterable[str] = ()
) -> Options:
    """Options of texts like ``docker.io=https://mirror.example``, and of the environment.

    ``logins`` are texts like ``ghcr.io=USER:PASSWORD``.  The environment's LINUXKIT_MIRROR and
    LINUXKIT_REGISTRY_CREDS come first, so that ``mirrors`` and ``logins`` win; then there are
    LINUXKIT_INSECURE_REGISTRIES and LINUXKIT_TOKEN_HOSTS.  Raises LK0325 for what is no mirror,
    LK0332 for what is no login.
    """
    found: dict[str, str] = {}
    for text in (*auth.listed("LINUXKIT_MIRROR"), *mirrors):
        name, url = _mirror(text)
        found.update(dict.fromkeys(HUB_HOSTS if name == _HUB else (name,), url))
    plain = (urlsplit(url).netloc for url in found.values() if url.startswith("http:"))
    return Options(
        found,
        tuple(certs),
        frozenset((*auth.listed("LINUXKIT_INSECURE_REGISTRIES"), *plain)),
        frozenset(auth.listed("LINUXKIT_TOKEN_HOSTS")),
        # A password may well hold a comma.
        logins=dict(map(auth.given, (*os.environ.get(_CREDS, "").split(), *logins))),
    )


def _mirror(text: str) -> tuple[str, str]:
    """The registry and the URL in ``REGISTRY=URL``, or "*" and the URL."""
    name, equals, url = text.partition("=")
    if not equals:
        name, url = _ANY, text
    split = urls.parts(url)
    bare = split.path in ("", "/") and not split.query and not split.fragment
    if split.scheme not in ("http", "https") or not split.hostname or not bare or not name:
        raise Error(
            "LK0325",
            f'"{printable(urls.shown(text))}" is not a mirror',
            hint="write REGISTRY=https://HOST[:PORT], or only the URL for all other registries",
        )
    if "@" in split.netloc:
        raise Error(
            "LK0325",
            f"the mirror for {printable(name)} has a login in its URL",
            hint=f"log in with `docker login {split.netloc.rpartition('@')[2]}` instead",
        )
    return name, f"{split.scheme}://{split.netloc}"


class Place(NamedTuple):
    """Where an image lies."""

    registry: str  # as the reference has it: docker.io
    repository: str  # library/alpine


def place_of(ref: Ref) -> Place:
    """The registry and the repository of a reference; a name without a host is Docker Hub's."""
    first, _, rest = ref.name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return Place(first, rest)
    return Place(_HUB, ref.name)


class Access:
    """Asks registries; may be used by several threads.  One login dance per repository.

    ``once`` is a transport that never tries again by itself.
    """

    def __init__(self, options: Options, keychain: Keychain | None = None) -> None:
        self.options = options
        self.transport = self._new_transport(options.settings)
        self.once = self._new_transport(options.settings._replace(tries=1))
        self._keychain = keychain or Keychain(given=options.logins)
        self._bases: dict[str, str] = {}
        self._granted: dict[tuple[str, str], str] = {}
        self._broken: dict[str, Error] = {}
        self._lock = threading.RLock()

    def host(self, place: Place) -> str:
        """The host (with its port) that is asked for the images of a registry."""
        mirrors = self.options.mirrors
        mirror = mirrors.get(place.registry) or mirrors.get(_ANY)
        if mirror:
            return urlsplit(mirror).netloc
        return _HUB_API if place.registry in HUB_HOSTS else place.registry

    def authorized(
        self,
        place: Place,
        path: str,
        work: Callable[[str, Mapping[str, str]], _T],
        *,
        lasting: bool = True,
    ) -> _T:
        """Do ``work`` with a URL and headers; once more with what the registry wants to see.

        A host that is not reached is not tried again for other requests, if that is ``lasting``.
        """
        host = self.host(place)
        if host in self._broken:
            raise _copy(self._broken[host])
        try:
            base = self._base(place, host)
            known = self._granted.get((base, place.repository), "")
            try:
                return work(base + path, {"Authorization": known} if known else {})
            except http.Refused as refused:
                granted = self._grant(place, refused, known) if refused.status == _WHO else ""
                if not granted:
                    raise
            return work(base + path, {"Authorization": granted})
        except Error as error:
            if lasting and error.code in _UNREACHED:
                # The next image need not wait as long for the same answer.
                self._broken[host] = self._unreached(place, host, error)
                raise _copy(self._broken[host]) from error
            raise

    def _base(self, place: Place, host: str) -> str:
        """The scheme and host of a registry; found out where it may be asked without TLS."""
        mirrors = self.options.mirrors
        mirror = mirrors.get(place.registry) or mirrors.get(_ANY)
        if mirror:
            return mirror
        with self._lock:
            if host not in self._bases:
                plain = self._may_be_plain(urlsplit(f"//{host}"))
                self._bases[host] = self._find_scheme(host) if plain else f"https://{host}"
            return self._bases[host]

    def _find_scheme(self, host: str) -> str:
        """TLS if the registry speaks it, whatever it then answers."""
        try:
            self.once.ask(f"https://{host}/v2/", http.Asking(), limit=_PING_LIMIT)
        except http.Refused:
            pass
        except Error as error:
            # A bad certificate is no reason to speak without one.
            if error.code in {"LK0410", "LK0419"}:
                return f"http://{host}"
            raise
        return f"https://{host}"

    def _grant(self, place: Place, refused: http.Refused, known: str) -> str:
        """What to answer to a challenge: the Authorization header; "" when there is nothing.

        ``known`` is what was sent; if another thread has got something newer, that is it.
        """
        base = self._base(place, self.host(place))
        key = (base, place.repository)
        with self._lock:
            if self._granted.get(key, "") != known:
                return self._granted[key]
            found = auth.challenges(refused.reply.headers.get("www-authenticate", ""))
            host = urlsplit(base).netloc
            login = self._keychain.login(host, place.repository)
            if login and login.kind == "bearer":  # nothing to buy
                if login.header() == known:
                    return ""
                self._granted[key] = login.header()
                return self._granted[key]
            bearer = next((each for each in found if each.scheme == "bearer"), None)
            if bearer:
                scope = bearer.scope or f"repository:{place.repository}:pull"
                bought = auth.token(
                    self.transport,
                    bearer._replace(scope=scope),
                    host,
                    login,
                    self.options.token_hosts,
                )
                self._granted[key] = f"Bearer {bought}"
            elif found and login and login.kind == "basic" and login.header() != known:
                self._granted[key] = login.header()
            else:
                return ""
            return self._granted[key]

    def _new_transport(self, settings: Settings) -> http.Transport:
        return http.Transport(settings, certs=self.options.certs, check=self._check)

    def _check(self, url: SplitResult) -> None:
        if url.scheme == "http" and not self._may_be_plain(url):
            raise Error(
                "LK0323",
                f"{printable(url.netloc.rpartition('@')[2])} would be asked without TLS",
                hint="hosts for which that is right are listed in LINUXKIT_INSECURE_REGISTRIES",
            )

    def _may_be_plain(self, url: SplitResult) -> bool:
        host, listed = url.hostname or "", self.options.insecure
        return urls.loopback(host) or host in listed or url.netloc in listed

    def refusal(self, place: Place, what: str, refused: http.Refused) -> Error:
        """What a registry's refusal of ``what`` means, in words for the user."""
        at = self.shown(place)
        if refused.status in (404, 410):
            return Error(
                "LK0320",
                f"{at} has no {place.repository} {what}",
                hint="check the name and the tag",
            )
        if refused.status in (_WHO, 403):
            return Error(
                "LK0321",
                f"{at} does not let us have {place.repository} (HTTP {refused.status})",
                hint="it does not exist, or needs a login: `docker login` or `skopeo login`",
            )
        if refused.status == 429:  # noqa: PLR2004
            much = _limits(refused.reply.headers) or "too much was asked of it"
            refused.hint = f"{much}: log in, wait, or use a mirror (--mirror)"
        elif not refused.hint:
            refused.hint = _reasons(refused.reply.body)
        return refused

    def _unreached(self, place: Place, host: str, error: Error) -> Error:
        return Error(
            error.code,
            f"images of {printable(place.registry)} cannot be fetched from {host}: {error.message}",
            hint=error.hint or "check the network; `--mirror REGISTRY=URL` names another place",
        )

    def shown(self, place: Place) -> str:
        """A registry as messages name it, with the host that is really asked."""
        host = self.host(place)
        return host if host == place.registry else f"{place.registry} ({host})"


def _reasons(body: bytes) -> str:
    """What a registry says is wrong; "" where it does not say so in the form it should.

    That is a list of "errors", each with a "code" and perhaps a "message" (distribution-spec 1.1,
    "Error Codes").
    """
    try:
        told = [error.get("message") or error["code"] for error in json.loads(body)["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return f"it says: {printable('; '.join(map(str, told)))}" if told else ""


def _limits(headers: Mapping[str, str]) -> str:
    """How much a registry allows, where it says so as Docker Hub does ("100;w=21600")."""
    limit = re.match(r"(\d{1,9})(?:;w=(\d{1,9}))?", headers.get("ratelimit-limit", ""))
    left = re.match(r"\d{1,9}", headers.get("ratelimit-remaining", ""))
    if not limit:
        return ""
    span = f" in {int(limit[2])} s" if limit[2] else ""
    rest = f", {int(left[0])} are left" if left else ""
    return f"it allows {int(limit[1])} requests{span}{rest}"


def _copy(error: Error) -> Error:
    return Error(error.code, error.message, hint=error.hint)
