"""YAML from other machines: held still by the lock, and kept in the store for later builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.net import url as urls
from linuxkit.spec.inputs import Web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from linuxkit.base.digest import Digest
    from linuxkit.base.where import Where
    from linuxkit.oci.store import Store

_FORM = "yaml"


class Includes:
    """Reads the texts behind URLs.

    ``pins`` are the digests that they must have.  ``offline`` takes them from the store: the
    pinned text, else what lay there when the URL was read last.
    """

    def __init__(
        self, store: Store, pins: Mapping[str, Digest], *, offline: bool = False
    ) -> None:
        self._store = store
        self._pins = pins
        self._web = Web(offline=offline)
        self._offline = offline
        self.seen: dict[str, Digest] = {}
        self._places: dict[str, Where | None] = {}

    def read(self, url: str, *, limit: int, where: Where | None) -> bytes:
        """The text.  Raises LK0433 (it has changed), LK0402 (offline), LK041x."""
        self._places.setdefault(url, where)
        pin = self._pins.get(url)
        known = pin or (self._last(url) if self._offline else None)
        if known and self._store.has(known):
            self.seen[url] = known
            return self._store.read(known, limit)
        data = self._web.read(url, limit=limit, where=where)
        found = digests.of_bytes(data)
        if pin and found != pin:
            raise Error(
                "LK0433",
                f"{urls.shown(url)} is another file than the one that was locked",
                hint=f"look at it, then: linuxkit lock FILE... --update {urls.shown(url)}",
                where=where,
                detail=f"locked: {pin}\nfound:  {found}",
            )
        self.seen[url] = remember(self._store, url, data)
        return data

    def unpinned(self) -> Iterator[tuple[str, Where | None]]:
        """What was read and is not pinned, and where it is named."""
        for url in self.seen:
            if url not in self._pins:
                yield urls.shown(url), self._places[url]

    def _last(self, url: str) -> Digest | None:
        blob = self._store.derived(_key(url), _FORM)
        return blob.digest if blob else None


def remember(store: Store, url: str, data: bytes) -> Digest:
    """Keep the text that lies behind ``url``, for builds that are offline."""
    found = store.put(data)
    store.set_derived(_key(url), _FORM, found, len(data))
    return found


def _key(url: str) -> Digest:
    return digests.of_value(["include", url])
