"""Layers: read, merged, written and read again; what was taken must come back the same."""

from __future__ import annotations

import io

import atheris
from common import Scratch, fuzz

with atheris.instrument_imports(include=["linuxkit"]):
    from linuxkit.tree import dump, tar
    from linuxkit.tree.merge import Tree

BLOCK = 512
SCRATCH, AGAIN = Scratch(), Scratch()


def repaired(data: bytes) -> bytes:
    """``data`` with right checksums, which no mutation would ever find."""
    out = bytearray(data)
    for at in range(0, len(out) - BLOCK + 1, BLOCK):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + BLOCK])
    return bytes(out)


def target(data: bytes) -> None:
    """Nothing that is accepted may lead outside, or change when it is written again."""
    tree = Tree()
    tree.apply(tar.read(SCRATCH.holding(repaired(data))))
    entries = list(tree.entries())
    assert all(".." not in entry.path.split("/") for entry in entries)
    assert not any(entry.path.startswith("/") for entry in entries)
    out = io.BytesIO()
    tar.write(entries, out)
    again = tar.read(AGAIN.holding(out.getvalue()))
    assert dump.dump(again) == dump.dump(entries)


fuzz(target)
