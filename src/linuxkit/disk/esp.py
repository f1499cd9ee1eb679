"""Finds programs for UEFI, such as firmware starts: their own files, on a disk or on a CD."""

from __future__ import annotations

import re
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

_EFI = re.compile(r"\.EFI$", re.IGNORECASE)
_FIRST = re.compile(r"::/EFI/BOOT/[^/]+$", re.IGNORECASE)
_GPT = struct.Struct("<8s64xQII")  # where the table's entries are, how many, how long each
_MAX_ENTRIES, _MAX_ENTRY = 128, 4096
_MBR_EFI = 0xEF
_ESP = uuid.UUID(partitions.ESP).bytes_le


def programs(source: BinaryIO, tools: Tools) -> list[str]:
    """All programs for UEFI that ``source`` holds, by their paths; what firmware starts is first.

    ``source`` is a raw disk or a CD-ROM image; a file that is a program itself has the path "".
    Raises LK0779 where there is nothing to start, and what the tools raise.
    """
    if _is_program(source):
        return [""]
    words = "mdir", "-b", "-/", "-i", _image(source), "::/"
    listed = tools_.run(tools, "mtools", "-c", *words, files=[source.fileno()])
    found = [line for line in listed.decode(errors="replace").splitlines() if _EFI.search(line)]
    first = [path for path in found if _FIRST.match(path)]
    if not first:
        raise _nothing()
    return [*first, *(path for path in found if path not in first)]


def program(source: BinaryIO, out: BinaryIO, tools: Tools, path: str | None = None) -> None:
    """Copy a program, by default what firmware starts, to the empty file ``out``.

    ``source`` and ``path`` are as of :func:`programs`, which says what is raised.
    """
    path = programs(source, tools)[0] if path is None else path
    if path:
        words = "mcopy", "-n", "-i", _image(source), path, "-"
        handles = [source.fileno(), out.fileno()]
        out.write(tools_.run(tools, "mtools", "-c", *words, files=handles))
    else:
        source.seek(0)
        shutil.copyfileobj(source, out)
    out.flush()


def _is_program(source: BinaryIO) -> bool:
    source.seek(0)
    return source.read(2) == b"MZ"


def _image(source: BinaryIO) -> str:
    """The file system that firmware reads, as mtools call it."""
    return f"{tools_.handle(source.fileno())}@@{_offset(source)}"


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
