"""Strict YAML: text in, a tree of nodes with places out, or every fault that was found.

The scanner is PyYAML's (libyaml where it is there); tags, object construction, duplicate keys
and unbounded aliases do not get past this module.  It knows nothing of the language's keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.base.events import note
from linuxkit.spec.node import Mapping, Node, Scalar, Sequence, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import yaml

    from linuxkit.base.where import Where

TEXT_LIMIT = 4 << 20  # characters
DEPTH_LIMIT = 64
ALIAS_LIMIT = 100
NODE_LIMIT = 100_000  # values, where an alias counts as often as what it stands for
_FAULT_LIMIT = 50

# What may stand in a YAML stream (YAML 1.2, production 1); PyYAML names no place for the rest.
_NOT_ALLOWED = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def parse(text: str, file: str) -> Node:
    """Read the one document in ``text``; ``file`` is its name in messages.

    Raises LK0201 for what is no YAML, LK0202 beyond a limit, LK0206 for duplicate keys and LK0207
    for YAML that the language has no use for; duplicate keys and tags all at once.
    """
    text = text.removeprefix("\ufeff")
    source = Source(file, text)
    if len(text) > TEXT_LIMIT:
        raise Error(
            "LK0202", f"{file} has more than {TEXT_LIMIT >> 20} Mi characters",
            where=source.where(1, 1),
        )  # fmt: skip
    _check_characters(source)
    composer = _Composer(source)
    actions = composer.actions()
    for event in _events(source):
        actions[type(event).__name__](event)
    return composer.finish()


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
    found = _NOT_ALLOWED.search(source.text)
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
        raise _syntax_error(source, error) from None


class _Mark(Protocol):
    """A position of the scanner, counting from 0."""

    line: int
    column: int


class _Event(Protocol):
    """The fields of PyYAML's events that are read here; each kind of event has some of them."""

    start_mark: _Mark
    end_mark: _Mark
    anchor: str | None
    tag: str | None
    implicit: tuple[bool, bool]
    style: str | None
    value: str


class _Open:
    """A list or map that is being filled."""

    __slots__ = ("anchor", "before", "key", "merges", "node")

    def __init__(self, node: Sequence | Mapping, anchor: str | None, before: int) -> None:
        self.node = node
        self.anchor = anchor
        self.before = before
        self.key: Scalar | None = None
        self.merges: list[Node] = []


class _Anchored(NamedTuple):
    node: Node
    size: int


class _Composer:
    """Builds the tree from events, without recursion and within limits."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
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
        self._add(known.node, None, known.size)

    def _add(self, node: Node, anchor: str | None, size: int, *, counted: bool = False) -> None:
        """Put a finished value where it belongs; ``size`` is the number of values in it."""
        self._count += 1 if counted else size
        if self._count > NODE_LIMIT:
            raise Error("LK0202", f"more than {NODE_LIMIT} values", where=node.where)
        if anchor is not None:
            self._anchors[anchor] = _Anchored(node, size)
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

    def _mark(self, start: _Mark, end: _Mark | None = None) -> Where:
        last = end.column + 1 if end and end.line == start.line else 0
        return self._source.where(start.line + 1, start.column + 1, last)


def _ignore(_event: object) -> None:
    return


class _Plain(NamedTuple):
    """Our words for a complaint of the scanner; ``at_start``: point at where it all began."""

    message: str
    hint: str = ""
    at_start: bool = False


_INDENT = "keys that belong together start in the same column; use spaces"
_PLAIN_WORDS = (
    ("mapping values are not allowed", _Plain(
        'a ":" cannot stand here',
        'mend the indentation, or put the text in quotes if the ":" is part of it')),
    ("block sequence entries are not allowed", _Plain(
        'a list item "- " cannot stand here', "begin it on a line of its own")),
    ("did not find expected key", _Plain("this does not fit what stands before it", _INDENT)),
    ("did not find expected '-' indicator", _Plain(
        'a list item, beginning with "- ", is expected here', _INDENT)),
    ("could not find expected ':'", _Plain(
        'this line has no ":" after its key', 'write "key: value"', at_start=True)),
    ("did not find expected ',' or ']'", _Plain(
        'this list has no "]" or lacks a ","', "", at_start=True)),
    ("did not find expected ',' or '}'", _Plain(
        'this map has no "}" or lacks a ","', "", at_start=True)),
    ("did not find expected node content", _Plain("a value is missing here")),
    ("found unknown escape character", _Plain(
        "unknown escape in double quotes", r'write "\\" for a backslash, or use single quotes')),
    ("escape code", _Plain("this escape stands for no character")),
    ("hexdecimal number", _Plain("this escape lacks hexadecimal digits")),
    ("expected comment or line break", _Plain(
        "a line break is expected here", 'a text that begins with "|" or ">" must be in quotes')),
    ("did not find expected <document start>", _Plain(
        "nothing can follow the end of the document")),
    ("found undefined tag handle", _Plain(
        'a value cannot begin with "!"', "put the text in quotes")),
)  # fmt: skip


def _syntax_error(source: Source, error: yaml.YAMLError) -> Error:
    problem = str(getattr(error, "problem", None) or error)
    context = str(getattr(error, "context", None) or "")
    mark: _Mark | None = getattr(error, "problem_mark", None)
    if mark is None:
        return Error("LK0201", f"this is not YAML: {printable(problem)}", where=source.where(1, 1))
    line = source.line(mark.line + 1)
    plain = _in_plain_words(problem, context, line, mark.column)
    if plain is None:
        plain = _Plain(f"this is not YAML: {printable(problem)}")
    start: _Mark | None = getattr(error, "context_mark", None)
    place = start if plain.at_start and start else mark
    where = source.where(place.line + 1, place.column + 1)
    if not where.text.strip():  # the end of the text
        where = source.last()
    return Error("LK0201", plain.message, hint=plain.hint, where=where)


def _in_plain_words(problem: str, context: str, line: str, column: int) -> _Plain | None:
    here = line[column : column + 1]
    if "cannot start any token" in problem or "tab character" in problem:
        if here == "\t":
            return _Plain("a tab cannot be used to indent", "use spaces")
        return _Plain(f'a value cannot begin with "{here}"', "put the text in quotes")
    if "end of stream" in problem and "quoted" in context:
        return _Plain("this quote is never closed", "", at_start=True)
    if "expected key" in problem and line[:column].rstrip()[-1:] in {'"', "'"}:
        return _Plain(
            "nothing can follow the closing quote",
            r"""put the whole value in one pair of quotes; inside, write '' or \" for a quote""",
        )
    return next((plain for text, plain in _PLAIN_WORDS if text in problem), None)


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
