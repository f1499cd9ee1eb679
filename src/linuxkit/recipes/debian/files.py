"""The files of several .debs as one map of paths, with every alias of ``/usr`` brought home.

Which of them a recipe keeps is chosen in ``select``.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.tree.entry import Entry

_ALIASES = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})
_MAX_LINKS = 40


def home(path: str) -> str:
    """Where a path really lies on a system with merged ``/usr``."""
    return f"usr/{path}" if path.partition("/")[0] in _ALIASES else path


class Files:
    """The union of the trees of .debs."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.owner: dict[str, str] = {}
        self.epoch = 0  # of the newest .deb, Unix seconds

    def add(self, deb: str, entries: Iterable[Entry], epoch: int) -> None:
        """Take in the tree of ``deb``, made at ``epoch``; nothing in it may be newer.

        Raises LK0523 when another .deb has a different file of the same name.
        """
        self.epoch = max(self.epoch, epoch)
        for entry in entries:
            if entry.path in _ALIASES and entry.kind is not Kind.DIR:
                continue
            moved = _moved(entry, epoch)
            known = self.entries.get(moved.path)
            if known is None:
                self.entries[moved.path] = moved
                self.owner[moved.path] = deb
            elif not _same(known, moved):
                raise Error(
                    "LK0523",
                    f"{self.owner[moved.path]} and {deb} both bring {printable(moved.path)}",
                    hint="put one of the two packages into `exclude:`",
                )

    def resolve(self, path: str) -> tuple[Entry | None, tuple[str, ...]]:
        """What ``path`` leads to, and the symbolic links on the way there."""
        links: list[str] = []
        todo = home(posixpath.normpath(path).lstrip("/")).split("/")
        done = ""
        while todo:
            done = posixpath.join(done, todo.pop(0))
            entry = self.entries.get(done)
            if entry is not None and entry.kind is Kind.SYMLINK:
                links.append(done)
                if len(links) > _MAX_LINKS:
                    return None, tuple(links)
                target = self.target(entry)
                todo = [*target.split("/"), *todo]
                done = ""
        return self.entries.get(done), tuple(links)

    @staticmethod
    def target(link: Entry) -> str:
        """The path that a symbolic link names, seen from the root."""
        folder = "" if link.link.startswith("/") else posixpath.dirname(link.path)
        return home(posixpath.normpath(posixpath.join("/", folder, link.link)).lstrip("/"))

    def is_folder(self, path: str) -> bool:
        """Whether a folder lies at ``path``."""
        entry = self.entries.get(path)
        return entry is not None and entry.kind is Kind.DIR

    def file(self, path: str) -> Entry | None:
        """The regular file at ``path``, a hard link seen as the file it repeats."""
        entry = self.entries.get(path)
        if entry is not None and entry.kind is Kind.HARDLINK:
            entry = self.entries.get(entry.link)
        return entry if entry is not None and entry.kind is Kind.FILE else None


def _moved(entry: Entry, epoch: int) -> Entry:
    link = entry.link
    if entry.kind is Kind.HARDLINK:
        link = home(link)
    elif entry.kind is Kind.SYMLINK and link.startswith("/"):
        link = "/" + home(link.lstrip("/"))
    mtime = max(0, min(entry.mtime, epoch))
    return entry._replace(path=home(entry.path), link=link, mtime=mtime)


def _same(one: Entry, other: Entry) -> bool:
    """Whether two .debs agree about a path; for folders the first one's owner and mode count."""
    if one.kind is not other.kind:
        return False
    if one.kind is Kind.DIR:
        return True
    if (one.mode, one.uid, one.gid, one.link) != (other.mode, other.uid, other.gid, other.link):
        return False
    if one.content.size != other.content.size:
        return False
    return b"".join(one.content.chunks()) == b"".join(other.content.chunks())
