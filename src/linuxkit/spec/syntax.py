"""The scanner's complaints in plain words, and the place that helps most.

Imported only when there is something to complain about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    import yaml

    from linuxkit.spec.node import Source


class Mark(Protocol):
    """A position of the scanner, counting from 0."""

    line: int
    column: int


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


_TOO_DEEP = "maximum nesting depth"  # a limit of newer scanners, which read ahead of our own


def explain(source: Source, error: yaml.YAMLError) -> Error:
    """What was wrong, where, and what to do about it: LK0201, or LK0202 for what is too deep."""
    problem = str(getattr(error, "problem", None) or error)
    context = str(getattr(error, "context", None) or "")
    mark: Mark | None = getattr(error, "problem_mark", None)
    if mark is None:
        return Error("LK0201", f"this is not YAML: {printable(problem)}", where=source.where(1, 1))
    if _TOO_DEEP in problem:
        where = source.where(mark.line + 1, mark.column + 1)
        return Error("LK0202", "values lie in each other too deep", where=where)
    line = source.line(mark.line + 1)
    plain = _in_plain_words(problem, context, line, mark.column)
    if plain is None:
        plain = _Plain(f"this is not YAML: {printable(problem)}")
    start: Mark | None = getattr(error, "context_mark", None)
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
