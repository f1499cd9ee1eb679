"""Many package folders: which there are, which build upon which, and working through them.

Building one is left to the caller; here it is decided which can be built now.
"""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.oci import ref
from linuxkit.recipes import buildargs, dockerfile, gittag, package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from linuxkit.recipes.package import Package, Wishes

_MAX_DEPTH = 8
_MAX_COUNT = 10_000
_MAX_DOCKERFILE = 1 << 20


class Done(NamedTuple):
    """How it went with one package."""

    folder: Path
    lines: tuple[str, ...] = ()  # what was told of it
    error: Error | None = None
    blocked_by: Path | None = None  # the package that failed, for which this one was not begun


def find(tree: Path, build_yml: str = gittag.BUILD_YML) -> tuple[Path, ...]:
    """Every package folder below ``tree``, sorted; no links are followed.

    Raises LK0566 (there is none), LK0102.
    """
    found: list[Path] = []
    top = tree.resolve()

    def failed(error: OSError) -> None:
        raise files.os_error(error, "read", top)

    for path, folders, names in os.walk(top, onerror=failed):
        here = Path(path)
        deep = len(here.relative_to(top).parts) >= _MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        if build_yml in names:
            found.append(here)
            folders.clear()  # what lies in a package is the package's
    if not found or len(found) > _MAX_COUNT:
        raise Error("LK0566", f"there are {len(found)} packages in {tree}")
    return tuple(sorted(found))


def load(folders: Sequence[Path], wishes: Wishes) -> dict[Path, Package]:
    """Read all of them.  Raises everything that is wrong with any, at once."""
    from linuxkit.base.errors import raise_all

    found: dict[Path, Package] = {}
    errors: list[Error] = []
    for folder in folders:
        try:
            found[folder] = package.load(folder, wishes)
        except Error as error:
            errors.append(error)
    raise_all(errors)
    return found


def graph(packages: Mapping[Path, Package]) -> dict[Path, frozenset[Path]]:
    """What each builds upon, among them: packages in build arguments, and images of Dockerfiles.

    Raises LK0585 where they go round in a circle.
    """
    names = {str(ref.parse(one.reference)): folder for folder, one in packages.items()}
    found = {
        folder: frozenset(_needs(one, names)) & packages.keys() - {folder}
        for folder, one in packages.items()
    }
    _refuse_circles(found)
    return found


def _needs(one: Package, names: Mapping[str, Path]) -> Iterator[Path]:
    yield from buildargs.packages(one.lines(), one.folder)
    if one.recipe.is_ours or not one.dockerfile.is_file():
        return
    with one.dockerfile.open("rb") as source:
        text = source.read(_MAX_DOCKERFILE).decode(errors="replace")
    named = dockerfile.bases(text, one.arguments(), str(one.dockerfile))
    for base, where in named.items():
        folder = names.get(str(ref.parse(base, where)))
        if folder is not None:
            yield folder


def _refuse_circles(needs: Mapping[Path, frozenset[Path]]) -> None:
    left = dict(needs)
    while left:
        free = [folder for folder, wanted in left.items() if not wanted & left.keys()]
        if not free:
            raise Error("LK0585", f"packages build upon each other: {_circle(left)}")
        for folder in free:
            del left[folder]


def _circle(left: Mapping[Path, frozenset[Path]]) -> str:
    """One circle among ``left``, each of which needs another of them."""
    trail = [min(left)]
    while len(set(trail)) == len(trail):
        trail.append(min(left[trail[-1]] & left.keys()))
    return " → ".join(path.name for path in trail[trail.index(trail[-1]) :])


def work(
    needs: Mapping[Path, frozenset[Path]], begin: Callable[[Path], Future[tuple[str, ...]]]
) -> Iterator[Done]:
    """Begin each package when all that it needs is done; how it went, as soon as it is known.

    What needs one that failed is not begun; all others go on.
    """
    todo = dict(needs)
    done: set[Path] = set()
    failed: dict[Path, Path] = {}  # and what is to blame
    running: dict[Future[tuple[str, ...]], Path] = {}
    while todo or running:
        for folder in [folder for folder, wanted in todo.items() if wanted & failed.keys()]:
            blame = failed[min(todo.pop(folder) & failed.keys())]
            failed[folder] = blame
            yield Done(folder, blocked_by=blame)
        for folder in [folder for folder, wanted in todo.items() if wanted <= done]:
            del todo[folder]
            running[begin(folder)] = folder
        if not running:
            continue
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            folder = running.pop(future)
            try:
                lines = future.result()
            except Error as error:
                failed[folder] = folder
                yield Done(folder, error=error)
            else:
                done.add(folder)
                yield Done(folder, lines)
