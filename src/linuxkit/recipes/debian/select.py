"""Which files a recipe keeps: its patterns, what kept links lead to, what kept programs need.

Works on names and ELF headers only; the tree is made in ``recipes.rootfs``.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.recipes.debian import elf
from linuxkit.recipes.debian.files import home
from linuxkit.recipes.glob import matcher
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linuxkit.recipes.debian.elf import Linkage
    from linuxkit.recipes.debian.files import Files
    from linuxkit.tree.entry import Entry

# What people read and programs do not; gone unless a pattern of `keep` names it.
DOCUMENTS = tuple(
    f"usr/share/{name}"
    for name in (
        "bash-completion", "bug", "doc", "doc-base", "info", "lintian", "locale", "man",
    )
)  # fmt: skip


class Kept(NamedTuple):
    """The choice, and what it needs of the system around it."""

    paths: frozenset[str]  # without the folders above them
    interpreters: frozenset[str]  # absolute paths of the programs' dynamic loaders


def select(files: Files, keep: Sequence[str] | None, drop: Sequence[str], multiarch: str) -> Kept:
    """Choose the paths to keep; ``keep`` None means all, ``multiarch`` is the library folder.

    Raises LK0524 for each kept program or library that needs a library no .deb brings, LK0526
    for a pattern of ``keep`` that fits nothing.
    """
    chooser = _Chooser(files, multiarch)
    wanted, unwanted = _wanted(files, keep), matcher(drop)
    for path in sorted(files.entries):
        if wanted(path) and not unwanted(path):
            chooser.keep(path)
    chooser.close()
    raise_all(chooser.errors)
    return Kept(frozenset(chooser.kept), frozenset(chooser.interpreters))


def _wanted(files: Files, keep: Sequence[str] | None) -> Callable[[str], bool]:
    documents = matcher([f"{folder}/**" for folder in DOCUMENTS])
    if keep is None:
        return lambda path: not documents(path)
    _all_fit(files, keep)
    listed = matcher(keep)
    explicit = matcher([pattern for pattern in keep if pattern.startswith(DOCUMENTS)])
    return lambda path: listed(path) and (not documents(path) or explicit(path))


def _all_fit(files: Files, keep: Sequence[str]) -> None:
    errors: list[Error] = []
    for pattern in keep:
        fits = matcher([pattern])
        if not any(map(fits, files.entries)):
            text = f'`keep` has "{printable(pattern)}", which fits no file of these packages'
            errors.append(Error("LK0526", text, hint=_elsewhere(files, pattern)))
    raise_all(errors)


def _elsewhere(files: Files, pattern: str) -> str:
    base = pattern.rpartition("/")[2]
    found = [path for path in sorted(files.entries) if path.rpartition("/")[2] == base]
    return f"there is {', '.join(found[:3])}" if found and "*" not in base else ""


class _Chooser:
    def __init__(self, files: Files, multiarch: str) -> None:
        self._files = files
        self._folders = (f"usr/lib/{multiarch}", "usr/lib", "usr/lib64")
        self._todo: list[str] = []
        self._known: dict[str, Linkage | None] = {}
        self.kept: set[str] = set()
        self.interpreters: set[str] = set()
        self.errors: list[Error] = []

    def keep(self, path: str) -> None:
        if path not in self.kept:
            self.kept.add(path)
            self._todo.append(path)

    def close(self) -> None:
        """Add what is needed until nothing more is."""
        while self._todo:
            path = self._todo.pop()
            entry = self._files.entries[path]
            if entry.kind is Kind.SYMLINK:
                self._reach(path)
            file = self._files.file(path)
            if file is not None and elf.is_elf(file.content):
                self._needs(path, file)

    def _reach(self, path: str) -> Entry | None:
        """Keep the links on the way to the file at ``path``, and the file."""
        entry, links = self._files.resolve(path)
        if entry is None or entry.kind not in (Kind.FILE, Kind.HARDLINK):
            return None
        for link in links:
            self.keep(link)
        self.keep(entry.path)
        return entry

    def _needs(self, path: str, file: Entry) -> None:
        try:
            linkage = self._linkage(file)
        except Error as error:
            owner = self._files.owner[path]
            self.errors.append(Error(error.code, f"{owner}: {printable(path)}: {error.message}"))
            return
        if linkage is None:
            return
        needed = list(linkage.needed)
        if linkage.interpreter:
            self.interpreters.add(linkage.interpreter)
            needed.append(linkage.interpreter)
        for name in needed:
            if not self._library(name, path, linkage):
                self.errors.append(self._missing(name, path))

    def _library(self, name: str, needer: str, linkage: Linkage) -> bool:
        """Look a library up as ld.so(8) does, and keep it."""
        if "/" in name:
            return self._reach(home(name.lstrip("/"))) is not None
        own = posixpath.dirname(needer)
        named = [
            folder.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", "/" + own)
            for folder in linkage.runpath
        ]
        # The last one is for private libraries that need each other: they have no run path, as
        # the program that loads one of them has loaded the other before, by its own.
        for folder in (*(home(f.lstrip("/")) for f in named), *self._folders, own):
            path = f"{folder}/{name}"
            if self._fits(path, linkage):
                self._reach(path)
                return True
        return False

    def _fits(self, path: str, linkage: Linkage) -> bool:
        """Whether a library of the needer's kind is there; ld.so passes over others too."""
        entry, _links = self._files.resolve(path)
        file = self._files.file(entry.path) if entry is not None else None
        if file is None or not elf.is_elf(file.content):
            return False
        try:
            found = self._linkage(file)
        except Error:  # told when something else keeps it
            return False
        return found is not None and found[:2] == linkage[:2]

    def _linkage(self, file: Entry) -> Linkage | None:
        if file.path not in self._known:
            self._known[file.path] = elf.linkage(file.content)
        return self._known[file.path]

    def _missing(self, name: str, needer: str) -> Error:
        elsewhere = [p for p in sorted(self._files.entries) if p.endswith(f"/{name}")]
        hint = "drop that file, or take the library's package out of `exclude:`"
        if elsewhere:
            hint = f"there is {elsewhere[0]}, where the loader does not look; drop one of the two"
        return Error(
            "LK0524",
            f"{printable(needer)} needs {printable(name)}, which none of the packages brings",
            hint=hint,
        )
