"""A place in a text the user wrote, and how to point at it."""

from __future__ import annotations

from typing import NamedTuple


class Where(NamedTuple):
    """A span on one line of a file; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int = 1
    text: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def caret(self) -> str:
        """Two lines: the source line, and a caret under the span; empty when it is unknown."""
        if not self.text.strip():
            return ""
        # Tabs are kept in the pad so that the caret lands under the character on any terminal.
        before = self.text[: self.column - 1]
        pad = "".join("\t" if c == "\t" else " " for c in before)
        width = max(1, min(self.width, len(self.text) - len(before)))
        return f"  {self.text}\n  {pad}{'^' * width}"
