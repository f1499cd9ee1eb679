"""What a Dockerfile builds upon: its FROM lines, read without running anything.

Only what names images is understood (Dockerfile reference: FROM, ARG, parser directives); all else
is the builder's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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


def bases(text: str, arguments: Mapping[str, str]) -> tuple[str, ...]:
    """The images that are built upon or copied from, in order, each once.

    ``arguments`` are those given to the build; they go before what ARG lines say.  Stages of the
    file itself and ``scratch`` are none.
    """
    known: dict[str, str] = {}
    stages: set[str] = {_NOTHING}
    found: list[str] = []
    in_stage = False
    for line in _instructions(text):
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
                found.append(base)
            if start[3]:
                stages.add(start[3].lower())
        for other in (*_COPY.findall(line), *_MOUNT.findall(line)):
            base = _expand(other, known)
            if base.lower() not in stages and not base.isdecimal():
                found.append(base)
    return tuple(dict.fromkeys(found))


def _instructions(text: str) -> Iterator[str]:
    """Whole instructions: lines put together, without comments."""
    first = text.split("\n", 1)[0]
    stated = _DIRECTIVE.fullmatch(first.strip())
    escape = stated[1] if stated else "\\"
    part = ""
    for line in text.splitlines():
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        if plain.endswith(escape):
            part += plain[:-1] + " "
            continue
        yield part + plain
        part = ""
    if part:
        yield part


def _expand(text: str, known: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        found = known.get(match[1] or match[2], "")
        if match[3] == "-":
            return found or match[4]
        return match[4] if match[3] == "+" and found else "" if match[3] else found

    return _VARIABLE.sub(value, text.strip("\"'"))
