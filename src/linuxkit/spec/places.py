"""Where the parts of a merged configuration were written, looked up only when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.spec.node import Mapping, Sequence, find

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.base.where import Where
    from linuxkit.spec.node import Node


class Made(NamedTuple):
    """Entries of a section that follow from the key at ``origin``."""

    section: str
    first: int
    length: int
    origin: tuple[str | int, ...]


class Places:
    """The documents of a configuration, in the order of merging."""

    __slots__ = ("_documents", "_made")

    def __init__(self, documents: Iterable[Node] = (), made: Iterable[Made] = ()) -> None:
        self._documents = tuple(documents)
        self._made = tuple(made)

    def __eq__(self, other: object) -> bool:
        """Where something was written does not make it another thing."""
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return 0

    def __add__(self, other: Places) -> Places:
        return Places((*self._documents, *other._documents), (*self._made, *other._made))

    def with_made(self, *made: Made) -> Places:
        """With entries that were not written but follow from a key."""
        return Places(self._documents, (*self._made, *made))

    def where(self, path: tuple[str | int, ...]) -> Where | None:
        """The place of the value at ``path``, such as ``("services", 0, "image")``.

        Positions count over all documents, as in the merged lists.  A value that was not written
        has the place of what it would be in; None when not even that was written.
        """
        while path:
            node = self._find(path)
            if node is not None:
                return node.where
            path = path[:-1]
        return None

    def exact(self, path: tuple[str | int, ...]) -> Where | None:
        """The place of the value at ``path``; None when it was not written."""
        node = self._find(path) if path else None
        return node.where if node else None

    def _find(self, path: tuple[str | int, ...]) -> Node | None:
        if self._made and len(path) > 1 and isinstance(path[1], int):
            mine = [made for made in self._made if made.section == path[0]]
            position = path[1]
            for made in mine:
                if made.first <= position < made.first + made.length:
                    return self._find(made.origin)
            before = sum(made.length for made in mine if made.first < position)
            path = (path[0], position - before, *path[2:])
        section, *rest = path
        if not rest or not isinstance(rest[0], int):
            # Of several documents the last one to say something has its way.
            found = (find(document, path) for document in reversed(self._documents))
            return next((node for node in found if node is not None), None)
        position = rest[0]
        for document in self._documents:
            entries = find(document, (section,))
            count = len(entries.items) if isinstance(entries, Sequence) else 0
            if position < count:
                return find(document, (section, position, *rest[1:]))
            position -= count
        return None


def key_or_value(node: Node, key: str) -> Node:
    """The key itself where the map has it, else the whole map."""
    if isinstance(node, Mapping) and key in node.items:
        return node.items[key][0]
    return node
