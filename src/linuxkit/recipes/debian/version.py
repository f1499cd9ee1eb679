"""Debian version numbers: a sort key (Debian policy 5.6.12, ``deb-version(7)``).

Which version to take is the solver's business.
"""

from __future__ import annotations

import re
from functools import lru_cache

from linuxkit.base.errors import Error, printable

_VERSION = re.compile(r"(?:([0-9]{1,9}):)?([0-9A-Za-z.+~-]{1,200}?)(?:-([0-9A-Za-z.+~]{1,200}))?")
_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_END = 0  # a part's end sorts after "~" and before everything else
_PUNCTUATION = 256  # letters sort before other characters

Key = tuple[int, tuple[object, ...], tuple[object, ...]]


@lru_cache(maxsize=1 << 16)
def key(text: str) -> Key:
    """A value that sorts as Debian orders versions; equal for equal versions ("1.0" and "1.0-0").

    Raises LK0505.
    """
    found = _VERSION.fullmatch(text)
    if not found:
        raise Error("LK0505", f'"{printable(text)}" is not a Debian version')
    epoch, upstream, revision = found.groups()
    return int(epoch or 0), _key(upstream), _key(revision or "")


def _key(text: str) -> tuple[object, ...]:
    pairs = _PARTS.findall(text)
    if len(pairs) > 1 and pairs[-1] == ("", ""):
        pairs.pop()
    parts: list[object] = []
    for letters, digits in pairs:
        parts += [(*map(_order, letters), _END), int(digits or 0)]
    # The closing end makes "1" sort before "1.0" and "1a", and after "1~".
    return (*parts, (_END,))


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + _PUNCTUATION
