"""The one family of errors this library raises.

An error says what is wrong, where, why and what to do.  Only the command line prints it.
Codes are grouped by hundreds: 01 usage and host, 02 the YAML, 03 references and the store,
04 resolving and fetching, 05 Debian and recipes, 06 trees and archives, 07 assembly and formats,
08 running, 09 external programs.  Each has an entry in ``docs/reference/errors``.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from linuxkit.base.where import Where


class Error(Exception):
    """One thing that went wrong.

    ``code`` is like ``LK0203``; ``message`` is one sentence without a full stop; ``hint`` says
    what to do; ``where`` is the place in the user's file; ``detail`` holds further lines, such as
    a program's last output.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        where: Where | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.where = where
        self.detail = detail

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message} [{self.code}]"

    def all(self) -> tuple[Error, ...]:
        """The error itself, or the several that it stands for."""
        return (self,)


class MissingError(Error):
    """A file or folder that somebody named is not there: wrong input, not a failure."""


class Errors(Error):  # noqa: N818 - the plural of our Error
    """Several errors found in one pass; the user gets to see all of them."""

    def __init__(self, errors: Sequence[Error]) -> None:
        first = errors[0]
        super().__init__(
            first.code,
            first.message,
            hint=first.hint,
            where=first.where,
            detail=first.detail,
        )
        self.errors = tuple(inner for e in errors for inner in e.all())

    def __str__(self) -> str:
        return "\n".join(str(e) for e in self.errors)

    def all(self) -> tuple[Error, ...]:
        """Every error, in the order they were found."""
        return self.errors


def raise_all(errors: Sequence[Error]) -> None:
    """Raise nothing, the one error, or all of them as one."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Errors(errors)


_WORD_LIMIT = 100  # characters
_WORDS_LIMIT = 500


def suggestion(word: str, known: Iterable[str]) -> str:
    """``did you mean "x"?`` for the nearest known word, or an empty string.

    Comparing takes time that grows with both, so very long words and lists get no full answer.
    """
    import difflib  # only mistakes need it

    if len(word) > _WORD_LIMIT:
        return ""
    near = difflib.get_close_matches(word, islice(known, _WORDS_LIMIT), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def printable(untrusted: str, limit: int = 200) -> str:
    """Untrusted text made safe for a terminal: escapes shown, length bounded."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in untrusted[:limit])
    return shown + ("…" if len(untrusted) > limit else "")
