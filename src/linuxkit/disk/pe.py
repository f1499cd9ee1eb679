"""Programs for UEFI: the headers and the sections of a PE32+ file (Microsoft, PE Format)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from typing import BinaryIO

SECTION = struct.Struct("<8sIIIIIIHHI")
_COFF = struct.Struct("<HHIIIHH")
_SIGNATURE = b"PE\0\0"
_PE32_PLUS = 0x20B
_MAX_HEADERS = 1 << 16
_DIRECTORIES_AT = 112  # from the optional header
_CERTIFICATES = 4  # number of the directory


class Section(NamedTuple):
    """A section: its name, bytes in memory, where it is there, and bytes in the file and where."""

    name: str
    size: int
    address: int
    length: int
    offset: int


class Headers(NamedTuple):
    """Offsets in the file unless said otherwise."""

    machine: int  # what it runs on: the first number of the COFF header
    coff: int
    optional: int
    table: int  # the first section's row
    sections: tuple[Section, ...]
    alignment: int  # in memory
    file_alignment: int
    size: int  # of all headers, in bytes
    end: int  # address behind the last section in memory
    checksum: int
    certificates: int  # the row with place and size of the signatures; 0: there is none


def read(data: bytes, code: str, what: str) -> Headers:
    """The headers at the start of ``data``.

    Raises the error ``code`` that says of ``what`` ("the EFI stub") that it cannot be used.
    """
    try:
        return _read(data)
    except struct.error:
        raise bad(code, what, "it is cut short") from None
    except ValueError as error:
        raise bad(code, what, str(error)) from None


def head(source: BinaryIO) -> bytes:
    """As much of a file as headers may take."""
    source.seek(0)
    return source.read(_MAX_HEADERS)


def bad(code: str, what: str, why: str) -> Error:
    """The error that something cannot be used as a program for UEFI."""
    return Error(code, f"{what} cannot be used: {why}")


def _read(data: bytes) -> Headers:
    (at,) = struct.unpack_from("<I", data, 0x3C)
    if data[:2] != b"MZ" or data[at : at + 4] != _SIGNATURE:
        raise ValueError("it is no PE file")
    coff = at + 4
    machine, count, _, _, _, optional_size, _ = _COFF.unpack_from(data, coff)
    optional = coff + _COFF.size
    table = optional + optional_size
    (magic,) = struct.unpack_from("<H", data, optional)
    alignment, file_alignment = struct.unpack_from("<II", data, optional + 32)
    (size,) = struct.unpack_from("<I", data, optional + 60)
    if magic != _PE32_PLUS or not alignment or not file_alignment:
        raise ValueError("it is not for a 64-bit machine")
    certificates = optional + _DIRECTORIES_AT + 8 * _CERTIFICATES
    if certificates + 8 > table:
        certificates = 0
    sections = tuple(_section(data, table + index * SECTION.size) for index in range(count))
    end = max((each.address + each.size for each in sections), default=0)
    return Headers(
        machine, coff, optional, table, sections, alignment, file_alignment, size,
        end + -end % alignment, optional + 64, certificates,
    )  # fmt: skip


def _section(data: bytes, at: int) -> Section:
    name, size, address, length, offset, *_ = SECTION.unpack_from(data, at)
    return Section(name.rstrip(b"\0").decode("latin-1"), size, address, length, offset)
