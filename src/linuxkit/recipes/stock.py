"""The shelf of stock packages: their names, their references, and their images when asked for."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, resources
from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.oci import model, ref
from linuxkit.recipes import prebuilt, tag
from linuxkit.recipes.debian import lock as locks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from linuxkit.base.where import Where
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.lock import Deb, Lock
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.recipes.recipe import Recipe


class Pins(NamedTuple):
    """Packages that a lock of the user's own holds still: their tags and what they are made of."""

    lock: Lock = locks.EMPTY
    tags: Mapping[str, Mapping[str, str]] = MappingProxyType({})  # package → OCI architecture → tag

    def tag(self, name: str, arch: str) -> str | None:
        """The tag of ``name`` for ``arch``, if it is held."""
        return self.tags.get(name, {}).get(arch)


class Shelf:
    """The recipes in ``folder`` and the lock that goes with them; both are read when needed."""

    def __init__(
        self, folder: Path | None = None, lock: Path | None = None, pins: Pins | None = None
    ) -> None:
        """By default the stock recipes, and the lock of ``LINUXKIT_PACKAGES_LOCK`` or theirs.

        What ``pins`` hold goes before what that lock says.
        """
        self._pins = pins or Pins()
        self.folder = folder or resources.packages()
        self.lock_path = lock or locks.path()
        self._lock: Lock | None = None
        self._tags: dict[tuple[str, str], str] = {}

    @property
    def lock(self) -> Lock:
        """The lock.  Raises LK0530, LK0531."""
        if self._lock is None:
            self._lock = locks.load(self.lock_path)
        return self._lock

    def names(self) -> tuple[str, ...]:
        """Every package, sorted."""
        try:
            found = [item.name for item in os.scandir(self.folder) if self._is_recipe(item.name)]
        except OSError as error:
            raise files.os_error(error, "read", self.folder) from error
        return tuple(sorted(found))

    def _is_recipe(self, name: str) -> bool:
        return os.path.isfile(self.folder / name / "build.yml")  # noqa: PTH113 - never raises

    def path(self, name: str, where: Where | None = None) -> Path:
        """The folder of the package ``name``.  Raises LK0501."""
        plain = name and name not in (".", "..") and "/" not in name and "\0" not in name
        if not plain or not self._is_recipe(name):
            known = self.names()
            near = suggestion(name, known)
            raise Error(
                "LK0501", f'there is no stock package "{printable(name)}"', where=where,
                hint=near or f"there are: {', '.join(known)}",
            )  # fmt: skip
        return self.folder / name

    def recipe(self, name: str) -> Recipe:
        """The recipe of a package.  Raises LK0501 and as recipe.load."""
        from linuxkit.recipes import recipe

        return recipe.load(self.path(name))

    def is_solved(self, name: str, arch: str) -> bool:
        """Whether ``name`` is made of Debian packages on ``arch``, which a lock has to name."""
        says = self.recipe(name).says
        return arch in says.arches and bool(says.debian or says.kernel or says.build)

    def pins(self, name: str, arch: str) -> Pins:
        """What holds ``name`` still as the shelf's own lock has it.  Raises as :meth:`repinned`."""
        return self.repinned(name, arch, self.lock)

    def repinned(self, name: str, arch: str, lock: Lock) -> Pins:
        """What holds ``name`` still with the .debs of ``lock``, as it is made today.

        Raises LK0501, and LK0538 to LK0540 where lock and recipe do not fit.
        """
        from linuxkit.recipes import builder

        recipe = self.recipe(name)
        debs = builder.locked_debs(recipe, lock, arch)
        root = builder.locked_root(recipe, lock, arch)
        sources = builder.locked_sources(recipe, lock, arch)
        held = {
            name: lock.of(name, arch) if debs else locks.Locked(recipe.inputs(arch), ()),
            recipe.root_name: lock.of(recipe.root_name, arch) if root else None,
            recipe.source_name: lock.of(recipe.source_name, arch) if sources else None,
        }
        packages = {key: {arch: locked} for key, locked in held.items() if locked}
        named = {
            key: lock.debs[key] for arches in packages.values() for key in arches[arch].debs
        }
        mine = locks.Lock({}, packages, named)
        return Pins(mine, {name: {arch: tag.compute(recipe.folder, lock, arch)}})

    def reference(self, name: str, arch: str, where: Where | None = None) -> str:
        """The image reference of ``name`` for the OCI architecture ``arch``; it ends in a hash of
        all that the image is made of.  Raises LK0501, LK0530, LK0531, LK0534.
        """  # noqa: D205
        folder = self.path(name, where)
        held = self._pins.tag(name, arch)
        if held is not None:
            return tag.reference(name, held)
        key = (name, arch)
        if key not in self._tags:
            self._tags[key] = tag.compute(folder, self.lock, arch)
        return tag.reference(name, self._tags[key])

    def named(self, text: str, arch: str) -> str:
        """``text``, and for ``@pkg:NAME`` what that stands for.  Raises as :meth:`reference`."""
        name = text.removeprefix(ref.PACKAGE)
        return text if name == text else self.reference(name, arch)

    def debs(self, name: str, arch: str) -> tuple[Deb, ...]:
        """What the lock names for ``name`` on ``arch``, to build with and to build of.

        Raises LK0438.
        """
        lock = self._lock_of(name, arch)
        parts = (name, name + locks.ROOT, name + locks.SOURCE)
        return tuple(deb for part in parts for deb in lock.debs_of(part, arch))

    def lock_of(self, name: str, arch: str) -> str:
        """Which lock speaks for ``name``: the user's own, or the path of the shelf's."""
        return "linuxkit.lock" if self._pins.tag(name, arch) else str(self.lock_path)

    def _lock_of(self, name: str, arch: str) -> Lock:
        """The lock that speaks for ``name``; one of the user's must fit the recipe of today."""
        held = self._pins.tag(name, arch)
        if held is None:
            return self.lock
        if tag.compute(self.path(name), self._pins.lock, arch) != held:
            raise Error(
                "LK0438",
                f'the stock package "{name}" is made otherwise by this version of linuxkit than '
                f"when it was locked ({held})",
                hint="take it as it is made now: linuxkit lock FILE...",
            )
        return self._pins.lock

    def present(self, name: str, arch: str, store: Store) -> Descriptor | None:
        """The image of ``name`` for ``arch`` if the store has all of it, or it ships with us."""
        reference = self.reference(name, arch)
        return _whole(reference, store) or prebuilt.take(reference, arch, store)

    def image(self, name: str, arch: str, store: Store, pool: Pool) -> Descriptor:
        """The image of ``name`` for ``arch``, made now if the store does not have it.

        Of several processes that want the same image one makes it and the others wait.
        """
        found = self.present(name, arch, store)
        if found is not None:
            return found
        reference = self.reference(name, arch)
        folder = store.at.locks
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.os_error(error, "make", folder) from error
        with files.locked(folder / f"{name}-{arch}"):
            found = _whole(reference, store)
            if found is None:
                found = self._make(name, arch, store, pool)
                store.set_name(reference, found)
        return found

    def _make(self, name: str, arch: str, store: Store, pool: Pool) -> Descriptor:
        from linuxkit.recipes import builder

        return builder.build(self.recipe(name), self._lock_of(name, arch), arch, pool, store)


def _whole(reference: str, store: Store) -> Descriptor | None:
    """What the store has under this name, if nothing of it is missing."""
    found = store.find(reference)
    if found is None or not store.has(found.digest, found.size):
        return None
    manifest = model.decode_manifest(store.read(found.digest, model.MANIFEST_LIMIT), found)
    parts = (manifest.config, *manifest.layers)
    whole = all(store.has(part.digest, part.size) for part in parts)
    return found._replace(annotations=()) if whole else None
