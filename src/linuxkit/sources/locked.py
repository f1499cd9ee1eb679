"""What the lock says of an image, as the first source to ask; and what it does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.build.source import Look
from linuxkit.build.wanted import needs
from linuxkit.oci.image import describe, is_whole
from linuxkit.recipes import tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.build.source import Source, Wanted
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.sources.lock import Lock
    from linuxkit.spec.model import Spec


class Locked:
    """Answers for every reference in the lock with exactly the image that is named there.

    What the store lacks of it is fetched by digest from one of ``others``.
    """

    name = "lock"

    def __init__(self, lock: Lock, store: Store, others: Sequence[Source]) -> None:
        self._lock = lock
        self._store = store
        self._others = others

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image of the lock; None for what is not in it.

        Raises LK0432 when no source has that image any more, and as the other sources.
        """
        exact = self._exact(ref)
        if exact is None:
            return None
        stored = self._stored(exact, platform)
        if stored is not None:
            return stored
        try:
            found = (source.find(exact, platform) for source in self._others)
            image = next((each for each in found if each is not None), None)
        except Error as error:
            if error.code != "LK0320":
                raise
            raise _gone(ref, exact, error.message) from error
        if image is None:
            raise _gone(ref, exact, "no source has it")
        return image

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """The exact reference, unless the store has all of it."""
        exact = self._exact(ref)
        if exact is None:
            return None
        return () if self._stored(exact, platform) is not None else (str(exact),)

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:
        """Where the image of the lock would come from; of a stock package it has the parts."""
        exact = self._exact(ref)
        if exact is None:
            name = ref.name.rpartition("/")[2]
            held = self._lock.pins.tag(name, platform.arch)
            mine = held is not None and ref.name == f"{tag.REGISTRY}/{name}" and ref.tag == held
            return Look(False, "", note="holds what it is made of") if mine else None
        if self._stored(exact, platform) is not None:
            return Look(True, str(self._store.root), exact.digest, note="pinned")
        looks = (source.look(exact, platform, offline=offline) for source in self._others)
        found = next((look for look in looks if look and look.has), None)
        if found is None:
            return Look(False, "", exact.digest, note="pinned, and nobody asked has it")
        return found._replace(note="; ".join(filter(None, ("pinned", found.note))))

    def _exact(self, ref: Ref) -> Ref | None:
        pin = None if ref.digest else self._lock.pin(ref)
        return ref._replace(tag="", digest=pin.digest) if pin else None

    def _stored(self, exact: Ref, platform: Platform) -> Descriptor | None:
        """What lies in the store under the digest, whatever it is called there."""
        found = describe(self._store, digests.parse(exact.digest))
        return found if found is not None and is_whole(self._store, found, platform) else None


def unpinned(lock: Lock, spec: Spec, platform: Platform) -> Iterator[Wanted]:
    """Every image of ``spec`` that the lock does not settle, with its place, each once."""
    for each, wants in needs(spec, platform).items():
        for want in wants:
            if not lock.holds(want.ref, each):
                yield want


def _gone(ref: Ref, exact: Ref, why: str) -> Error:
    return Error(
        "LK0432",
        f"{ref} is locked to {exact.digest}, which cannot be had: {why}",
        hint=f"take what is there now: linuxkit lock FILE... --update {ref}",
    )
