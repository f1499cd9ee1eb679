"""The kernel's archives: read, written and read again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import atheris
from common import Scratch, fuzz

with atheris.instrument_imports(include=["linuxkit"]):
    from linuxkit.tree import cpio, dump
    from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.tree.entry import Entry

SCRATCH, AGAIN = Scratch(), Scratch()


def lines(entries: Iterable[Entry]) -> list[str]:
    """The entries to compare; of an object's further names only what they repeat counts."""
    return sorted(
        f"{e.path} => {e.link}" if e.kind is Kind.HARDLINK else dump.line(e) for e in entries
    )


def target(data: bytes) -> None:
    """What is accepted has distinct, clean names; writing it changes nothing but the order."""
    entries = list(cpio.read(SCRATCH.holding(data)))
    assert all(".." not in entry.path.split("/") for entry in entries)
    if len({entry.path for entry in entries}) < len(entries):
        return  # the writer takes the last of two, the reader tells of both
    out = io.BytesIO()
    cpio.write(entries, out)
    again = cpio.read(AGAIN.holding(out.getvalue()))
    assert lines(again) == lines(entries)


fuzz(target)
