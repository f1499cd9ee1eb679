"""A client of the OCI distribution API: manifests and blobs, to and from the store.

How a registry is reached, and who we are to it, is the business of :mod:`linuxkit.oci.access`; how
a blob is sent that of :mod:`linuxkit.oci.upload`.
"""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable
from linuxkit.net import http
from linuxkit.net import url as urls
from linuxkit.net.patience import Patience
from linuxkit.oci import model, referrers, upload
from linuxkit.oci.access import Access, Options, Place, options, place_of
from linuxkit.oci.model import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from linuxkit.base.digest import Digest
    from linuxkit.oci.auth import Keychain
    from linuxkit.oci.model import Index
    from linuxkit.oci.store import Store

__all__ = ["Client", "Options", "Overtaken", "Place", "options", "place_of"]

_ACCEPT = ", ".join(sorted(model.MANIFESTS | model.INDEXES))
_PAGES = 32  # of a list of referrers
_ABSENT = (401, 403, 404, 410)  # some let us write where they do not let us look
_SAID_LIMIT = 64 << 10  # bytes of an answer that is not read
_PART_MISSING = b'"MANIFEST_BLOB_UNKNOWN"'  # distribution-spec 1.1, "Error Codes"


class Overtaken(Exception):  # noqa: N818 - what happened
    """What was to be replaced in a registry has been replaced by somebody else meanwhile."""


class Client:
    """Talks to registries; may be used by several threads.

    It remembers which repositories hold a blob, so that a registry is not sent what it has.
    """

    def __init__(self, options: Options, keychain: Keychain | None = None) -> None:
        self._access = Access(options, keychain)
        self._holders: dict[tuple[str, Digest], dict[str, None]] = {}
        self._lock = threading.Lock()

    def host(self, place: Place) -> str:
        """The host (with its port) that is asked for the images of a registry."""
        return self._access.host(place)

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
            referrers.limit(len(found), f"{self._access.shown(place)} {place.repository} {digest}")
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
            return self._access.transport.ask(url, asking, limit=model.MANIFEST_LIMIT)

        try:
            reply = self._access.authorized(place, path, get)
        except http.Refused as refused:
            if refused.status in (404, 410):
                return None
            raise self._access.refusal(place, digest, refused) from refused
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
        at = f"{self._access.shown(place)}: the list of artifacts about {place.repository} {what}"
        return Error("LK0330", f"{at} {why}", hint="tell who runs the registry")

    def _manifest(self, place: Place, reference: str) -> tuple[http.Reply, Descriptor]:
        url = f"/v2/{place.repository}/manifests/{reference}"
        limit = model.MANIFEST_LIMIT
        try:
            reply = self._access.authorized(
                place,
                url,
                lambda full, head: self._access.transport.ask(
                    full, http.Asking({**head, "Accept": _ACCEPT}), limit=limit
                ),
            )
        except http.Refused as refused:
            raise self._access.refusal(place, reference, refused) from refused
        found = digests.of_bytes(reply.body)
        said = {reply.headers.get("docker-content-digest", found), found}
        if len(said) > 1 or (":" in reference and reference != found):
            at = self._access.shown(place)
            raise Error(
                "LK0305",
                f"{at} sent another manifest of {place.repository} than {reference}"
                if ":" in reference
                else f"{at} sent a manifest that has not the digest it tells",
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
                self._access.transport.fetch(
                    url, out, limit=blob.size, progress=progress, asking=http.Asking(head)
                )

        try:
            self._access.authorized(place, f"/v2/{place.repository}/blobs/{blob.digest}", get)
        except http.Refused as refused:
            raise self._access.refusal(place, blob.digest, refused) from refused
        self.note(place, blob.digest)

    def note(self, place: Place, digest: Digest) -> None:
        """Remember that a repository has, or may have, a blob."""
        with self._lock:
            held = self._holders.setdefault((self.host(place), digest), {})
            held[place.repository] = None

    def send_blob(
        self,
        place: Place,
        blob: Descriptor,
        store: Store,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> bool:
        """Send a blob of the store, unless the registry has it, here or in another repository.

        Whether it was sent.  Raises LK0303, LK0304, LK0333 (the registry takes it not), LK0321 and
        other LK032x, LK041x.
        """
        path = f"/v2/{place.repository}/blobs/{blob.digest}"
        with self._lock:
            held = self._holders.get((self.host(place), blob.digest), {})
            others = [name for name in held if name != place.repository]

        def is_there(url: str, head: Mapping[str, str]) -> None:
            self._access.transport.ask(url, http.Asking(head, "HEAD"), limit=model.BLOB_LIMIT)

        try:
            sent = False
            try:
                self._access.authorized(place, path, is_there)
            except http.Refused as refused:
                if refused.status not in _ABSENT:
                    raise
                sent = upload.send(
                    self._access, place, blob, store, holders=others, progress=progress
                )
        except http.Refused as refused:
            raise self._access.refusal(place, blob.digest, refused) from refused
        self.note(place, blob.digest)
        return sent

    def send_manifest(
        self, place: Place, reference: str, data: bytes, media_type: str, *, instead_of: str = ""
    ) -> bool:
        """Put a manifest or index under a tag or its digest; its parts have been sent before.

        Whether the registry lists it now as being about its subject.  ``instead_of`` is the entity
        tag of what it may replace.  Where the registry misses a part it is asked again: while
        others send the same blob there, some cannot find it for a moment.  Raises
        :class:`Overtaken`, LK0321 and other LK032x, LK0412 (the registry takes it not), LK041x.
        """
        extra = {"If-Match": instead_of} if instead_of else {}

        def put(url: str, head: Mapping[str, str]) -> http.Reply:
            asking = http.Asking(
                {**head, **extra, "Content-Type": media_type},
                "PUT",
                lambda: io.BytesIO(data),
                len(data),
            )
            return self._access.transport.ask(url, asking, limit=_SAID_LIMIT)

        path = f"/v2/{place.repository}/manifests/{reference}"
        patience = Patience(self._access.options.settings)
        while True:
            try:
                return "oci-subject" in self._access.authorized(place, path, put).headers
            except http.Refused as refused:
                if instead_of and refused.status == 412:  # noqa: PLR2004 - precondition failed
                    raise Overtaken from refused
                refusal = self._access.refusal(place, reference, refused)
                if _PART_MISSING not in refused.reply.body:
                    raise refusal from refused
                patience.spend(refusal, 0.0, self.host(place))


def _media_type(reply: http.Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()
