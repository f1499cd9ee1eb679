"""A YAML document as a small tree in which everything knows its place.

Parsing is left to :mod:`linuxkit.spec.yaml`, meaning to :mod:`linuxkit.spec.decode`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linuxkit.base.where import Where

if TYPE_CHECKING:
    from collections.abc import Iterator

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # the line breaks of YAML 1.1, as libyaml counts
_SHOWN = 200  # characters; a longer line, such as a label's, is no help on a terminal

# The scalar rules: those of YAML 1.2's core schema, less every number that can be misread.
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}")


class Source:
    """A text and its name; lines are cut only when a place is shown."""

    __slots__ = ("_lines", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._lines: list[str] | None = None

    def line(self, number: int) -> str:
        """The line with ``number``, counting from 1; empty beyond the end."""
        if self._lines is None:
            self._lines = _BREAK.split(self.text)
        return self._lines[number - 1] if number <= len(self._lines) else ""

    def where(self, line: int, column: int, end: int = 0) -> Where:
        """The place at ``line`` and ``column``, up to the column ``end`` (0: one character)."""
        text = self.line(line)
        if len(text) > _SHOWN:
            text = ""
        return Where(self.file, line, column, text, max(1, end - column))

    def last(self) -> Where:
        """The last character that is no white space."""
        body = self.text.rstrip()
        line = len(_BREAK.findall(body)) + 1
        return self.where(line, max(1, len(self.line(line).rstrip())))


class Placed:
    """Something in a document; ``end`` is the column behind it, 0 when it goes over lines."""

    __slots__ = ("column", "end", "line", "source")

    def __init__(self, source: Source, line: int, column: int, end: int = 0) -> None:
        self.source = source
        self.line = line
        self.column = column
        self.end = end

    @property
    def where(self) -> Where:
        """The place, made on demand because few are ever shown."""
        return self.source.where(self.line, self.column, self.end)


class Scalar(Placed):
    """A value without parts; ``plain`` when it stands without quotes."""

    __slots__ = ("plain", "value")

    def __init__(self, source: Source, line: int, column: int, end: int, value: str) -> None:
        super().__init__(source, line, column, end)
        self.value = value
        self.plain = False

    @property
    def is_null(self) -> bool:
        """Whether nothing is there."""
        return self.plain and self.value in _NULLS

    @property
    def boolean(self) -> bool | None:
        """The truth value, None when it is none; ``yes`` and ``on`` are texts."""
        return _BOOLS.get(self.value) if self.plain else None

    @property
    def integer(self) -> int | None:
        """The number when it is a canonical decimal integer; 0644 and 12:30 are texts."""
        if self.plain and _INTEGER.fullmatch(self.value):
            return int(self.value)
        return None

    @property
    def is_text(self) -> bool:
        """Whether it is neither nothing nor a truth value nor a number."""
        return not self.plain or not (
            self.is_null or self.value in _BOOLS or self.integer is not None
        )

    @property
    def kind(self) -> str:
        """What the value is, in words for a message."""
        if self.is_null:
            return "nothing"
        if self.boolean is not None:
            return f'the truth value "{self.value}"'
        if self.integer is not None:
            return f"the number {self.value}"
        return "a text"


class Sequence(Placed):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, source: Source, line: int, column: int) -> None:
        super().__init__(source, line, column)
        self.items: list[Node] = []

    @property
    def kind(self) -> str:
        """What the value is, in words for a message."""
        return "a list"


class Mapping(Placed):
    """Keys with their values, in order; keys are texts and unlike each other."""

    __slots__ = ("items",)

    def __init__(self, source: Source, line: int, column: int) -> None:
        super().__init__(source, line, column)
        self.items: dict[str, tuple[Scalar, Node]] = {}

    @property
    def kind(self) -> str:
        """What the value is, in words for a message."""
        return "a map of keys"


Node = Scalar | Sequence | Mapping


def scalars(root: Node) -> Iterator[Scalar]:
    """Every scalar value below ``root`` once, however many aliases lead to it; no keys."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scalar):
            yield node
        elif isinstance(node, Sequence):
            todo.extend(reversed(node.items))
        else:
            todo.extend(value for _, value in reversed(node.items.values()))


def find(root: Node, path: tuple[str | int, ...]) -> Node | None:
    """The node that ``path``, of keys and list positions, leads to."""
    node = root
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str) and step in node.items:
            node = node.items[step][1]
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node
