"""Makes the image of a recipe: .debs in, one deterministic layer and its manifest out.

Which .debs is the lock's business, which name the image gets that of ``stock``.
"""

from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from linuxkit.base import digest, events, platform
from linuxkit.base.errors import Error, printable
from linuxkit.oci import image, indexfile, model
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.recipes import commands
from linuxkit.recipes.debian import kernel as kernels
from linuxkit.recipes.debian.select import select
from linuxkit.recipes.debian.unpacked import unpacked
from linuxkit.recipes.glob import matcher
from linuxkit.recipes.rootfs import Root, own_bytes
from linuxkit.tree import compress, tar
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import BinaryIO

    from linuxkit.oci.image import Layer
    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.files import Files
    from linuxkit.recipes.debian.lock import Deb, Lock
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.recipes.recipe import Recipe

SMALL = compress.Compression("zstd", 3)  # levels above 4 differ between processors
COMMON = compress.Compression("gzip", 6)  # what every reader of images knows
_CONFIG = "org.mobyproject.config"
_DEBS = "org.linuxkit.debian.packages"
_ROOT = "org.linuxkit.build.packages"


def build(
    recipe: Recipe,
    lock: Lock,
    arch: str,
    pool: Pool,
    store: Store,
    *,
    more: Mapping[str, str] = MappingProxyType({}),
    packing: compress.Compression = SMALL,
) -> Descriptor:
    """Make the image of ``recipe`` for the OCI architecture ``arch`` and store it, without a name.

    Equal inputs give equal bytes for every user, place and time; ``more`` labels are added to
    those of the recipe, which win; the layer is packed with ``packing``.  Raises LK0538 to LK0541
    and LK0546 when recipe and lock do not allow it, and the errors of fetching, unpacking and
    choosing.
    """
    if not recipe.is_ours:
        raise Error(
            "LK0546", f'the recipe "{recipe.name}" has no driver of ours',
            hint="it needs `debian:`, `kernel:`, `build:` or `files:`", where=recipe.where,
        )  # fmt: skip
    debs = locked_debs(recipe, lock, arch)
    root_debs = locked_root(recipe, lock, arch)
    pool.fetch(debs, recipe.name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(events.task("build", f"{recipe.name} {arch}", unit=""))
        stack.enter_context(indexfile.changing(store.root, f"make {recipe.name}"))
        scratch = stack.enter_context(store.temporary())
        made = commands.NOTHING
        if recipe.says.build is not None:
            made = commands.run(
                recipe, commands.Needs(root_debs, locked_sources(recipe, lock, arch)), arch,
                commands.Bench(pool, store, scratch),
            )
        files = stack.enter_context(unpacked(debs, pool, store))
        files.epoch = max(files.epoch, made.epoch)
        if recipe.says.kernel is None:
            entries: Sequence[Entry] = root_entries(recipe, files, arch, made.entries)
        else:
            entries = _kernel_entries(recipe, files, arch, scratch)
        layer = _layer(entries, packing, store)
    says = recipe.says
    return image.write_image(
        store, platform=Platform("linux", arch), layers=[layer],
        entrypoint=says.entrypoint, cmd=says.cmd, env=says.env, cwd=says.workdir,
        user=says.user, labels={**more, **labels(recipe, debs, root_debs, arch)},
        created_s=files.epoch,
    )  # fmt: skip


def locked_debs(recipe: Recipe, lock: Lock, arch: str) -> tuple[Deb, ...]:
    """The .debs to make ``recipe`` of.

    Raises LK0538 (the recipe is not for ``arch``), LK0539 (not in the lock), LK0540 (the lock is
    older than the recipe).
    """
    says = recipe.says
    if arch not in says.arches:
        raise Error(
            "LK0538", f'the package "{recipe.name}" is not made for {arch}',
            hint=f"it is made for {', '.join(says.arches)}", where=recipe.where,
        )  # fmt: skip
    if says.debian is None and says.kernel is None:
        return ()
    return _locked(recipe, recipe.name, recipe.inputs(arch), lock, arch)


def locked_root(recipe: Recipe, lock: Lock, arch: str) -> tuple[Deb, ...]:
    """The .debs that the commands of ``recipe`` run with.  Raises LK0539, LK0540."""
    if recipe.says.build is None:
        return ()
    return _locked(recipe, recipe.root_name, recipe.root_inputs(arch), lock, arch)


def locked_sources(recipe: Recipe, lock: Lock, arch: str) -> tuple[Deb, ...]:
    """The archives of the source packages of ``recipe``.  Raises LK0539, LK0540."""
    if recipe.says.build is None or not recipe.says.build.sources:
        return ()
    return _locked(recipe, recipe.source_name, recipe.source_inputs(), lock, arch)


def _locked(recipe: Recipe, name: str, inputs: str, lock: Lock, arch: str) -> tuple[Deb, ...]:
    command = f"refresh it: linuxkit pkg lock --update {recipe.name} --arch {arch}"
    locked = lock.of(name, arch)
    if locked is None:
        raise Error("LK0539", f'the lock has no packages for "{name}" on {arch}', hint=command)
    if locked.inputs != inputs:
        raise Error(
            "LK0540", f'the recipe "{recipe.name}" was changed after it was locked', hint=command,
            where=recipe.where,
        )  # fmt: skip
    return lock.debs_of(name, arch)


def root_entries(
    recipe: Recipe, files: Files, arch: str, made: Sequence[Entry] = ()
) -> Sequence[Entry]:
    """The tree of a recipe that is no kernel; ``made`` is what its commands have left.

    Raises LK0524, LK0526, LK0535 to LK0537, LK0541.
    """
    settings = recipe.says.debian
    root = Root(files.epoch, usr_merge=settings is not None and settings.usr_merge)
    interpreters: Iterable[str] = ()
    if settings is not None:
        multiarch = platform.arch(arch).multiarch
        kept = select(files, settings.kept(arch), settings.drop, multiarch)
        root.add_debs(files, kept)
        interpreters = kept.interpreters
    for entry in made:
        root.add(entry)
    if recipe.says.users:
        root.add_users(recipe.says.users)
    for file in recipe.says.files:
        if file.concat:
            root.add_own(file, _joined(files, file.concat), 0o644)
        else:
            root.add_own(file, *own_bytes(file, recipe.folder, arch))
    root.link_usr(files, interpreters)
    return root.entries()


def _joined(files: Files, pattern: str) -> bytes:
    """The contents of every file of the .debs that fits ``pattern``, sorted by path."""
    fits = matcher([pattern])
    found = [file for path in sorted(files.entries) if fits(path) and (file := files.file(path))]
    if not found:
        raise Error(
            "LK0541", f'`concat` has "{printable(pattern)}", which fits no file of these packages'
        )
    return b"".join(chunk for file in found for chunk in file.content.chunks())


def _kernel_entries(recipe: Recipe, files: Files, arch: str, scratch: BinaryIO) -> list[Entry]:
    driver = recipe.says.kernel
    modules = driver.modules.get(arch) if driver else ()
    kernel = kernels.take(files, modules, driver.device_trees.get(arch) if driver else ())
    writer = tar.Writer(scratch)
    for entry in (*kernel.trees, *kernel.modules):
        writer.add(entry)
    writer.close()
    scratch.flush()
    beside = Slice(scratch.fileno(), 0, scratch.seek(0, 2))
    made = [
        Entry("kernel", Kind.FILE, 0o644, mtime=files.epoch, content=kernel.image.content),
        Entry("kernel.tar", Kind.FILE, 0o644, mtime=files.epoch, content=beside),
    ]
    config = kernel.config.content if kernel.config else Bytes(b"")
    return [Entry("config", Kind.FILE, 0o644, mtime=files.epoch, content=config), *made]


def _layer(entries: Iterable[Entry], packing: compress.Compression, store: Store) -> Layer:
    with store.writer() as blob:
        packer = compress.open_writer(packing.name, packing.level, blob)
        plain = digest.HashingWriter(cast("BinaryIO", packer))
        writer = tar.Writer(plain)
        for entry in entries:
            writer.add(entry)
        writer.close()
        packer.close()
    media_type = f"{model.OCI_LAYER}+{packing.name}"
    return image.Layer(Descriptor(media_type, blob.digest, blob.size), plain.digest)


def labels(
    recipe: Recipe, debs: Sequence[Deb], root: Sequence[Deb], arch: str
) -> dict[str, str]:
    """The labels of an image that is made of ``debs``, by commands run with those of ``root``."""
    found = {"org.opencontainers.image.title": recipe.name}
    for label, listed in ((_DEBS, debs), (_ROOT, root)):
        if listed:
            found[label] = " ".join(f"{deb.package}={deb.version}" for deb in listed)
    main = recipe.main_package(arch)
    version = next((deb.version for deb in debs if deb.package == main), "")
    if version:
        found["org.opencontainers.image.version"] = version
    if recipe.config is not None:
        found[_CONFIG] = digest.canonical_json(recipe.config).decode()
    return {**found, **recipe.says.labels}
