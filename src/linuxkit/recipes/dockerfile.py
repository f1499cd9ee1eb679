"""What a Dockerfile builds upon: its FROM lines, read without running anything.

Only what names images is understood (Dockerfile reference: FROM, ARG, parser directives); all else
is the builder's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.where import Where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*([\\`])\s*", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")
_FROM = re.compile(
    r"FROM\s+(?:--platform=(\S+)\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE
)
_COPY = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*--from=(\S+)", re.IGNORECASE)
_MOUNT = re.compile(r"--mount=\S*\bfrom=([^,\s]+)")
_ARG = re.compile(r"ARG\s+(\w+)(?:=(?:\"([^\"]*)\"|'([^']*)'|(\S*)))?", re.IGNORECASE)
_NOTHING = "scratch"
_SHOWN = 200  # characters of a line


class _Instruction(NamedTuple):
    """One instruction as a whole, and the lines with their numbers that it stands on."""

    text: str
    lines: tuple[tuple[int, str], ...]


def bases(text: str, arguments: Mapping[str, str], file: str) -> dict[str, Where]:
    """The images that are built upon or copied from, in order, and where ``file`` first names them.

    ``arguments`` are those given to the build; they go before what ARG lines say.  Stages of the
    file itself and ``scratch`` are none.
    """
    known: dict[str, str] = {}
    stages: set[str] = {_NOTHING}
    found: dict[str, Where] = {}
    in_stage = False
    for instruction in _instructions(text):
        line = instruction.text
        stated = _ARG.match(line)
        if stated and not in_stage:
            name, *texts = stated.groups()
            default = next((value for value in texts if value is not None), "")
            known[name] = arguments.get(name, _expand(default, known))
        start = _FROM.fullmatch(line.strip())
        if start:
            in_stage = True
            base = _expand(start[2], known)
            if base.lower() not in stages:
                found.setdefault(base, _place(start[2], instruction, file))
            if start[3]:
                stages.add(start[3].lower())
        for other in (*_COPY.findall(line), *_MOUNT.findall(line)):
            base = _expand(other, known)
            if base.lower() not in stages and not base.isdecimal():
                found.setdefault(base, _place(other, instruction, file, "(?<=from=)"))
    return found


def _place(
    word: str, instruction: _Instruction, file: str, before: str = r"(?<!\S)"
) -> Where:
    """Where ``word`` stands in the instruction, as it is written there."""
    whole = re.compile(rf"{before}{re.escape(word)}(?![^\s,])")
    for number, line in instruction.lines:
        found = whole.search(line)
        if found and len(line) <= _SHOWN:
            return Where(file, number, found.start() + 1, line, len(word))
    return Where(file, instruction.lines[0][0])


def _instructions(text: str) -> Iterator[_Instruction]:
    """Whole instructions: lines put together, without comments."""
    first = text.split("\n", 1)[0]
    stated = _DIRECTIVE.fullmatch(first.strip())
    escape = stated[1] if stated else "\\"
    part = ""
    lines: tuple[tuple[int, str], ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        lines = (*lines, (number, line.rstrip()))
        if plain.endswith(escape):
            part += plain[:-1] + " "
            continue
        yield _Instruction(part + plain, lines)
        part, lines = "", ()
    if part:
        yield _Instruction(part, lines)


def _expand(text: str, known: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        found = known.get(match[1] or match[2], "")
        if match[3] == "-":
            return found or match[4]
        return match[4] if match[3] == "+" and found else "" if match[3] else found

    return _VARIABLE.sub(value, text.strip("\"'"))
