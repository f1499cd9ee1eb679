"""A client of the OCI distribution API: manifests and blobs, fetched into the store.

Where a registry's images really come from (mirrors, plain HTTP) is decided here; who may ask is
:mod:`linuxkit.oci.auth`'s business, and how bytes travel that of :mod:`linuxkit.net.http`.
"""

from __future__ import annotations

import contextlib
import io
import threading
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast
from urllib.parse import urlencode, urlsplit, urlunsplit

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable
from linuxkit.net import http
from linuxkit.net import url as urls
from linuxkit.oci import auth, model, referrers
from linuxkit.oci.auth import HUB_HOSTS, Keychain
from linuxkit.oci.model import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO
    from urllib.parse import SplitResult

    from linuxkit.base.digest import Digest
    from linuxkit.oci.model import Index
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store

_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_ACCEPT = ", ".join(sorted(model.MANIFESTS | model.INDEXES))
_ANY = "*"
_PAGES = 32  # of a list of referrers
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
    settings: http.Settings = http.Settings()


def options(mirrors: Iterable[str] = (), certs: Iterable[str] = ()) -> Options:
    """Options of texts like ``docker.io=https://mirror.example``, and of the environment.

    The environment's LINUXKIT_MIRROR comes first, so that ``mirrors`` win; then there are
    LINUXKIT_INSECURE_REGISTRIES and LINUXKIT_TOKEN_HOSTS.  Raises LK0325 for what is no mirror.
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


class Overtaken(Exception):  # noqa: N818 - what happened
    """What was to be replaced in a registry has been replaced by somebody else meanwhile."""


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


class Client:
    """Talks to registries; may be used by several threads.  One login dance per repository."""

    def __init__(self, options: Options, keychain: Keychain | None = None) -> None:
        self._options = options
        self._keychain = keychain or Keychain()
        self._transport = self._new_transport(options.settings)
        self._bases: dict[str, str] = {}
        self._granted: dict[tuple[str, str], str] = {}
        self._broken: dict[str, Error] = {}
        self._lock = threading.RLock()

    def manifest(self, place: Place, reference: str) -> tuple[bytes, Descriptor]:
        """The manifest or index with a tag or digest.

        Raises LK0320 (no such image), LK0305 (not of that digest), LK0321 and other LK032x, LK041x.
        """
        reply, found = self._manifest(place, reference)
        return reply.body, found

    def referrers(
        self, place: Place, digest: Digest, artifact_type: str = ""
    ) -> tuple[Descriptor, ...]:
        """What a registry lists as being about an image.

        That is "Listing Referrers" of distribution-spec 1.1; a registry without it is asked for the
        tag that lists them.  Nothing of this is checked by a digest: whoever uses an entry looks
        whether it names the image as its subject.  Raises LK0308 (more than allowed), LK0330 (pages
        elsewhere or without end), LK0307, LK032x, LK041x.
        """
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        path = f"/v2/{place.repository}/referrers/{digest}{query}"
        found: dict[str, Descriptor] = {}
        for _ in range(_PAGES):
            page = self._page(place, digest, path)
            if page is None:
                tagged = self.tagged(place, referrers.tag(digest))
                return referrers.matching(tagged[0].manifests, artifact_type) if tagged else ()
            index, path = page
            found.update((entry.digest, entry) for entry in index.manifests)
            referrers.limit(len(found), f"{self._shown(place)} {place.repository} {digest}")
            if not path:
                return referrers.matching(found.values(), artifact_type)
        raise self._endless(place, digest, f"has more than {_PAGES} pages")

    def tagged(self, place: Place, tag: str) -> tuple[Index, str] | None:
        """The index that a tag stands for, and its entity tag; None when there is no such tag.

        Raises LK0309 (it is no index), LK0307, LK032x, LK041x.
        """
        try:
            reply, found = self._manifest(place, tag)
        except Error as error:
            if error.code == "LK0320":
                return None
            raise
        return model.decode_index(reply.body, found), reply.headers.get("etag", "")

    def _page(self, place: Place, digest: Digest, path: str) -> tuple[Index, str] | None:
        """A page of referrers and the path of the next, if any; None without such an API."""
        asked = ""

        def get(url: str, head: Mapping[str, str]) -> http.Reply:
            nonlocal asked
            asked = url
            asking = http.Asking({**head, "Accept": model.OCI_INDEX})
            return self._transport.ask(url, asking, limit=model.MANIFEST_LIMIT)

        try:
            reply = self._authorized(place, path, get)
        except http.Refused as refused:
            if refused.status in (404, 410):
                return None
            raise self._no_image(place, digest, refused) from refused
        kind = _media_type(reply)
        if kind != model.OCI_INDEX:
            return None  # some page for people
        found = Descriptor(kind, digests.of_bytes(reply.body), len(reply.body))
        link = urls.next_page(asked, reply.headers.get("link", ""))
        split = urlsplit(link)
        if link and urls.origin(split) != urls.origin(urlsplit(asked)):
            raise self._endless(place, digest, f"goes on at {printable(split.netloc, 100)}")
        following = link and urlunsplit(split._replace(scheme="", netloc="", fragment=""))
        return model.decode_index(reply.body, found), following

    def _endless(self, place: Place, what: str, why: str) -> Error:
        at = f"{self._shown(place)}: the list of artifacts about {place.repository} {what}"
        return Error("LK0330", f"{at} {why}", hint="tell who runs the registry")

    def _manifest(self, place: Place, reference: str) -> tuple[http.Reply, Descriptor]:
        url = f"/v2/{place.repository}/manifests/{reference}"
        limit = model.MANIFEST_LIMIT
        try:
            reply = self._authorized(
                place,
                url,
                lambda full, head: self._transport.ask(
                    full, http.Asking({**head, "Accept": _ACCEPT}), limit=limit
                ),
            )
        except http.Refused as refused:
            raise self._no_image(place, reference, refused) from refused
        found = digests.of_bytes(reply.body)
        said = {reply.headers.get("docker-content-digest", found), found}
        if len(said) > 1 or (":" in reference and reference != found):
            raise Error(
                "LK0305",
                f"{self._shown(place)} sent another manifest of {place.repository} than {reference}"
                if ":" in reference
                else f"{self._shown(place)} sent a manifest that has not the digest it tells",
                hint="distrust this registry or its mirror if it stays so",
            )
        return reply, Descriptor(_media_type(reply), found, len(reply.body))

    def blob(
        self,
        place: Place,
        blob: Descriptor,
        store: Store,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """Fetch a blob into the store; its size and digest are those that it is announced with.

        Addresses in the descriptor are not followed.  Raises LK0304, LK0305, LK032x, LK041x.
        """

        def get(url: str, head: Mapping[str, str]) -> None:
            with store.writer(blob.digest, blob.size) as out:
                self._transport.fetch(
                    url, out, limit=blob.size, progress=progress, asking=http.Asking(head)
                )

        try:
            self._authorized(place, f"/v2/{place.repository}/blobs/{blob.digest}", get)
        except http.Refused as refused:
            raise self._no_image(place, blob.digest, refused) from refused

    def send_blob(
        self,
        place: Place,
        blob: Descriptor,
        store: Store,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> bool:
        """Send a blob of the store, unless the registry has it; whether it was sent.

        Raises LK0303, LK0304, LK0321 and other LK032x, LK041x.
        """
        base = f"/v2/{place.repository}/blobs/"

        def is_there(url: str, head: Mapping[str, str]) -> None:
            self._transport.ask(url, http.Asking(head, "HEAD"), limit=model.BLOB_LIMIT)

        def upload(url: str, head: Mapping[str, str]) -> None:
            reply = self._transport.ask(url, http.Asking(head, "POST"), limit=_PING_LIMIT)
            target = urls.redirected(url, reply.headers.get("location", ""))
            target += ("&" if "?" in target else "?") + f"digest={blob.digest}"
            # Storage that lies elsewhere has its own ways to know who we are.
            same = urls.origin(urlsplit(target)) == urls.origin(urlsplit(url))
            kind = {"Content-Type": "application/octet-stream", **(head if same else {})}
            asking = http.Asking(
                kind, "PUT", lambda: _Told(store.open(blob.digest, blob.size), progress), blob.size
            )
            self._transport.ask(target, asking, limit=_PING_LIMIT)

        try:
            with contextlib.suppress(http.Refused):
                self._authorized(place, base + blob.digest, is_there)
                return False
            self._authorized(place, base + "uploads/", upload)
        except http.Refused as refused:
            raise self._no_image(place, blob.digest, refused) from refused
        return True

    def send_manifest(
        self, place: Place, reference: str, data: bytes, media_type: str, *, instead_of: str = ""
    ) -> bool:
        """Put a manifest or index under a tag or its digest; its parts have been sent before.

        Whether the registry lists it now as being about its subject.  ``instead_of`` is the entity
        tag of what it may replace.  Raises :class:`Overtaken`, LK0321 and other LK032x, LK0412 (the
        registry takes it not), LK041x.
        """
        extra = {"If-Match": instead_of} if instead_of else {}

        def put(url: str, head: Mapping[str, str]) -> http.Reply:
            asking = http.Asking(
                {**head, **extra, "Content-Type": media_type},
                "PUT",
                lambda: io.BytesIO(data),
                len(data),
            )
            return self._transport.ask(url, asking, limit=_PING_LIMIT)

        path = f"/v2/{place.repository}/manifests/{reference}"
        try:
            reply = self._authorized(place, path, put)
        except http.Refused as refused:
            if instead_of and refused.status == 412:  # noqa: PLR2004 - precondition failed
                raise Overtaken from refused
            raise self._no_image(place, reference, refused) from refused
        return "oci-subject" in reply.headers

    def host(self, place: Place) -> str:
        """The host (with its port) that is asked for the images of a registry."""
        mirrors = self._options.mirrors
        mirror = mirrors.get(place.registry) or mirrors.get(_ANY)
        if mirror:
            return urlsplit(mirror).netloc
        return _HUB_API if place.registry in HUB_HOSTS else place.registry

    def _authorized(
        self, place: Place, path: str, work: Callable[[str, Mapping[str, str]], _T]
    ) -> _T:
        """Do ``work`` with a URL and headers; once more with what the registry wants to see."""
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
            if error.code in _UNREACHED:
                # The next image need not wait as long for the same answer.
                self._broken[host] = self._unreached(place, host, error)
                raise _copy(self._broken[host]) from error
            raise

    def _base(self, place: Place, host: str) -> str:
        """The scheme and host of a registry; found out where it may be asked without TLS."""
        mirrors = self._options.mirrors
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
        once = self._new_transport(self._options.settings._replace(tries=1))
        try:
            once.ask(f"https://{host}/v2/", http.Asking(), limit=_PING_LIMIT)
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
            login = self._keychain.login(host)
            bearer = next((each for each in found if each.scheme == "bearer"), None)
            if bearer:
                scope = bearer.scope or f"repository:{place.repository}:pull"
                bought = auth.token(
                    self._transport,
                    bearer._replace(scope=scope),
                    host,
                    login,
                    self._options.token_hosts,
                )
                self._granted[key] = f"Bearer {bought}"
            elif found and login and not login.refresh and login.header() != known:
                self._granted[key] = login.header()
            else:
                return ""
            return self._granted[key]

    def _new_transport(self, settings: http.Settings) -> http.Transport:
        return http.Transport(settings, certs=self._options.certs, check=self._check)

    def _check(self, url: SplitResult) -> None:
        if url.scheme == "http" and not self._may_be_plain(url):
            raise Error(
                "LK0323",
                f"{printable(url.netloc.rpartition('@')[2])} would be asked without TLS",
                hint="hosts for which that is right are listed in LINUXKIT_INSECURE_REGISTRIES",
            )

    def _may_be_plain(self, url: SplitResult) -> bool:
        host, listed = url.hostname or "", self._options.insecure
        return urls.loopback(host) or host in listed or url.netloc in listed

    def _no_image(self, place: Place, what: str, refused: http.Refused) -> Error:
        at = self._shown(place)
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
            refused.hint = "too much was asked of it: log in, wait, or use a mirror (--mirror)"
        return refused

    def _unreached(self, place: Place, host: str, error: Error) -> Error:
        return Error(
            error.code,
            f"images of {printable(place.registry)} cannot be fetched from {host}: {error.message}",
            hint=error.hint or "check the network; `--mirror REGISTRY=URL` names another place",
        )

    def _shown(self, place: Place) -> str:
        host = self.host(place)
        return host if host == place.registry else f"{place.registry} ({host})"


class _Told(io.BufferedReader):
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], None]) -> None:
        super().__init__(cast("io.BufferedReader", file).detach())
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._progress(len(data))
        return data


def _media_type(reply: http.Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()


def _copy(error: Error) -> Error:
    return Error(error.code, error.message, hint=error.hint)
