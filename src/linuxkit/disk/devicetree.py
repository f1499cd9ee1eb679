"""Changes flattened device trees in place (devicetree specification 0.4, chapter 5)."""

from __future__ import annotations

import struct

_HEADER = struct.Struct(">4I")  # magic number, length, where structure and strings are
_MAGIC = 0xD00DFEED
_TOKEN = struct.Struct(">I")
_PROPERTY = struct.Struct(">2I")  # length, where its name is
_BEGIN, _END, _PROP, _NOP, _LAST = 1, 2, 3, 4, 9


def without(tree: bytes, name: str) -> bytes:
    """The tree ``tree`` without any node called ``name``; its length stays.

    Raises ValueError for what is no device tree.
    """
    try:
        return _without(tree, name)
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError("no device tree, or a damaged one") from error


def _without(tree: bytes, name: str) -> bytes:
    made = bytearray(tree)
    magic, _, at, _ = _HEADER.unpack_from(tree)
    if magic != _MAGIC:
        raise ValueError(magic)
    above: list[tuple[int, str]] = []  # where the nodes around this place begin
    while True:
        start = at
        (token,) = _TOKEN.unpack_from(tree, at)
        at += _TOKEN.size
        if token == _BEGIN:
            end = tree.index(0, at)
            above.append((start, tree[at:end].decode("ascii")))
            at = (end + 4) & ~3
        elif token == _END:
            begin, node = above.pop()
            if node.partition("@")[0] == name:
                made[begin:at] = _TOKEN.pack(_NOP) * ((at - begin) // _TOKEN.size)
        elif token == _PROP:
            size, _ = _PROPERTY.unpack_from(tree, at)
            at = (at + _PROPERTY.size + size + 3) & ~3
        elif token == _LAST:
            return bytes(made)
        elif token != _NOP:
            raise ValueError(token)
