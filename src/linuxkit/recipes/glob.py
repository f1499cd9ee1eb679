"""Path patterns of recipes: ``*`` and ``?`` within a name, ``**`` over any number of folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TOKEN = re.compile(r"(\*\*/|/\*\*$|\*\*|\*|\?)")
_SPELLED = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path (relative, no slash at either end) fits one of ``patterns``.

    ``a/**`` fits ``a`` itself and everything below it.  No pattern fits nothing.
    """
    if not patterns:
        return lambda _path: False
    fits = re.compile(
        "|".join(f"(?:{_spell(pattern)})" for pattern in patterns), re.DOTALL
    ).fullmatch
    return lambda path: fits(path) is not None


def _spell(pattern: str) -> str:
    words = _TOKEN.split(pattern)
    return "".join(_SPELLED.get(word) or re.escape(word) for word in words)
