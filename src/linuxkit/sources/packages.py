"""Stock packages as a source of images: made of Debian's packages when first used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.build.source import Look
from linuxkit.oci.image import closure
from linuxkit.recipes import tag
from linuxkit.recipes.stock import Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from linuxkit.net.http import Transport
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.mirror import Mirrors
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.recipes.relock import Bench

_KEYRING = "LINUXKIT_DEBIAN_KEYRING"


def pool_of(store: Store) -> Pool:
    """The .debs in ``store``, and the archives the user or the host has chosen for more."""
    from linuxkit.recipes.debian.pool import Pool

    return Pool(store, _mirrors, _transport)


def bench_of(store: Store, keyring: Sequence[Path] = (), suites: Sequence[str] = ()) -> Bench:
    """What locking works with: the archives that are reached now, their signatures checked.

    ``keyring`` are files of OpenPGP keys; else LINUXKIT_DEBIAN_KEYRING names one, else Debian's
    own are trusted.  ``suites`` are those of another release.  Raises LK0410 and
    its kin, LK0506, LK051x.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from linuxkit.recipes.debian import archive, release
    from linuxkit.recipes.relock import Bench

    other = os.environ.get(_KEYRING, "")
    keys = release.Keyring(keyring or ([Path(other)] if other else release.shipped_keys()))
    names = suites or archive.suites()
    found = archive.reach(_mirrors(), keys, _transport(), datetime.now(UTC), names)
    return Bench(found, pool_of(store), store)


def _mirrors() -> Mirrors:
    from linuxkit.recipes import settings
    from linuxkit.recipes.debian import mirror

    return mirror.choose(os.environ, settings.load(os.environ))


def _transport() -> Transport:
    from linuxkit.net.http import Transport
    from linuxkit.recipes.debian.mirror import HINT

    return Transport(hint=HINT)


class StockPackages:
    """Answers for references like ``linuxkit.stock/NAME:HASH``."""

    name = "stock packages"

    def __init__(self, store: Store, shelf: Shelf | None = None) -> None:
        self._store = store
        self._shelf = shelf or Shelf()

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image, made if it is not in the store yet; None for other references.

        Raises LK0501, LK0543 (the hash is not today's), and what making it raises.
        """
        package = self._package(ref, platform)
        if package is None:
            return None
        # As long as the image is used, what it is made of stays too.
        self._store.note_use(deb.sha256 for deb in self._shelf.debs(package, platform.arch))
        found = self._shelf.present(package, platform.arch, self._store)
        if found is not None:
            return found
        return self._shelf.image(package, platform.arch, self._store, pool_of(self._store))

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """The .debs that :meth:`find` would download."""
        package = self._package(ref, platform)
        if package is None:
            return None
        if self._shelf.present(package, platform.arch, self._store) is not None:
            return []
        debs = pool_of(self._store).missing(self._shelf.debs(package, platform.arch))
        return [f"{deb.package} {deb.version} ({deb.size} bytes)" for deb in debs]

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:
        """The image, or what it would be made of."""
        package = self._package(ref, platform)
        if package is None:
            return None
        where = str(self._shelf.path(package))
        offers = (str(platform),)
        found = self._shelf.present(package, platform.arch, self._store)
        debs = self._shelf.debs(package, platform.arch)
        held = f"Debian packages: {len(debs)}, of {self._shelf.lock_of(package, platform.arch)}"
        if found is not None:
            size = sum(blob.size for blob in closure(self._store, found, ()))
            return Look(True, where, found.digest, offers, size, held if debs else "")
        missing = pool_of(self._store).missing(debs)
        size = sum(deb.size for deb in missing)
        note = f"{held}; to fetch: {len(missing)}"
        return Look(not (offline and missing), where, "", offers, size, note)

    def _package(self, ref: Ref, platform: Platform) -> str | None:
        registry, _, name = ref.name.partition("/")
        if registry != tag.REGISTRY:
            return None
        current = self._shelf.reference(name, platform.arch)
        asked = f"{ref.name}:{ref.tag}" if ref.tag else ref.name
        if ref.tag and asked != current:
            raise Error(
                "LK0543",
                f"the stock package {asked} is not of this version of linuxkit and its lock",
                hint=f'write "@pkg:{name}", or take {current}',
            )
        return name
