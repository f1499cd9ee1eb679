"""Finds what firmware starts: in a program's own file, on a disk or on a CD."""

from __future__ import annotations

import shutil
import struct
import uuid
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.disk import partitions
from linuxkit.disk import tools as tools_

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.disk.tools import Tools

_FOLDER = "::/EFI/BOOT"
_GPT = struct.Struct("<8s64xQII")  # where the table's entries are, how many, how long each
_MAX_ENTRIES, _MAX_ENTRY = 128, 4096
_MBR_EFI = 0xEF
_ESP = uuid.UUID(partitions.ESP).bytes_le


def program(source: BinaryIO, out: BinaryIO, tools: Tools) -> None:
    """Copy the program that firmware starts to the empty file ``out``.

    ``source`` is that program itself, a raw disk or a CD-ROM image.  Raises LK0779 where there is
    none, and what the tools raise.
    """
    source.seek(0)
    start = source.read(2)
    if start == b"MZ":
        source.seek(0)
        shutil.copyfileobj(source, out)
    else:
        image = f"{tools_.handle(source.fileno())}@@{_offset(source)}"
        handles = [source.fileno(), out.fileno()]
        words = "mdir", "-b", "-i", image, _FOLDER
        listed = tools_.run(tools, "mtools", "-c", *words, files=handles).decode(errors="replace")
        names = [line for line in listed.splitlines() if line.upper().endswith(".EFI")]
        if not names:
            raise _nothing()
        words = "mcopy", "-n", "-i", image, names[0]
        out.write(tools_.run(tools, "mtools", "-c", *words, "-", files=handles))
    out.flush()


def _offset(source: BinaryIO) -> int:
    """Where the partition for firmware begins, in bytes.  Raises LK0779."""
    source.seek(0)
    first, second = source.read(partitions.SECTOR), source.read(partitions.SECTOR)
    try:
        for at in range(446, 510, 16):  # of an MBR
            if first[at + 4] == _MBR_EFI:
                return int.from_bytes(first[at + 8 : at + 12], "little") * partitions.SECTOR
        mark, table, count, size = _GPT.unpack_from(second)
        if mark != b"EFI PART" or size > _MAX_ENTRY:
            raise _nothing()
        source.seek(table * partitions.SECTOR)
        for _ in range(min(count, _MAX_ENTRIES)):
            entry = source.read(size)
            if entry[:16] == _ESP:
                return int.from_bytes(entry[32:40], "little") * partitions.SECTOR
    except (struct.error, IndexError):
        pass
    raise _nothing()


def _nothing() -> Error:
    return Error(
        "LK0779", "there is nothing in it that UEFI firmware would start",
        hint="name an .efi file, a raw disk for UEFI or a CD for UEFI",
    )  # fmt: skip
