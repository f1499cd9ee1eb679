"""VMware's disks in the form for transport: compressed, written and read in one pass.

Source: VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.tree import compress

if TYPE_CHECKING:
    from typing import BinaryIO

_SECTOR = 512
_GRAIN = 128  # sectors
_ROWS = 512  # grains to a table
_FLAGS = 1 | 1 << 16 | 1 << 17  # line ends can be checked; grains are compressed; there are markers
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH433x")
_TABLE, _DIRECTORY, _FOOTER = 1, 2, 3
_AT_END = 0xFFFFFFFFFFFFFFFF
_DESCRIPTOR_SECTORS = 20
_OVERHEAD = 128


class Disk(NamedTuple):
    """What the descriptor tells: the file's own name, and 32 bits that name the content."""

    name: str
    identity: int


def write(source: BinaryIO, size: int, out: BinaryIO, disk: Disk) -> None:
    """Write ``size`` bytes of ``source``, a multiple of 64 KiB, to the empty file ``out``."""
    capacity = size // _SECTOR
    out.write(_header(capacity, _AT_END))
    out.write(_descriptor(capacity, disk).ljust(_DESCRIPTOR_SECTORS * _SECTOR, b"\0"))
    out.write(bytes(_OVERHEAD * _SECTOR - out.tell()))
    source.seek(0)
    directory = []
    for first in range(0, capacity, _GRAIN * _ROWS):
        table = [
            _grain(source, sector, out)
            for sector in range(first, min(first + _GRAIN * _ROWS, capacity), _GRAIN)
        ]
        data = struct.pack(f"<{_ROWS}I", *table, *([0] * (_ROWS - len(table))))
        directory.append(_marked(_TABLE, data, out) if any(table) else 0)
    data = struct.pack(f"<{len(directory)}I", *directory)
    at = _marked(_DIRECTORY, data + bytes(-len(data) % _SECTOR), out)
    _marked(_FOOTER, _header(capacity, at), out)
    out.write(bytes(_SECTOR))  # the marker that ends the stream


def _grain(source: BinaryIO, sector: int, out: BinaryIO) -> int:
    """Write one grain; the sector it begins at, 0 for one that is empty."""
    data = source.read(_GRAIN * _SECTOR)
    if not data.strip(b"\0"):
        return 0
    at = out.tell() // _SECTOR
    packed = compress.deflated(data.ljust(_GRAIN * _SECTOR, b"\0"))
    grain = struct.pack("<QI", sector, len(packed)) + packed
    out.write(grain + bytes(-len(grain) % _SECTOR))
    return at


def _marked(kind: int, data: bytes, out: BinaryIO) -> int:
    """Write metadata behind its marker; the sector that it begins at."""
    out.write(struct.pack("<QII496x", len(data) // _SECTOR, 0, kind))
    at = out.tell() // _SECTOR
    out.write(data)
    return at


def _header(capacity: int, directory: int) -> bytes:
    return _HEADER.pack(
        b"KDMV", 3, _FLAGS, capacity, _GRAIN, 1, _DESCRIPTOR_SECTORS, _ROWS, 0, directory,
        _OVERHEAD, 0, b"\n \r\n", 1,
    )  # fmt: skip


def _descriptor(capacity: int, disk: Disk) -> bytes:
    cylinders = -(-capacity // (255 * 63))
    return (
        "# Disk DescriptorFile\n"
        "version=1\n"
        f"CID={disk.identity & 0xFFFFFFFE:08x}\n"
        "parentCID=ffffffff\n"
        'createType="streamOptimized"\n'
        "\n"
        "# Extent description\n"
        f'RW {capacity} SPARSE "{disk.name}"\n'
        "\n"
        "# The Disk Data Base\n"
        "#DDB\n"
        "\n"
        'ddb.adapterType = "lsilogic"\n'
        f'ddb.geometry.cylinders = "{cylinders}"\n'
        'ddb.geometry.heads = "255"\n'
        'ddb.geometry.sectors = "63"\n'
        'ddb.virtualHWVersion = "7"\n'
    ).encode()
