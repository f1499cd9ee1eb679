"""Images that the store has already, by their full name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.build.source import Look
from linuxkit.oci.image import closure, is_whole, offered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store


class Stored:
    """The first source to ask: it costs nothing and reaches nowhere."""

    name = "store"

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, ref: Ref, platform: Platform) -> Descriptor | None:
        """The image of that name, if all that ``platform`` needs of it is there.

        A reference with a digest must be the digest that is stored.
        """
        found = self._store.find(str(ref))
        if found is None or (ref.digest and found.digest != ref.digest):
            return None
        return found if is_whole(self._store, found, platform) else None

    def missing(self, ref: Ref, platform: Platform) -> Sequence[str] | None:
        """Nothing for what is there; anything else is not for this source to say."""
        return None if self.find(ref, platform) is None else ()

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:  # noqa: ARG002 - nobody is asked
        """What lies here under that name."""
        if ref.is_local:
            return None
        where = str(self._store.root)
        found = self._store.find(str(ref))
        if found is None:
            return Look(False, where)
        if ref.digest and found.digest != ref.digest:
            return Look(False, where, found.digest, note="of another digest")
        if not is_whole(self._store, found, platform):
            return Look(False, where, found.digest, note=f"not all of it for {platform}")
        offers = tuple(str(each) for each in offered(self._store, found))
        size = sum(blob.size for blob in closure(self._store, found, (platform,)))
        return Look(True, where, found.digest, offers, size)
