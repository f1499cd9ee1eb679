"""The public functions of :mod:`linuxkit`, which wire the layers together."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact
from linuxkit.build.assemble import assemble
from linuxkit.build.fetch import fetch
from linuxkit.build.plan import Plan
from linuxkit.build.resolve import resolve
from linuxkit.build.system import System
from linuxkit.oci.store import Store, default_root
from linuxkit.recipes.stock import Shelf
from linuxkit.spec import load as specs
from linuxkit.spec.model import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from linuxkit.base.where import Where
    from linuxkit.build.source import Source
    from linuxkit.disk.tools import Tools
    from linuxkit.runners.options import Options
    from linuxkit.runners.result import Result
    from linuxkit.sources.lock import Lock
    from linuxkit.sources.trusted import Guard
    from linuxkit.spec.inputs import Remote

__all__ = [
    "Artifact",
    "Error",
    "Plan",
    "Spec",
    "Store",
    "System",
    "assemble",
    "default_sources",
    "emit",
    "fetch",
    "load",
    "open_lock",
    "open_store",
    "own_tools",
    "resolve",
    "run",
]


def open_store(root: str | Path | None = None) -> Store:
    """The store at ``root``, else at LINUXKIT_CACHE, else at ~/.linuxkit/cache."""
    return Store(Path(root) if root is not None else default_root())


def default_sources(
    store: Store,
    shelf: Shelf | None = None,
    *,
    mirrors: Sequence[str] = (),
    certs: Sequence[str] = (),
    logins: Sequence[str] = (),
    pull: bool = False,
    lock: Lock | None = None,
    engine: bool = False,
    guard: Guard | None = None,
    folders: Mapping[str, Path] = MappingProxyType({}),
) -> tuple[Source, ...]:
    """Where images are looked for, in order: files, the store, the stock packages, then registries.

    What is in ``lock`` is exactly what is named there, wherever it is found.  What ``guard`` does
    not let pass is an error.

    ``mirrors`` are texts like ``docker.io=https://mirror.example``, or an URL alone for all other
    registries; ``certs`` files of certificates to trust besides the system's; ``logins`` texts like
    ``ghcr.io=USER:PASSWORD``, which go before those that are stored.  With ``pull`` registries come
    before the store, and are asked even for what it has; with ``engine`` the images of a container
    engine on this machine come before either.  ``folders`` are package folders by the names that
    their images have; :func:`load` fills such a map.  Who has no such image builds it.
    """
    from linuxkit.sources import folders as packages
    from linuxkit.sources.engine import Engine
    from linuxkit.sources.local import LocalFiles
    from linuxkit.sources.locked import Locked
    from linuxkit.sources.packages import StockPackages
    from linuxkit.sources.registry import Registries
    from linuxkit.sources.store import Stored

    registries = Registries(store, mirrors, certs, logins, fresh=pull)
    stock = (Stored(store), StockPackages(store, shelf or _shelf(lock)))
    built = packages.PackageFolders(
        folders, lambda: packages.bench_of(store, registries, (*stock, registries))
    )
    own = (*stock, built)
    first: list[Source] = [LocalFiles(store)]
    if engine:
        first.append(Engine(store))
    others = (*first, registries, *own) if pull else (*first, *own, registries)
    found = others if lock is None else (Locked(lock, store, others), *others)
    if guard is None:
        return found
    from linuxkit.sources.trusted import Trusted

    return tuple(Trusted(guard, source) for source in found)


def open_lock(files: Sequence[str | Path]) -> Lock | None:
    """The ``linuxkit.lock`` beside the first of these YAML files, if there is one.

    Raises LK0430, LK0431, LK0102.
    """
    from linuxkit.sources import lock

    return lock.load(lock.place(files))


def _shelf(lock: Lock | None) -> Shelf:
    return Shelf(pins=lock.pins if lock else None)


def load(
    files: Sequence[str | Path],
    *,
    arch: str,
    stdin: bytes | None = None,
    shelf: Shelf | None = None,
    values: Mapping[str, str] | None = None,
    offline: bool = False,
    lock: Lock | None = None,
    remote: Remote | None = None,
    folders: MutableMapping[str, Path] | None = None,
) -> Spec:
    """Read, check and merge YAML files and URLs; "-" stands for ``stdin``.

    ``arch`` is the OCI architecture that ``@pkg:NAME`` is meant for, ``shelf`` the stock packages
    it may name (by default as ``lock`` holds them), ``values`` are those of the variables that the
    files declare, ``remote`` reads URLs.  The package folders that ``@pkg:PATH`` names are put into
    ``folders``, by the names of their images.  Raises everything that is wrong in all files at
    once, and LK0402 for a URL when ``offline``.
    """
    packages = _Packages(shelf or _shelf(lock), arch, {} if folders is None else folders)
    return specs.load(
        files, packages=packages, stdin=stdin, values=values, offline=offline, remote=remote
    )


class _Packages:
    """What ``@pkg:`` stands for in the YAML."""

    def __init__(self, shelf: Shelf, arch: str, folders: MutableMapping[str, Path]) -> None:
        self._shelf = shelf
        self._arch = arch
        self._folders = folders

    def reference(self, text: str, *, base: Path, where: Where) -> str:
        folder = base / text
        if os.path.isfile(folder / "build.yml"):  # noqa: PTH113 - a long name is no error
            from linuxkit.oci import ref
            from linuxkit.recipes import gittag

            try:
                found = gittag.reference(folder)
                self._folders[str(ref.parse(found))] = folder.resolve()
            except Error as error:
                error.where = error.where or where
                raise
            return found
        return self._shelf.reference(text, self._arch, where)


def emit(
    system: System,
    formats: Sequence[str],
    *,
    directory: str | Path = ".",
    name: str,
    compression: str = "zstd",
    tools: Tools | None = None,
    sign: str | Path | None = None,
    only_signed: bool = False,
    size: int = 0,
) -> tuple[Artifact, ...]:
    """Write the system in each of ``formats`` as ``directory``/``name``….

    ``compression`` of an initramfs: none, gzip, zstd, lz4 or xz, with a level as in "zstd:19".
    ``tools`` make disk images; by default they are :func:`own_tools`.  ``sign`` is a folder of keys
    (``linuxkit keys new``), with which what firmware starts is signed; with ``only_signed`` the
    machine runs nothing else then.  ``size`` is that of disks in bytes; 0: as small as they can be.
    Raises LK0701 for a format that does not exist, LK06xx for such a compression, LK0102; LK0770
    to LK0775 and LK0781 about signing; LK0785 for a size that is too small.
    """
    from linuxkit import formats as writers
    from linuxkit.disk.partitions import Extent
    from linuxkit.tree import compress

    signer = None
    if sign is not None:
        from linuxkit.disk import certificates

        signer = certificates.signer(Path(sign), "db")
    made_with = tools or own_tools(system.store)
    extent = Extent(wanted=size)
    form = compress.parse(compression)
    options = writers.Options(form, made_with, signer, only_signed, extent)
    return writers.emit(
        system, formats, directory=Path(directory), name=name, options=options
    )


def own_tools(store: Store, *, offline: bool = False) -> Tools:
    """The programs that disk images are made with: Debian's, pinned, kept in ``store``.

    With ``offline`` those that are not there are not fetched.
    """
    from linuxkit.recipes.toolroot import ToolRoot
    from linuxkit.sources.packages import pool_of

    return ToolRoot(store, pool_of(store), offline=offline)


def run(artifact: Artifact | str | Path, options: Options | None = None) -> Result:
    """Boot an artifact, or the one of that name, and wait for its end.  Raises LK08xx."""
    from linuxkit import runners

    return runners.run(artifact, options)
