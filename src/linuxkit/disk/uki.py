"""Unified kernel images: sections put behind those of an EFI stub (UAPI group, UKI specification).

A PE file (Microsoft, PE Format): headers, a table of sections, their bytes.  Equal parts give equal
bytes; nothing of the stub is changed but the table and the sizes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from linuxkit.tree.entry import Content

_SIGNATURE = b"PE\0\0"
_COFF = struct.Struct("<HHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_DATA, _CODE = 0x40000040, 0x60000020  # initialised data that is read; code that is run and read
_PE32_PLUS = 0x20B
_MAX_SIZE = 0xFFFFFFFF


class Part(NamedTuple):
    """A section: its name, at most eight bytes such as ".cmdline", and its content."""

    name: str
    content: Content


class _Headers(NamedTuple):
    coff: int  # offset of the COFF header
    optional: int
    table: int  # offset of the first section's row
    sections: int
    alignment: int  # in memory
    file_alignment: int
    size: int  # of all headers
    end: int  # address behind the last section in memory


def parts(
    *, kernel: Content, initrd: Content, cmdline: str, release: str
) -> tuple[Part, ...]:
    """The sections in the order in which the stub measures them, the kernel last."""
    texts = (".osrel", release), (".cmdline", cmdline)
    found = (Part(name, Bytes(text.encode())) for name, text in texts)
    return (*found, Part(".initrd", initrd), Part(".linux", kernel))


def write(stub: bytes, sections: Sequence[Part], out: BinaryIO) -> None:
    """Write ``stub`` with ``sections`` to ``out``.

    Raises LK0742 when the stub is none, or the whole grows beyond the 4 GiB of a PE file.
    """
    head = _headers(stub)
    if head.table + _SECTION.size * (head.sections + len(sections)) > head.size:
        raise _bad("its table of sections has no room")
    image = bytearray(stub) + bytes(-len(stub) % head.file_alignment)
    address, offset, rows = head.end, len(image), b""
    for part in sections:
        size = part.content.size
        padded = size + -size % head.file_alignment
        kind = _CODE if part.name == ".linux" else _DATA
        rows += _SECTION.pack(part.name.encode(), size, address, padded, offset, 0, 0, 0, 0, kind)
        address += size + -size % head.alignment
        offset += padded
        if offset > _MAX_SIZE or address > _MAX_SIZE:
            raise _bad("the image would be larger than 4 GiB")
    count = head.sections + len(sections)
    struct.pack_into("<H", image, head.coff + 2, count)
    struct.pack_into("<I", image, head.optional + 56, address)  # SizeOfImage
    struct.pack_into("<I", image, head.optional + 64, 0)  # CheckSum: only drivers need one
    at = head.table + _SECTION.size * head.sections
    image[at : at + len(rows)] = rows
    out.write(image)
    for part in sections:
        out.writelines(part.content.chunks())
        out.write(bytes(-part.content.size % head.file_alignment))


def _headers(stub: bytes) -> _Headers:
    try:
        (at,) = struct.unpack_from("<I", stub, 0x3C)
        if stub[:2] != b"MZ" or stub[at : at + 4] != _SIGNATURE:
            raise _bad("it is no PE file")
        coff = at + 4
        _, sections, _, _, _, optional_size, _ = _COFF.unpack_from(stub, coff)
        optional = coff + _COFF.size
        table = optional + optional_size
        (magic,) = struct.unpack_from("<H", stub, optional)
        alignment, file_alignment = struct.unpack_from("<II", stub, optional + 32)
        (size,) = struct.unpack_from("<I", stub, optional + 60)
        end = 0
        for index in range(sections):
            row = _SECTION.unpack_from(stub, table + index * _SECTION.size)
            end = max(end, row[2] + row[1])
    except struct.error:
        raise _bad("it is cut short") from None
    if magic != _PE32_PLUS or not alignment or not file_alignment:
        raise _bad("it is not for a 64-bit machine")
    end += -end % alignment
    return _Headers(coff, optional, table, sections, alignment, file_alignment, size, end)


def _bad(why: str) -> Error:
    return Error("LK0742", f"the EFI stub cannot be used: {why}")
