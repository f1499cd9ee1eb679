"""Virtual hard disks of Hyper-V's second kind, with only the blocks that hold anything.

Source: Microsoft, [MS-VHDX] 1.0.  There is nothing in the log: the file is written once.
"""

from __future__ import annotations

import struct
import uuid as uuids
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

_KIB, _MIB = 1 << 10, 1 << 20
_BLOCK = _MIB
_SECTOR = 512
_CHUNK = (1 << 23) * _SECTOR // _BLOCK  # blocks to one (absent) bitmap block in the table
_HEADERS, _REGIONS = (64 * _KIB, 128 * _KIB), (192 * _KIB, 256 * _KIB)
_LOG, _METADATA, _TABLE = _MIB, 2 * _MIB, 3 * _MIB
_ZERO, _PRESENT = 2, 6
_REQUIRED, _OF_DISK = 4, 2

_TABLE_REGION = "2DC27766-F623-4200-9D64-115E9BFD4A08"
_METADATA_REGION = "8B7CA206-4790-4B9A-B8FE-575F050F886E"
_PARAMETERS = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
_SIZE = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
_PAGE_83 = "BECA12AB-B2E6-4523-93EF-C309E000C746"
_LOGICAL = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
_PHYSICAL = "CDA348C7-445D-4471-9CC9-E9885251C556"


def write(source: BinaryIO, size: int, out: BinaryIO, uuid: bytes) -> None:
    """Write ``size`` bytes of ``source``, a multiple of 1 MiB, to the empty file ``out``."""
    blocks = size // _BLOCK
    entries = blocks + (blocks - 1) // _CHUNK
    length = -(-8 * entries // _MIB) * _MIB
    table = bytearray(length)
    at = _TABLE + length
    out.seek(at)
    source.seek(0)
    for number in range(blocks):
        data = source.read(_BLOCK)
        state = _ZERO
        if data.strip(b"\0"):
            out.write(data)
            state = at | _PRESENT
            at += _BLOCK
        struct.pack_into("<Q", table, 8 * (number + number // _CHUNK), state)
    out.truncate(at)
    parts = {
        0: b"vhdxfile" + "linuxkit".encode("utf-16-le"),
        _HEADERS[0]: _header(0, uuid),
        _HEADERS[1]: _header(1, uuid),
        _METADATA: _metadata(size, uuid),
        _TABLE: bytes(table),
        **dict.fromkeys(_REGIONS, _regions(length)),
    }
    for offset, data in parts.items():
        out.seek(offset)
        out.write(data)
    out.seek(0, 2)


def _guid(text: str) -> bytes:
    return uuids.UUID(text).bytes_le


def _header(sequence: int, uuid: bytes) -> bytes:
    data = struct.pack(
        "<4sIQ16s16s16sHHIQ", b"head", 0, sequence, uuid, uuid, bytes(16), 0, 1, _MIB, _LOG
    )
    return _checked(data.ljust(4 * _KIB, b"\0"))


def _regions(table: int) -> bytes:
    rows = [
        struct.pack("<16sQII", _guid(_TABLE_REGION), _TABLE, table, 1),
        struct.pack("<16sQII", _guid(_METADATA_REGION), _METADATA, _MIB, 1),
    ]
    data = struct.pack("<4sIII", b"regi", 0, len(rows), 0) + b"".join(rows)
    return _checked(data.ljust(64 * _KIB, b"\0"))


def _metadata(size: int, uuid: bytes) -> bytes:
    items: Sequence[tuple[str, bytes, int]] = (
        (_PARAMETERS, struct.pack("<II", _BLOCK, 0), _REQUIRED),
        (_SIZE, struct.pack("<Q", size), _REQUIRED | _OF_DISK),
        (_PAGE_83, uuid, _REQUIRED | _OF_DISK),
        (_LOGICAL, struct.pack("<I", _SECTOR), _REQUIRED | _OF_DISK),
        (_PHYSICAL, struct.pack("<I", 4096), _REQUIRED | _OF_DISK),
    )
    rows, values = b"", b""
    for kind, value, flags in items:
        offset = 64 * _KIB + len(values)
        rows += struct.pack("<16sIIII", _guid(kind), offset, len(value), flags, 0)
        values += value
    head = struct.pack("<8sHH20x", b"metadata", 0, len(items))
    return (head + rows).ljust(64 * _KIB, b"\0") + values


def _checked(data: bytes) -> bytes:
    """With CRC-32C over all, itself taken as 0, in the second word."""
    return data[:4] + struct.pack("<I", crc32c(data)) + data[8:]


def crc32c(data: bytes) -> int:
    """The checksum of iSCSI (RFC 3720, B.4); slow, for a few kilobytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC = tuple(map(_row, range(256)))
