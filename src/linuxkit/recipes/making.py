"""Makes the images of a package folder: for each architecture what is missing, then their index.

What to do for an architecture is decided by :func:`decide`; how is left to the drivers.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import events, files
from linuxkit.base.errors import Error, printable
from linuxkit.oci import image, model, ref
from linuxkit.oci.model import Platform
from linuxkit.recipes import attest, bases, buildah, builder, depends
from linuxkit.recipes import package as packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.recipes.package import Package

_UNLOCKED = ("LK0539", "LK0540")


class Choice(StrEnum):
    """What is done for one architecture."""

    CACHED = "in the store"
    PULLED = "pulled"
    REMOTE = "in the registry"
    BUILT = "built"


class Options(NamedTuple):
    """What may be done."""

    force: bool = False  # build, whatever is there
    pull: bool = False  # rather fetch than build
    nobuild: bool = False
    sbom: bool = True


class Bench(NamedTuple):
    """What is worked with."""

    store: Store
    pool: Pool
    find: Callable[[Ref, Platform], Descriptor]  # an image to build upon, brought into the store
    fetch: Callable[[Ref, Platform], Descriptor | None]  # an image of a registry; None: has none
    is_remote: Callable[[Ref, Platform], bool]  # whether a registry has it


class _Job(NamedTuple):
    """One package to make; ``above`` are those that it is made for."""

    package: Package
    options: Options
    bench: Bench
    above: tuple[Path, ...] = ()


class Made(NamedTuple):
    """An image for one architecture; None where only the registry has it."""

    arch: str
    choice: Choice
    descriptor: Descriptor | None


def decide(
    options: Options,
    *,
    is_stored: bool,
    fetch: Callable[[], bool],
    is_remote: Callable[[], bool],
) -> Choice:
    """What to do; ``fetch`` brings the image into the store, if it can.

    Raises LK0580 where nothing may be built and nothing is there.
    """
    if options.force and not options.nobuild:
        return Choice.BUILT
    if is_stored:
        return Choice.CACHED
    if options.pull and fetch():
        return Choice.PULLED
    if is_remote():
        return Choice.REMOTE
    if options.nobuild:
        raise Error(
            "LK0580", "it is neither in the store nor in the registry, and --nobuild was given",
            hint="build it without --nobuild, or fetch it with --pull",
        )  # fmt: skip
    return Choice.BUILT


def make(
    package: Package, arches: Sequence[str], options: Options, bench: Bench
) -> tuple[Made, ...]:
    """Make what is missing of ``package`` and name it in the store.

    The images get the names NAME-ARCH, and NAME stands for all of them that the store has.
    Packages that it builds upon and that its build arguments name are fetched or made first.
    Raises LK0580, LK0581 (no Dockerfile), LK0582 (another commit), and what the drivers raise.
    """
    if package.wishes.asked.hash_commit != "HEAD":
        raise Error(
            "LK0582", f"{package.reference} is of another commit than the one that lies there",
            hint="check that commit out; --hash-commit is for `pkg show-tag`",
        )  # fmt: skip
    return _make(_Job(package, options, bench), arches)


def _make(job: _Job, arches: Sequence[str]) -> tuple[Made, ...]:
    made = tuple(_one(job, arch) for arch in arches)
    entries = [one.descriptor for one in made if one.descriptor is not None]
    if entries:
        merge(job.bench.store, str(ref.parse(job.package.reference)), entries)
    return made


def _one(job: _Job, arch: str) -> Made:
    package, options, bench = job.package, job.options, job.bench
    name, whole = ref.parse(package.name_for(arch)), ref.parse(package.reference)
    target = Platform("linux", arch)
    stored = _stored(bench.store, str(name), target)

    def fetch() -> bool:
        found = bench.fetch(whole, target)
        if found is None:
            return False
        one = image.open_image(bench.store, found, target).descriptor
        bench.store.set_name(str(name), one._replace(platform=target))
        return True

    try:
        choice = decide(
            options, is_stored=stored is not None, fetch=fetch,
            is_remote=lambda: bench.is_remote(whole, target),
        )  # fmt: skip
    except Error as error:
        error.message = f"{name}: {error.message}"
        raise
    if choice is Choice.BUILT:
        stored = _build(job, arch)
        bench.store.set_name(str(name), stored)
    elif choice is Choice.PULLED:
        stored = _stored(bench.store, str(name), target)
    return Made(arch, choice, stored)


def _stored(store: Store, name: str, target: Platform) -> Descriptor | None:
    found = store.find(name)
    if found is None or not image.is_whole(store, found, target):
        return None
    return found._replace(annotations=(), platform=target)


def _build(job: _Job, arch: str) -> Descriptor:
    package, store = job.package, job.bench.store
    upon: dict[str, Descriptor] = {}
    if package.recipe.is_ours:
        made = _with_drivers(package, arch, job.bench)
    else:
        upon = _bases(job, arch)
        target = Platform("linux", arch)
        beside = {one: job.bench.find(one, target) for one in depends.images(package)}
        with _context(package, beside, target, store) as context:
            made = _with_buildah(package, arch, upon, context, store)
        upon.update((str(one), found) for one, found in beside.items())
    made = made._replace(annotations=(), platform=Platform("linux", arch))
    attest.attach(package, arch, made, upon, store, sbom=job.options.sbom)
    return made


def _with_drivers(package: Package, arch: str, bench: Bench) -> Descriptor:
    try:
        return builder.build(
            package.recipe, package.lock(), arch, bench.pool, bench.store,
            more=package.labels(), packing=builder.COMMON,
        )  # fmt: skip
    except Error as error:
        if error.code in _UNLOCKED:
            error.hint = f"refresh it: linuxkit pkg lock {package.folder} --arch {arch}"
        raise


def _bases(job: _Job, arch: str) -> dict[str, Descriptor]:
    """What the Dockerfile builds upon, in the store; packages that arguments name are made first.

    Raises LK0585 where that goes round in a circle.
    """
    package, bench = job.package, job.bench
    target = Platform("linux", arch)
    known = bases.folders(package)
    found = {}
    for name, where in bases.names(package).items():
        wanted = ref.parse(name, where)
        folder = known.get(str(wanted))
        if folder is not None:
            _make_base(folder, arch, job)
        try:
            found[name] = bench.find(wanted, target)
        except Error as error:
            error.where = error.where or where
            if str(wanted) not in error.message:
                error.message = f"{wanted}: {error.message}"
            beside = bases.neighbour(package, name)
            if beside is not None:
                error.hint = f"it is made of {beside}: linuxkit pkg build {beside}"
            raise
    return found


def _make_base(folder: Path, arch: str, job: _Job) -> None:
    above = (*job.above, job.package.folder)
    if folder in above:
        circle = " → ".join(path.name for path in (*above[above.index(folder) :], folder))
        raise Error("LK0585", f"packages build upon each other: {circle}")
    base = packages.load(folder)
    options = Options(pull=True, sbom=job.options.sbom)
    _make(_Job(base, options, job.bench, above), base.arches([arch]))


def _with_buildah(
    package: Package, arch: str, upon: Mapping[str, Descriptor], context: Path, store: Store
) -> Descriptor:
    request = buildah.Request(
        package.recipe.name, context, package.dockerfile, arch, package.arguments(),
        {**package.labels(), **package.config_labels()}, upon, package.network,
        package.fresh, package.revision.time_s,
    )  # fmt: skip
    return buildah.build(request, store, package.name_for(arch))


@contextlib.contextmanager
def _context(
    package: Package, beside: Mapping[Ref, Descriptor], target: Platform, store: Store
) -> Iterator[Path]:
    """The folder that the Dockerfile sees: the package's, with extra sources and images in place.

    Nothing is written to the package's own folder.
    """
    sources = package.recipe.says.extra_sources
    if not sources and not beside:
        yield package.folder
        return
    above = buildah.folder(store)
    try:
        above.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=above) as scratch:
            context = Path(scratch) / "context"
            shutil.copytree(package.folder, context, symlinks=True)
            for text in sources:
                source, colon, name = text.partition(":")
                place = context / (name if colon else Path(source).name)
                if not place.resolve().is_relative_to(context.resolve()):
                    raise Error(
                        "LK0545", f'`extra-sources` has "{printable(text)}", which leads outside',
                        where=package.recipe.where,
                    )  # fmt: skip
                found = package.folder / source
                if found.is_dir():
                    shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
                else:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(found, place)
            depends.write(package, beside, target, store, context)
            yield context
    except OSError as error:
        raise files.os_error(error, "copy the sources of", package.folder) from error


def merge(store: Store, name: str, entries: Sequence[Descriptor]) -> Descriptor:
    """Let ``name`` be an index with ``entries`` and what it listed for other platforms."""
    while True:  # until nobody else was faster
        old = store.find(name)
        others = _listed(store, old) if old else ()
        new = image.write_index(store, merged(others, entries))
        if store.replace_name(name, old, new):
            events.note(f"{name} {new.digest}", level="debug")
            return new


def merged(
    old: Sequence[Descriptor], new: Sequence[Descriptor]
) -> tuple[Descriptor, ...]:
    """The entries of an index, one for each platform, in the order of platforms."""
    plain = [entry._replace(annotations=()) for entry in (*old, *new) if entry.platform]
    by_platform = {str(entry.platform): entry for entry in plain}
    return tuple(by_platform[key] for key in sorted(by_platform))


def _listed(store: Store, old: Descriptor) -> tuple[Descriptor, ...]:
    if old.media_type not in model.INDEXES:
        return ()
    return model.decode_index(store.read(old.digest, model.MANIFEST_LIMIT), old).manifests
