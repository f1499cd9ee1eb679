"""Virtual hard disks of Hyper-V's first kind: fixed, or with only the blocks that hold anything.

Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import BinaryIO

_SECTOR = 512
_BLOCK = 2 << 20
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
_HEADER = struct.Struct(">8sQQIIII16s4x4x512s192s256x")
_NONE = 0xFFFFFFFFFFFFFFFF
_EPOCH_2000 = 946684800
_FIXED, _DYNAMIC = 2, 3
_TABLE_AT = 3 * _SECTOR
_UNUSED = 0xFFFFFFFF


class Identity(NamedTuple):
    """What tells a disk from others: 16 bytes, and when it was made (seconds since 1970)."""

    uuid: bytes
    mtime: int


def write_fixed(source: BinaryIO, size: int, out: BinaryIO, identity: Identity) -> None:
    """Write ``source``, whose ``size`` is a multiple of 1 MiB as Azure wants it, and a footer."""
    source.seek(0)
    left = size
    while left:
        data = source.read(min(_BLOCK, left))
        left -= len(data)
        out.write(data)
    out.write(_footer(size, _FIXED, identity))


def write_dynamic(source: BinaryIO, size: int, out: BinaryIO, identity: Identity) -> None:
    """Write the blocks of ``source`` that are not empty, and a table of where they are."""
    count = -(-size // _BLOCK)
    table = bytearray(struct.pack(">I", _UNUSED) * count)
    table += b"\xff" * (-len(table) % _SECTOR)
    footer = _footer(size, _DYNAMIC, identity)
    out.write(footer + _dynamic_header(count) + table)
    at = (_TABLE_AT + len(table)) // _SECTOR
    bitmap = b"\xff" * _SECTOR
    source.seek(0)
    for number in range(count):
        data = source.read(_BLOCK)
        if data.strip(b"\0"):
            struct.pack_into(">I", table, 4 * number, at)
            out.write(bitmap + data.ljust(_BLOCK, b"\0"))
            at += 1 + _BLOCK // _SECTOR
    out.write(footer)
    out.seek(_TABLE_AT)
    out.write(table)
    out.seek(0, 2)


def _checked(data: bytes, at: int) -> bytes:
    """With the checksum at ``at``: the complement of the sum of all bytes."""
    return data[:at] + struct.pack(">I", ~sum(data) & 0xFFFFFFFF) + data[at + 4 :]


def _footer(size: int, kind: int, identity: Identity) -> bytes:
    offset = _SECTOR if kind == _DYNAMIC else _NONE
    # Readers take the size from the geometry, which is not exact, unless they know the creator.
    creator = b"win "
    return _checked(
        _FOOTER.pack(
            b"conectix", 2, 0x10000, offset, identity.mtime - _EPOCH_2000, creator, 0x60001,
            b"Wi2k", size, size, *_geometry(size // _SECTOR), kind, 0, identity.uuid, 0,
        ),
        64,
    )  # fmt: skip


def _dynamic_header(count: int) -> bytes:
    header = _HEADER.pack(
        b"cxsparse", _NONE, _TABLE_AT, 0x10000, count, _BLOCK, 0, bytes(16), b"", b""
    )
    return _checked(header, 36)


def _geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors of a track, as the specification's appendix computes them."""
    total = min(sectors, 65535 * 16 * 255)
    if total >= 65535 * 16 * 63:
        return total // 255 // 16, 16, 255
    track = 17
    per_track = total // track
    heads = max((per_track + 1023) // 1024, 4)
    if per_track >= heads * 1024 or heads > 16:  # noqa: PLR2004 - the specification's figures
        track, heads = 31, 16
        per_track = total // track
    if per_track >= heads * 1024:
        track, heads = 63, 16
        per_track = total // track
    return per_track // heads, heads, track
