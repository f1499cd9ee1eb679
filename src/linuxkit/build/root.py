"""What the segments at the system's root hold, by name: enough to add files without harm.

A file's parent directories are made only where no segment has them, and a path through one of
the root's links lands where the running system would look for it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from linuxkit.build.plan import Item
    from linuxkit.tree.entry import Entry

_MAX_LINKS = 40


def listing(entries: Iterable[Entry]) -> bytes:
    """What is there, as JSON: ``names`` with true for a directory, false for a file, text for a
    link; and ``linked``, the files that have several names.
    """  # noqa: D205
    names: dict[str, bool | str] = {}
    linked: set[str] = set()
    for entry in entries:
        names[entry.path] = entry.link if entry.kind is Kind.SYMLINK else entry.kind is Kind.DIR
        if entry.kind is Kind.HARDLINK:
            linked |= {entry.path, entry.link}
    value = {"names": names, "linked": sorted(linked)}
    return json.dumps(value, separators=(",", ":")).encode()


def listed(data: bytes) -> Collection[str]:
    """The names in a :func:`listing`."""
    names: dict[str, bool | str] = json.loads(data)["names"]
    return names


class Root:
    """The names at the root, filled segment by segment."""

    def __init__(self) -> None:
        self._names: dict[str, bool | str] = {}
        self._linked: set[str] = set()

    def add_listing(self, data: bytes, who: str) -> Collection[str]:
        """Merge the :func:`listing` of a segment called ``who``; returns its names.

        Ask :meth:`clashes` first.

        Raises LK0704 where it puts something else in a directory's place: an initramfs cannot
        express that, and nobody means it.
        """
        value = json.loads(data)
        names: dict[str, bool | str] = value["names"]
        self._linked = (self._linked - names.keys()) | set(value["linked"])
        for path, kind in names.items():
            if self._names.get(path) is True and kind is not True:
                raise Error(
                    "LK0704",
                    f"{who} has {_kind_name(kind)} at /{printable(path)}, "
                    "which is a directory of an earlier part",
                    hint="leave one of the two out, or change the order of the init images",
                )
            self._names[path] = kind
        return names

    def add_item(self, item: Item) -> None:
        """Take note of something we make ourselves."""
        is_link = item.kind == "symlink"
        self._names[item.path] = item.link if is_link else item.kind == "dir"
        self._linked.discard(item.path)

    def clashes(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Which of ``paths`` are names of files with other names, which those would change too.

        The kernel opens a file that an earlier piece of the initramfs made and writes into it.
        """
        return tuple(sorted(self._linked.intersection(paths)))

    def has(self, path: str) -> bool:
        """Whether anything is there."""
        return path in self._names

    def is_directory(self, path: str) -> bool:
        """Whether a directory is there."""
        return self._names.get(path) is True

    def resolve(self, path: str) -> str:
        """``path`` with links among its parents followed inside the root.

        Raises LK0705 for a parent that is a file, and for links that go in circles.
        """
        links = 0
        todo = path.split("/")[::-1]
        done: list[str] = []
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
                continue
            if part in {"", "."}:
                continue
            here = "/".join([*done, part])
            kind = self._names.get(here)
            if not todo or kind is None or kind is True:
                done.append(part)
            elif isinstance(kind, str):
                links += 1
                if links > _MAX_LINKS:
                    raise Error("LK0705", f"/{printable(path)} leads through links in a circle")
                if kind.startswith("/"):
                    done = []
                todo.extend(kind.split("/")[::-1])
            else:
                raise Error("LK0705", f"/{printable(path)} lies below the file /{printable(here)}")
        return "/".join(done)


def _kind_name(kind: bool | str) -> str:  # noqa: FBT001 - the listing's own value
    return "a link" if isinstance(kind, str) else "a file"
