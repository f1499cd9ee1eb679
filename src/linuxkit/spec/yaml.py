"""Strict YAML: text in, a tree of nodes with places out, or every fault that was found.

The scanner is PyYAML's (libyaml where it is there); tags, object construction, duplicate keys
and unbounded aliases do not get past this module.  It knows nothing of the language's keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.base.events import note
from linuxkit.spec.node import Mapping, Node, Scalar, Sequence, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from linuxkit.base.where import Where
    from linuxkit.spec.syntax import Mark

    class _Event(Protocol):
        """The fields of PyYAML's events that are read here; each kind of event has some of them."""

        start_mark: Mark
        end_mark: Mark
        anchor: str | None
        tag: str | None
        implicit: tuple[bool, bool]
        style: str | None
        value: str


TEXT_LIMIT = 4 << 20  # characters
DEPTH_LIMIT = 64
ALIAS_LIMIT = 100
NODE_LIMIT = 100_000  # values, where an alias counts as often as what it stands for
_FAULT_LIMIT = 50

# What may not stand in a YAML stream (YAML 1.2, production 1); PyYAML names no place for it.
_BAD_ASCII = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_BAD = f"{_BAD_ASCII[:-1]}\x80-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"


def parse(text: str, file: str) -> Node:
    """Read the one document in ``text``; ``file`` is its name in messages.

    Raises LK0201 for what is no YAML, LK0202 beyond a limit, LK0206 for duplicate keys and LK0207
    for YAML that the language has no use for; duplicate keys and tags all at once.
    """
    text = text.removeprefix("\ufeff")
    source = Source(file, text)
    if len(text) > TEXT_LIMIT:
        raise too_long(source)
    _check_characters(source)
    composer = _Composer(source)
    actions = composer.actions()
    for event in _events(source):
        actions[type(event).__name__](event)
    return composer.finish()


def too_long(source: Source) -> Error:
    """LK0202 for a text beyond the limit."""
    limit = TEXT_LIMIT >> 20
    where = source.where(1, 1)
    return Error("LK0202", f"{source.file} has more than {limit} Mi characters", where=where)


def decode_text(data: bytes, file: str) -> str:
    """The text of a file.  Raises LK0201 when it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Error(
            "LK0201",
            f"{file} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}",
            hint="save the file in the encoding UTF-8",
        ) from None


def _check_characters(source: Source) -> None:
    found = re.search(_BAD_ASCII if source.text.isascii() else _BAD, source.text)
    if found:
        before = source.text[: found.start()]
        line = len(re.findall("\r\n|[\n\r\x85\u2028\u2029]", before)) + 1
        column = found.start() - max(before.rfind("\n"), before.rfind("\r"))
        raise Error(
            "LK0201",
            f"the character U+{ord(found[0]):04X} is not allowed in YAML",
            hint="take it out, or write it as an escape in double quotes",
            where=source.where(line, column)._replace(text=""),
        )


def _events(source: Source) -> Iterator[_Event]:
    """PyYAML's events; its errors become ours."""
    import yaml  # here, because its import costs more than most commands

    loader: Any = getattr(yaml, "CSafeLoader", None)
    if loader is None:
        note("PyYAML has no libyaml here: reading YAML takes longer", level="debug")
        loader = yaml.SafeLoader
    try:
        events: Any = yaml.parse(source.text, Loader=loader)
        yield from events
    except yaml.YAMLError as error:
        from linuxkit.spec import syntax

        raise syntax.explain(source, error) from None


class _Open:
    """A list or map that is being filled."""

    __slots__ = ("anchor", "before", "key", "merges", "node")

    def __init__(self, node: Sequence | Mapping, anchor: str | None, before: int) -> None:
        self.node = node
        self.anchor = anchor
        self.before = before
        self.key: Scalar | None = None
        self.merges: list[Node] = []


class _Composer:
    """Builds the tree from events, without recursion and within limits."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._faults: list[Error] = []
        self._documents = 0
        self._aliases = 0
        self._count = 0

    def actions(self) -> dict[str, Callable[[_Event], None]]:
        """What to do for each kind of event."""
        return {
            "ScalarEvent": self._scalar,
            "SequenceStartEvent": lambda e: self._open(e, Sequence),
            "MappingStartEvent": lambda e: self._open(e, Mapping),
            "SequenceEndEvent": self._close,
            "MappingEndEvent": self._close,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
            "DocumentEndEvent": _ignore,
            "StreamStartEvent": _ignore,
            "StreamEndEvent": _ignore,
        }

    def finish(self) -> Node:
        """The tree, when nothing was wrong."""
        raise_all(self._faults)
        if self._root is None:
            raise Error(
                "LK0201",
                f"{self._source.file} is empty",
                hint="`linuxkit new` writes a file to start from",
                where=self._source.where(1, 1),
            )
        return self._root

    def _document(self, event: _Event) -> None:
        self._documents += 1
        if self._documents > 1:
            self._refuse(
                self._mark(event.start_mark),
                "a second document begins here",
                "keep one document in a file; several files can be given to one build",
            )

    def _scalar(self, event: _Event) -> None:
        start, end = event.start_mark, event.end_mark
        last = end.column + 1 if end.line == start.line else 0
        node = Scalar(self._source, start.line + 1, start.column + 1, last, event.value)
        node.plain = event.implicit[0] and not event.style
        if event.tag is not None:
            self._refuse_tag(node.where, event.tag)
        if "\0" in node.value:
            self._fault("LK0201", node.where, "a text must not hold the character NUL", "")
        self._add(node, event.anchor, 1)

    def _open(self, event: _Event, kind: type[Sequence | Mapping]) -> None:
        start = event.start_mark
        node = kind(self._source, start.line + 1, start.column + 1)
        if event.tag is not None:
            self._refuse_tag(node.where, event.tag)
        if len(self._stack) == DEPTH_LIMIT:
            raise Error(
                "LK0202", f"values lie in each other more than {DEPTH_LIMIT} deep", where=node.where
            )
        self._stack.append(_Open(node, event.anchor, self._count))

    def _close(self, _event: _Event) -> None:
        done = self._stack.pop()
        if isinstance(done.node, Mapping):
            for merged in done.merges:
                self._merge(done.node, merged)
        self._add(done.node, done.anchor, self._count - done.before + 1, counted=True)

    def _alias(self, event: _Event) -> None:
        where = self._mark(event.start_mark, event.end_mark)
        self._aliases += 1
        if self._aliases > ALIAS_LIMIT:
            raise Error("LK0202", f"more than {ALIAS_LIMIT} aliases", where=where)
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None:
            raise Error(
                "LK0201",
                f'there is no anchor "&{printable(name)}" before this alias',
                where=where,
                hint='a text that begins with "*" must be in quotes',
            )
        self._add(known[0], None, known[1])

    def _add(self, node: Node, anchor: str | None, size: int, *, counted: bool = False) -> None:
        """Put a finished value where it belongs; ``size`` is the number of values in it."""
        self._count += 1 if counted else size
        if self._count > NODE_LIMIT:
            raise Error("LK0202", f"more than {NODE_LIMIT} values", where=node.where)
        if anchor is not None:
            self._anchors[anchor] = (node, size)
        if not self._stack:
            if self._root is None:
                self._root = node
            return
        parent = self._stack[-1]
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(node)
        else:
            self._entry(parent, parent.node, parent.key, node)
            parent.key = None

    def _key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            if not node.is_text:
                self._refuse(
                    node.where, f"a key must be a text, not {node.kind}", "put it in quotes"
                )
            return node
        self._refuse(node.where, f"a key must be a text, not {node.kind}", "")
        return Scalar(self._source, node.line, node.column, 0, f"\0{id(node)}")

    def _entry(self, parent: _Open, mapping: Mapping, key: Scalar, value: Node) -> None:
        if key.plain and key.value == "<<":
            parent.merges.append(value)
            return
        first = mapping.items.get(key.value)
        if first is None:
            mapping.items[key.value] = (key, value)
            return
        self._fault(
            "LK0206", key.where, f'duplicate key "{printable(key.value)}"',
            f"the first one is in line {first[0].line}: keep one of them",
        )  # fmt: skip

    def _merge(self, mapping: Mapping, merged: Node) -> None:
        """Take over the keys of ``<<:``, which never replace the map's own."""
        parts = merged.items if isinstance(merged, Sequence) else [merged]
        for part in parts:
            if not isinstance(part, Mapping):
                self._refuse(part.where, f'"<<" takes a map of keys, not {part.kind}', "")
                continue
            for name, entry in part.items.items():
                mapping.items.setdefault(name, entry)

    def _refuse_tag(self, where: Where, tag: str) -> None:
        short = tag.removeprefix("tag:yaml.org,2002:")
        shown = f"!!{short}" if short != tag else tag if tag.startswith("!") else f"!<{tag}>"
        self._refuse(where, f'tags such as "{printable(shown)}" are not allowed', "leave it out")

    def _refuse(self, where: Where, message: str, hint: str) -> None:
        self._fault("LK0207", where, message, hint)

    def _fault(self, code: str, where: Where, message: str, hint: str) -> None:
        self._faults.append(Error(code, message, hint=hint, where=where))
        if len(self._faults) == _FAULT_LIMIT:
            raise_all(self._faults)

    def _mark(self, start: Mark, end: Mark | None = None) -> Where:
        last = end.column + 1 if end and end.line == start.line else 0
        return self._source.where(start.line + 1, start.column + 1, last)


def _ignore(_event: object) -> None:
    return


def dump(value: object) -> str:
    """Plain values as YAML; texts of several lines as blocks."""
    import yaml

    dumper: Any = type("_Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    dumper.add_representer(str, _represent_text)
    text: str = yaml.dump(
        value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=TEXT_LIMIT
    )
    return text


def _represent_text(dumper: Any, value: str) -> object:  # noqa: ANN401 - PyYAML's dumper
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)
