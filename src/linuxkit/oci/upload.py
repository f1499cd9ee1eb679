"""Sending one blob to a registry: mounted from another repository, at once, or in chunks.

This is "Pushing Blobs" of distribution-spec 1.1.  Which blobs have to be sent, and where they may
be mounted from, is for :mod:`linuxkit.oci.registry` to know.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode, urlsplit

from linuxkit.base.errors import Error
from linuxkit.net import http
from linuxkit.net import url as urls
from linuxkit.net.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from linuxkit.oci.access import Access, Place
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store

_MOUNTS = 3  # repositories that are tried
_LARGEST_CHUNK = 1 << 30  # bytes that a registry may demand
_SAID_LIMIT = 64 << 10
_LOST = (400, 404, 410, 416)  # the upload has ended, or stands elsewhere than we think
_NO_CHUNKS = (405, 411, 501)  # it takes a blob at once only
_CREATED = 201


def send(
    access: Access,
    place: Place,
    blob: Descriptor,
    store: Store,
    *,
    holders: Sequence[str],
    progress: Callable[[int], None],
) -> bool:
    """Send a blob that the registry lacks; False where it was mounted from one of ``holders``.

    Raises LK0303, LK0304, LK0333 (the upload does not advance), and as :meth:`Transport.ask`.
    """
    return _Upload(access, place, blob, store, progress).run(holders)


class _Upload:
    """One blob on its way; ``at`` is how many of its bytes the registry has."""

    def __init__(
        self,
        access: Access,
        place: Place,
        blob: Descriptor,
        store: Store,
        progress: Callable[[int], None],
    ) -> None:
        self._access = access
        self._place = place
        self._blob = blob
        self._store = store
        self._progress = progress
        self._told = 0
        self._home = ""  # the URL at which the upload began, the registry's own
        self._location = ""
        self._chunk = access.options.chunk
        self._at = 0

    def run(self, holders: Sequence[str]) -> bool:
        """All of it; False where it was mounted."""
        for repository in holders[:_MOUNTS]:
            if self._mount(repository):
                return False
        if not self._location and self._begin():
            return False
        settings = self._access.options.settings
        patience = Patience(settings)
        while True:
            try:
                if self._in_chunks() and self._at < self._blob.size:
                    self._send_chunk()
                    patience = Patience(settings)  # for each chunk, for there may be many
                    continue
                self._send_rest()
            except Error as error:
                if not self._recovered(error, patience):
                    continue
            self._tell(self._blob.size)
            return True

    def _in_chunks(self) -> bool:
        return self._blob.size > self._chunk

    def _mount(self, repository: str) -> bool:
        """Let the registry take the blob from another repository that has it."""
        query = urlencode({"mount": self._blob.digest, "from": repository})
        try:
            reply = self._post(f"?{query}")
        except http.Refused:
            return False  # what may not be read there has to be sent
        return self._accepted(reply)

    def _begin(self) -> bool:
        return self._accepted(self._post(""))

    def _post(self, query: str) -> http.Reply:
        def post(url: str, head: Mapping[str, str]) -> http.Reply:
            self._home = url.partition("?")[0]
            return self._access.transport.ask(url, http.Asking(head, "POST"), limit=_SAID_LIMIT)

        path = f"/v2/{self._place.repository}/blobs/uploads/{query}"
        return self._access.authorized(self._place, path, post)

    def _accepted(self, reply: http.Reply) -> bool:
        """Whether the registry has the blob; else it tells where it wants to have it."""
        if reply.status == _CREATED:
            return True
        self._location = urls.redirected(self._home, reply.headers.get("location", ""))
        self._at = 0
        least = reply.headers.get("oci-chunk-min-length", "")
        if least.isdecimal():
            self._chunk = max(self._chunk, min(int(least[:12]), _LARGEST_CHUNK))
        return False

    def _send_chunk(self) -> None:
        begin, end = self._at, min(self._at + self._chunk, self._blob.size)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{begin}-{end - 1}",
        }
        at = self._standing(self._ask(self._location, "PATCH", headers, begin, end), end)
        if at != end:
            raise Error(
                "LK0333",
                f"{self._access.shown(self._place)} says that it has {at} bytes of "
                f"{self._blob.digest}; {end} have been sent",
                hint="tell who runs the registry",
            )
        self._at = end

    def _send_rest(self) -> None:
        split = "&" if "?" in self._location else "?"
        target = f"{self._location}{split}digest={self._blob.digest}"
        headers = {"Content-Type": "application/octet-stream"}
        self._ask(target, "PUT", headers, self._at, self._blob.size)

    def _recovered(self, error: Error, patience: Patience) -> bool:
        """After a failure, go on where the registry stands; whether it has all of the blob.

        Raises ``error`` when that is no use.
        """
        status = error.status if isinstance(error, http.Refused) else 0
        if status in _NO_CHUNKS and self._in_chunks():
            self._chunk = self._blob.size
            return self._begin()
        wait_s = http.passing(error)
        if wait_s is None and not (status in _LOST and self._at):
            raise error
        patience.spend(error, wait_s or 0.0, urlsplit(self._home).hostname or "")
        if self._is_there():  # only the answer to its last part was lost
            return True
        if self._in_chunks() and self._resumed():
            return False
        return self._begin()

    def _is_there(self) -> bool:
        def look(url: str, head: Mapping[str, str]) -> http.Reply:
            limit = max(_SAID_LIMIT, self._blob.size)
            return self._access.transport.ask(url, http.Asking(head, "HEAD"), limit=limit)

        path = f"/v2/{self._place.repository}/blobs/{self._blob.digest}"
        try:
            self._access.authorized(self._place, path, look)
        except http.Refused:
            return False
        return True

    def _resumed(self) -> bool:
        """Ask how far the upload has come; False when it has ended."""
        try:
            reply = self._ask(self._location, "GET", {})
        except http.Refused:
            return False
        at = self._standing(reply, 0)
        if at > self._blob.size:
            return False
        self._at = at
        return True

    def _standing(self, reply: http.Reply, default: int) -> int:
        """How many bytes the registry says it has; it also says where it wants the next."""
        if reply.headers.get("location"):
            self._location = urls.redirected(self._location, reply.headers["location"])
        match = re.fullmatch(r"(?:bytes=)?0-(\d{1,15})", reply.headers.get("range", ""))
        if not match:
            return default
        last = int(match[1])
        return last + 1 if last else 0  # an upload without a byte is told as 0-0 too

    def _ask(
        self, url: str, method: str, headers: Mapping[str, str], begin: int = 0, end: int = 0
    ) -> http.Reply:
        """Ask the place of the upload, with bytes of the blob.

        What follows a failure to send depends on how far the registry has come, so that is not just
        done again.
        """
        reads = method == "GET"
        transport = self._access.transport if reads else self._access.once

        def ask(_url: str, head: Mapping[str, str]) -> http.Reply:
            asking = http.Asking(
                {**headers, **head},
                method,
                None if reads else lambda: _Part(self._store, self._blob, begin, end, self._tell),
                end - begin,
                headers_do=True,
            )
            return transport.ask(url, asking, limit=_SAID_LIMIT)

        # Storage that lies elsewhere has its own ways to know who we are.
        if urls.origin(urlsplit(url)) != urls.origin(urlsplit(self._home)):
            return ask(url, {})
        return self._access.authorized(self._place, "", ask, lasting=False)

    def _tell(self, at: int) -> None:
        """Report progress; what is sent again is no progress."""
        if at > self._told:
            self._progress(at - self._told)
            self._told = at


class _Part(io.BufferedReader):
    """A part of a stored blob; tells how far it has been read."""

    def __init__(
        self, store: Store, blob: Descriptor, begin: int, end: int, tell: Callable[[int], None]
    ) -> None:
        file = cast("io.BufferedReader", store.open(blob.digest, blob.size))
        super().__init__(file.detach())
        self.seek(begin)
        self._left = end - begin
        self._end = end
        self._tell = tell

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        data = super().read(wanted)
        self._left -= len(data)
        self._tell(self._end - self._left)
        return data
