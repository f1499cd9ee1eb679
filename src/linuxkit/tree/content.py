"""Copying an entry's content into an archive, checked against its announced size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from linuxkit.tree.entry import Entry


class Sink(Protocol):
    """Anything that takes bytes, all of them at once."""

    def write(self, data: bytes, /) -> object:
        """Take ``data``."""


def copy(entry: Entry, out: Sink) -> None:
    """Write the content of ``entry`` chunk by chunk.

    Raises LK0610 when it is longer or shorter than the size that stands in the header already.
    """
    left = entry.content.size
    try:
        for chunk in entry.content.chunks():
            left -= len(chunk)
            if left < 0:
                break
            out.write(chunk)
    except EOFError:
        pass  # a slice whose file shrank: ``left`` tells
    if left:
        raise Error(
            "LK0610",
            f'the content of "{printable(entry.path)}" changed while it was being written',
            hint="do not change input files during a build; run it again",
        )
