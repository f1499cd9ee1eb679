"""A file-system tree in memory, into which the entries of image layers are merged.

It never touches the host's files; contents stay where the entries have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.tree import path as paths
from linuxkit.tree.entry import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_NODES = 2_000_000
MAX_TEXT = 256 << 20  # bytes of names, link targets and attributes, which stay in memory

_MAX_LINKS = 40  # symbolic links on the way to one name, as in Linux
_MAX_STEPS = 512  # components that those links may add, which bounds the time of hostile trees
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

# What a directory is until an entry of its own says more.  All such nodes share it: a long name
# in a hostile layer must not leave thousands of long names in memory.
_IMPLICIT = Entry("", Kind.DIR, 0o755)


class _Node:
    """A name in a directory.  Nodes that share one entry object are hard links of one another."""

    __slots__ = ("children", "entry")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.children: dict[str, _Node] | None = {} if entry.kind is Kind.DIR else None


class Tree:
    """A mutable tree of at most ``limit`` names, which with their attributes take ``text`` bytes.

    Missing parent directories are made (0755, root, time 0) until an entry of their own comes.
    A parent that is a symbolic link is followed inside the tree, where ``/`` and ``..`` cannot
    lead out of its root: that is what an unpacker confined to the root does.
    """

    def __init__(self, *, limit: int = MAX_NODES, text: int = MAX_TEXT) -> None:
        self._limit = limit
        self._text_limit = text
        self._count = 0
        self._text = 0
        self._top: dict[str, _Node] = {}

    def __len__(self) -> int:
        return self._count

    def apply(self, entries: Iterable[Entry], *, whiteouts: bool = True) -> None:
        """Merge one layer; of entries with the same name the last counts.

        With ``whiteouts`` (OCI image-spec, layer.md) ``.wh.NAME`` and ``.wh..wh..opq`` hide what
        lower layers have, wherever in the layer they stand; they never hide the layer's own
        entries.  Raises LK0605 and LK0607 to LK0609.
        """
        if not whiteouts:
            for entry in entries:
                self.add(entry)
            return
        # Nothing of the layer is in the tree before all of its whiteouts have been.
        own: list[Entry] = []
        for entry in entries:
            if "/.wh." in "/" + entry.path:
                self._hide(entry.path)
            else:
                own.append(entry)
        for entry in own:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Put ``entry`` in; a directory over a directory keeps what is inside.

        Anything else replaces what was there with all below it.  Raises LK0605, LK0607 and LK0608.
        """
        parent, _, name = entry.path.rpartition("/")
        directory, real = self._directory(parent, entry.path, make=True)
        if real != parent:
            entry = entry._replace(path=paths.clean(f"{real}/{name}" if real else name))
        if entry.kind is Kind.HARDLINK:
            entry = self._linked(entry, directory, name)
        old = directory.get(name)
        if old is None:
            directory[name] = self._made(entry)
        elif old.children is None or entry.kind is not Kind.DIR:
            self._forget(old)
            directory[name] = self._made(entry)
        else:
            self._text -= _weight(old.entry)
            old.entry = entry
            self._weigh(entry)

    def get(self, path: str) -> Entry | None:
        """What is at ``path``, links not followed; a hard link shows as the file it is."""
        directory, name = self._literal(path)
        node = directory.get(name)
        if node is None:
            return None
        return node.entry if node.entry.path == path else node.entry._replace(path=path)

    def remove(self, path: str) -> bool:
        """Take away ``path``, links not followed, and all below it; false if it was not there."""
        directory, name = self._literal(path)
        node = directory.pop(name, None)
        if node is None:
            return False
        self._forget(node)
        return True

    def entries(self) -> Iterator[Entry]:
        """Everything: a directory comes before what is in it, names in the order of their text.

        Of the names of a hard-linked object the first in this order is the object itself, the
        others are hard links to it.
        """
        first: dict[int, str] = {}
        stack = sorted(self._top.items(), reverse=True)
        while stack:
            path, node = stack.pop()
            entry = node.entry
            if node.children is not None:
                below = sorted(node.children.items(), reverse=True)
                stack.extend((f"{path}/{name}", child) for name, child in below)
            else:
                origin = first.setdefault(id(entry), path)
                if origin is not path:
                    entry = _hard_link(entry, path, origin)
            yield entry if entry.path == path else entry._replace(path=path)

    def _made(self, entry: Entry) -> _Node:
        self._count += 1
        if self._count > self._limit:
            raise Error("LK0605", f"the tree has over {self._limit} names")
        self._weigh(entry)
        return _Node(entry)

    def _weigh(self, entry: Entry) -> None:
        self._text += _weight(entry)
        if self._text > self._text_limit:
            raise Error("LK0605", f"names and attributes have over {self._text_limit} bytes")

    def _forget(self, node: _Node) -> None:
        """Take a node that was cut off, and all below it, out of the count."""
        stack = [node]
        while stack:
            gone = stack.pop()
            children = gone.children
            self._count -= 1
            self._text -= _weight(gone.entry)
            if children:
                stack.extend(children.values())

    def _linked(self, entry: Entry, directory: dict[str, _Node], name: str) -> Entry:
        """The entry that the hard link ``entry``, which is to be ``name``, repeats."""
        parent, _, target_name = entry.link.rpartition("/")
        target_directory, _ = self._directory(parent, entry.path, make=False)
        node = target_directory.get(target_name)
        shown = f'"{printable(entry.path)}" is a hard link to "{printable(entry.link)}", which'
        if node is None:
            raise Error("LK0608", f"{shown} is not there")
        if node.children is not None:
            raise Error("LK0608", f"{shown} is a directory")
        if target_directory is directory and target_name == name:
            raise Error("LK0608", f"{shown} is itself")
        if node.entry.kind is Kind.SYMLINK:
            return node.entry._replace(path=entry.path)  # nobody can tell, and newc cannot say it
        return node.entry

    def _hide(self, path: str) -> None:
        """Apply one whiteout to the tree as the lower layers left it."""
        parent, _, name = path.rpartition("/")
        hidden = name.removeprefix(_WHITEOUT)
        is_opaque = name == _OPAQUE
        is_odd = hidden in {"", ".", ".."} or hidden.startswith(_WHITEOUT)
        if "/.wh." in "/" + parent or (is_odd and not is_opaque):
            raise Error(
                "LK0609",
                f'"{printable(path)}" is no whiteout that makes sense',
                hint="names that begin with .wh. are reserved in image layers",
            )
        children, _ = self._directory(parent, path, make=False)
        if is_opaque:
            for node in children.values():
                self._forget(node)
            children.clear()
        elif hidden in children:
            self._forget(children.pop(hidden))

    def _literal(self, path: str) -> tuple[dict[str, _Node], str]:
        """The directory for ``path``, empty if there is none, and the name in it."""
        *parts, name = path.split("/")
        children: dict[str, _Node] | None = self._top
        for part in parts:
            node = children.get(part) if children else None
            children = node.children if node else None
        return children if children is not None else {}, name

    def _directory(self, parent: str, path: str, *, make: bool) -> tuple[dict[str, _Node], str]:
        """The names in the directory ``parent`` of ``path``, and its path without links.

        Without ``make`` a directory that is missing has no names.
        """
        children = self._top
        for part in parent.split("/") if parent else ():
            node = children.get(part)
            if node is None or node.children is None:
                return self._follow(parent, path, make=make)
            children = node.children
        return children, parent

    def _follow(self, parent: str, path: str, *, make: bool) -> tuple[dict[str, _Node], str]:
        """The careful way of :meth:`_directory`: follows links, makes what is missing."""
        names: list[str] = []
        trail = [self._top]
        budget = _Budget(path)
        todo = parent.split("/")[::-1]
        while todo:
            part = todo.pop()
            if part in {"", ".", ".."}:
                if part == ".." and names:
                    names.pop()
                    trail.pop()
                continue
            node = trail[-1].get(part)
            if node is None:
                if not make:
                    return {}, ""
                node = trail[-1][part] = self._made(_IMPLICIT)
            if node.children is not None:
                names.append(part)
                trail.append(node.children)
                continue
            more = budget.take(node.entry)
            if not more[0]:  # an absolute target
                names, trail = [], [self._top]
            todo.extend(reversed(more))
        return trail[-1], "/".join(names)


class _Budget:
    """How many links may be followed on the way to one ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._links = 0
        self._steps = 0

    def take(self, entry: Entry) -> list[str]:
        """The components of a link's target; raises LK0607."""
        if entry.kind is not Kind.SYMLINK:
            raise Error(
                "LK0607",
                f'"{printable(self._path)}" lies below "{printable(entry.path)}", '
                f"which is a {entry.kind}",
            )
        components = entry.link.split("/")
        self._links += 1
        self._steps += len(components)
        if self._links > _MAX_LINKS or self._steps > _MAX_STEPS:
            raise Error("LK0607", f'"{printable(self._path)}" leads through too many links')
        return components


def _weight(entry: Entry) -> int:
    """How much text an entry keeps in memory, roughly in bytes."""
    size = len(entry.path) + len(entry.link)
    for name, value in entry.xattrs.items():
        size += len(name) + len(value)
    return size


def _hard_link(entry: Entry, path: str, origin: str) -> Entry:
    return Entry(path, Kind.HARDLINK, entry.mode, entry.uid, entry.gid, entry.mtime, link=origin)
