"""Unified kernel images: sections put behind those of an EFI stub (UAPI group, UKI specification).

A PE file (Microsoft, PE Format): headers, a table of sections, their bytes.  Equal parts give equal
bytes; nothing of the stub is changed but the table and the sizes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.disk import pe
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from linuxkit.tree.entry import Content

_DATA, _CODE = 0x40000040, 0x60000020  # initialised data that is read; code that is run and read
_MAX_SIZE = 0xFFFFFFFF
_STUB = "the EFI stub"
_TEXT_LIMIT = 64 << 10  # bytes of a section that is a text
_ARCHES = {0x8664: "amd64", 0xAA64: "arm64"}


class Part(NamedTuple):
    """A section: its name, at most eight bytes such as ".cmdline", and its content."""

    name: str
    content: Content


def parts(
    *, kernel: Content, initrd: Content, cmdline: str, release: str
) -> tuple[Part, ...]:
    """The sections, the kernel last: it is the largest."""
    texts = (".osrel", release), (".cmdline", cmdline)
    found = (Part(name, Bytes(text.encode())) for name, text in texts)
    return (*found, Part(".initrd", initrd), Part(".linux", kernel))


def write(stub: bytes, sections: Sequence[Part], out: BinaryIO) -> None:
    """Write ``stub`` with ``sections`` to ``out``.

    Raises LK0742 when the stub is none, or the whole grows beyond the 4 GiB of a PE file.
    """
    head = pe.read(stub, "LK0742", _STUB)
    count = len(head.sections) + len(sections)
    if head.table + pe.SECTION.size * count > head.size:
        raise _bad("its table of sections has no room")
    image = bytearray(stub) + bytes(-len(stub) % head.file_alignment)
    address, offset, rows = head.end, len(image), b""
    for part in sections:
        size = part.content.size
        padded = size + -size % head.file_alignment
        kind = _CODE if part.name == ".linux" else _DATA
        rows += pe.SECTION.pack(part.name.encode(), size, address, padded, offset, 0, 0, 0, 0, kind)
        address += size + -size % head.alignment
        offset += padded
        if offset > _MAX_SIZE or address > _MAX_SIZE:
            raise _bad("the image would be larger than 4 GiB")
    struct.pack_into("<H", image, head.coff + 2, count)
    struct.pack_into("<I", image, head.optional + 56, address)  # SizeOfImage
    struct.pack_into("<I", image, head.checksum, 0)  # CheckSum: only drivers need one
    at = head.table + pe.SECTION.size * len(head.sections)
    image[at : at + len(rows)] = rows
    out.write(image)
    for part in sections:
        out.writelines(part.content.chunks())
        out.write(bytes(-part.content.size % head.file_alignment))


def read(source: BinaryIO, name: str) -> tuple[str, bytes]:
    """The architecture (as OCI calls it) of a unified kernel image, and a section's content.

    Raises LK0764 when it is none.
    """
    head = pe.read(pe.head(source), "LK0764", "the file")
    section = next((each for each in head.sections if each.name == name), None)
    arch = _ARCHES.get(head.machine)
    if section is None or arch is None:
        raise Error(
            "LK0764", "the file is no unified kernel image", hint="build one with --format uki"
        )
    source.seek(section.offset)
    return arch, source.read(min(section.size, _TEXT_LIMIT))


def _bad(why: str) -> Error:
    return pe.bad("LK0742", _STUB, why)
