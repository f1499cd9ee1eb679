"""Refreshes the lock: solves each recipe against signed indices and keeps what contributes files.

Every .debs of a closure is fetched once here, so that builds fetch only those that are used.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import events, platform
from linuxkit.base.errors import Error
from linuxkit.recipes import buildroot
from linuxkit.recipes.debian import kernel as kernels
from linuxkit.recipes.debian import solver
from linuxkit.recipes.debian.lock import Deb, Lock, Locked
from linuxkit.recipes.debian.release import MAIN
from linuxkit.recipes.debian.select import select
from linuxkit.recipes.debian.unpacked import unpacked
from linuxkit.recipes.glob import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.archive import Archive
    from linuxkit.recipes.debian.control import Index, Package, SourceFile
    from linuxkit.recipes.debian.files import Files
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.recipes.recipe import Recipe


class Refreshed(NamedTuple):
    """A new lock, and what could not be brought up to date."""

    lock: Lock
    failures: tuple[Error, ...]


class Bench(NamedTuple):
    """What locking works with."""

    archive: Archive
    pool: Pool
    store: Store


def refresh(old: Lock, recipes: Sequence[Recipe], arches: Sequence[str], bench: Bench) -> Refreshed:
    """Lock ``recipes`` for the OCI architectures ``arches`` anew; all else stays as it was.

    A recipe that fails on one architecture keeps its old entry there and is among the failures.
    """
    packages = {name: dict(found) for name, found in old.packages.items()}
    debs = dict(old.debs)
    failures: list[Error] = []
    indices: dict[_Origin, Index | None] = {}
    for arch in arches:
        for part in (part for recipe in recipes for part in _parts(recipe, arch)):
            if part.origin not in indices:
                indices[part.origin] = _index(part.origin, bench, failures)
            index = indices[part.origin]
            if index is None:
                continue
            try:
                chosen = _one(part, arch, index, bench)
            except Error as error:
                failures += [_told(f"{part.name} {arch}", one) for one in error.all()]
                continue
            packages.setdefault(part.name, {})[arch] = Locked(part.inputs, tuple(sorted(chosen)))
            debs.update({key: _older(debs.get(key), deb) for key, deb in chosen.items()})
    return Refreshed(Lock(_suites(old, bench.archive), packages, debs), tuple(failures))


class _Origin(NamedTuple):
    """Where .debs are from: the OCI architecture, parts of the archive, "" or another suite."""

    machine: str
    components: tuple[str, ...] = (MAIN,)
    suite: str = ""


def _index(origin: _Origin, bench: Bench, failures: list[Error]) -> Index | None:
    arch = platform.arch(origin.machine).debian
    try:
        return bench.archive.index(arch, origin.components, origin.suite)
    except Error as error:
        failures.append(_told(f"{origin.machine} stays as it was", error))
        return None


class _Part(NamedTuple):
    """Something that a recipe needs .debs for."""

    recipe: Recipe
    name: str  # in the lock
    inputs: str
    origin: _Origin
    kind: str  # what is found: "image", "root" (of the commands) or "source"


def _parts(recipe: Recipe, arch: str) -> Iterator[_Part]:
    says = recipe.says
    if arch not in says.arches:
        return
    if says.debian or says.kernel:
        components = says.debian.components if says.debian else (MAIN,)
        origin = _Origin(arch, components, says.kernel.suite if says.kernel else "")
        yield _Part(recipe, recipe.name, recipe.inputs(arch), origin, "image")
    if says.build:
        inputs = recipe.root_inputs(arch)
        runs_on = _Origin(says.build.runs_on(arch))
        yield _Part(recipe, recipe.root_name, inputs, runs_on, "root")
        if says.build.sources:
            name, inputs = recipe.source_name, recipe.source_inputs()
            yield _Part(recipe, name, inputs, runs_on, "source")


def is_stale(recipe: Recipe, lock: Lock, arch: str) -> bool:
    """Whether the recipe was changed since it was locked for ``arch``, or never was."""
    locked = ((lock.of(part.name, arch), part.inputs) for part in _parts(recipe, arch))
    return any(found is None or found.inputs != inputs for found, inputs in locked)


def _older(known: Deb | None, found: Deb) -> Deb:
    """What is already there, if it is the same: a lock changes no more than it must."""
    same = known is not None and known._replace(seen="") == found._replace(seen="")
    return known if known is not None and same else found


def _suites(old: Lock, archive: Archive) -> dict[str, Mapping[str, str]]:
    found = dict(old.suites)
    for name, (_base, release) in archive.suites.items():
        found[name] = {"date": f"{release.date:%Y-%m-%dT%H:%M:%SZ}", "sha256": release.sha256}
    return found


def _told(what: str, error: Error) -> Error:
    return Error(
        error.code, f"{what}: {error.message}", hint=error.hint, where=error.where,
        detail=error.detail,
    )  # fmt: skip


def _one(part: _Part, arch: str, index: Index, bench: Bench) -> dict[str, Deb]:
    """The .debs that are needed: for an image those that it takes files of."""
    recipe = part.recipe
    if part.kind == "source":
        asked = recipe.says.build.sources if recipe.says.build else ()
        archives = (file for name in asked for file in bench.archive.source(name))
        return {file.name: _source(file, bench.archive) for file in archives}
    found = {p.key: _deb(p, bench.archive) for p in _candidates(part, arch, index)}
    if part.kind == "root":
        return found
    debs = tuple(found[key] for key in sorted(found))
    bench.pool.fetch(debs, f"candidates for {recipe.name} {arch}")
    with (
        events.task("lock", f"{recipe.name} {arch}", unit=""),
        unpacked(debs, bench.pool, bench.store) as files,
    ):
        owners = _contributors(recipe, files, arch)
    return {key: deb for key, deb in found.items() if f"{deb.package} {deb.version}" in owners}


def _candidates(part: _Part, arch: str, index: Index) -> Sequence[Package]:
    says, machine = part.recipe.says, platform.arch(part.origin.machine).debian
    if part.kind == "root" and says.build is not None:
        wanted = (*buildroot.ESSENTIAL, *says.build.packages.get(arch))
        return solver.closure(index, wanted, arch=machine, exclude=says.build.exclude)
    if says.kernel is not None:
        name = part.recipe.main_package(arch)
        return kernels.packages(index, name, arch) if name else ()
    if says.debian is None:
        return ()
    asked = says.debian
    return solver.closure(index, asked.packages.get(arch), arch=machine, exclude=asked.exclude)


def _deb(package: Package, archive: Archive) -> Deb:
    return Deb(
        package.name, package.version, package.suite, package.pool, _seen(package.suite, archive),
        package.size, package.sha256,
    )  # fmt: skip


def _source(file: SourceFile, archive: Archive) -> Deb:
    """An archive of a source package, which a lock names as it does .debs."""
    return Deb(
        file.name, file.version, file.suite, file.pool, _seen(file.suite, archive), file.size,
        file.sha256,
    )  # fmt: skip


def _seen(suite: str, archive: Archive) -> str:
    # Snapshots are taken some hours after a release, and files stay for weeks.
    seen = archive.suites[suite].release.date + timedelta(days=1)
    return f"{seen:%Y%m%dT%H%M%SZ}"


def _contributors(recipe: Recipe, files: Files, arch: str) -> set[str]:
    """Who owns the files that an image of ``recipe`` is made of."""
    if recipe.says.debian is None:
        uses: Callable[[str], bool] = kernels.contributes
        return {owner for path, owner in files.owner.items() if uses(path)}
    asked = recipe.says.debian
    kept = select(files, asked.kept(arch), asked.drop, platform.arch(arch).multiarch)
    joined = matcher(recipe.concats)
    paths = {*kept.paths, *(path for path in files.entries if joined(path))}
    # A folder counts where it is kept for itself, not as the way to something in it.
    above = {parent for path in paths for parent in _parents(path)}
    return {files.owner[path] for path in paths - above}


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def differences(old: Lock, new: Lock) -> list[str]:
    """What changed, for people to read: a line for each recipe and kind of change."""
    lines: list[str] = []
    for name in sorted({*old.packages, *new.packages}):
        changes: dict[str, list[str]] = {}
        for arch in platform.names():
            if old.debs_of(name, arch) != new.debs_of(name, arch):
                changes.setdefault(_changes(old, new, name, arch), []).append(arch)
            elif old.of(name, arch) != new.of(name, arch):
                changed = "the recipe changed, the packages did not"
                text = changed if old.of(name, arch) else "made without Debian packages"
                changes.setdefault(text, []).append(arch)
        lines += [f"{name} ({', '.join(arches)}): {text}" for text, arches in changes.items()]
    return lines


def _changes(old: Lock, new: Lock, name: str, arch: str) -> str:
    before = {deb.package: deb.version for deb in old.debs_of(name, arch)}
    after = {deb.package: deb.version for deb in new.debs_of(name, arch)}
    words = (
        _change(package, before.get(package), after.get(package))
        for package in sorted({*before, *after})
        if before.get(package) != after.get(package)
    )
    return ", ".join(words) or "the same versions with other bytes"


def _change(package: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"+{package} {after}"
    if after is None:
        return f"-{package} {before}"
    return f"{package} {before} → {after}"
