"""A small strict reader of ELF files: interpreter, needed libraries, run paths, named sections.

Reads only the headers and tables it must (System V ABI, chapters 4 and 5); either byte order,
either word size.  Finding the libraries is the closure's business.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.tree.entry import Slice

if TYPE_CHECKING:
    from linuxkit.tree.entry import Content

_MAGIC = b"\x7fELF"
_MAX_HEADERS = 4096
_MAX_TABLE = 16 << 20
_MAX_NAME = 4096
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 15, 29


class Linkage(NamedTuple):
    """What a program or library needs at run time."""

    machine: int  # e_machine
    bits: int
    interpreter: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]


class _Header(NamedTuple):
    bits: int
    order: str
    machine: int
    programs: tuple[int, int]  # offset, count
    sections: tuple[int, int, int]  # offset, count, index of the names' section


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


class _Reader:
    """Bounded reads by position."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._data = b"" if isinstance(content, Slice) else b"".join(content.chunks())

    def at(self, offset: int, size: int) -> bytes:
        if size > _MAX_TABLE or offset < 0 or offset + size > self._content.size:
            raise _damaged("a table lies outside of the file")
        if isinstance(self._content, Slice):
            return os.pread(self._content.handle, size, self._content.offset + offset)
        return self._data[offset : offset + size]


def is_elf(content: Content) -> bool:
    """Whether the file starts like one."""
    if content.size < len(_MAGIC):
        return False
    return _Reader(content).at(0, len(_MAGIC)) == _MAGIC


def linkage(content: Content) -> Linkage | None:
    """What the ELF file ``content`` needs; None for relocatable objects.  Raises LK0520."""
    reader = _Reader(content)
    try:
        header = _header(reader)
        if not header.programs[1]:
            return None
        segments = _segments(reader, header)
        interpreter = ""
        dynamic: list[tuple[int, int]] = []
        for segment in segments:
            if segment.kind == _PT_INTERP:
                interpreter = _string(reader.at(segment.offset, min(segment.size, _MAX_NAME)), 0)
            elif segment.kind == _PT_DYNAMIC:
                dynamic = _dynamic(reader.at(segment.offset, segment.size), header)
        return _linkage(reader, header, segments, dynamic, interpreter)
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged(str(error)) from error


def section(content: Content, name: str) -> bytes:
    """The bytes of the section called ``name``, empty when there is none.  Raises LK0520."""
    reader = _Reader(content)
    try:
        header = _header(reader)
        offset, count, names_at = header.sections
        size = 64 if header.bits == 64 else 40  # noqa: PLR2004
        layout = header.order + ("IIQQQQIIQQ" if header.bits == 64 else "10I")  # noqa: PLR2004
        table = [struct.unpack(layout, reader.at(offset + i * size, size)) for i in range(count)]
        if names_at >= len(table):
            return b""
        names = reader.at(table[names_at][4], table[names_at][5])
        for row in table:
            if _string(names, row[0]) == name:
                return reader.at(row[4], row[5])
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged(str(error)) from error
    return b""


def _header(reader: _Reader) -> _Header:
    ident = reader.at(0, 16)
    if ident[:4] != _MAGIC or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise _damaged("unknown class or byte order")
    order = "<" if ident[5] == 1 else ">"
    wide = ident[4] == 2  # noqa: PLR2004
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    fields = struct.unpack(layout, reader.at(16, struct.calcsize(layout)))
    _, machine, _, _, programs, sections, _, _, _, count, _, section_count, names = fields
    if count > _MAX_HEADERS or section_count > _MAX_HEADERS:
        raise _damaged("too many headers")
    return _Header(
        64 if wide else 32, order, machine, (programs, count), (sections, section_count, names)
    )


def _segments(reader: _Reader, header: _Header) -> list[_Segment]:
    offset, count = header.programs
    found = []
    for i in range(count):
        if header.bits == 64:  # noqa: PLR2004
            row = struct.unpack(header.order + "IIQQQQQQ", reader.at(offset + i * 56, 56))
            found.append(_Segment(row[0], row[2], row[3], row[5]))
        else:
            row = struct.unpack(header.order + "8I", reader.at(offset + i * 32, 32))
            found.append(_Segment(row[0], row[1], row[2], row[4]))
    return found


def _dynamic(data: bytes, header: _Header) -> list[tuple[int, int]]:
    layout = struct.Struct(header.order + ("qQ" if header.bits == 64 else "iI"))  # noqa: PLR2004
    rows: list[tuple[int, int]] = []
    for tag, value in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
        if tag == 0:
            break
        rows.append((tag, value))
    return rows


def _linkage(
    reader: _Reader,
    header: _Header,
    segments: list[_Segment],
    dynamic: list[tuple[int, int]],
    interpreter: str,
) -> Linkage:
    single = dict(dynamic)
    strings = b""
    if _DT_STRTAB in single:
        strings = reader.at(_offset(single[_DT_STRTAB], segments), single.get(_DT_STRSZ, 0))
    needed = tuple(_string(strings, value) for tag, value in dynamic if tag == _DT_NEEDED)
    # RPATH counts only where there is no RUNPATH (ld.so(8)).
    path = single.get(_DT_RUNPATH, single.get(_DT_RPATH))
    folders = _string(strings, path).split(":") if path is not None else []
    return Linkage(header.machine, header.bits, interpreter, needed, tuple(f for f in folders if f))


def _offset(address: int, segments: list[_Segment]) -> int:
    for segment in segments:
        inside = segment.address <= address < segment.address + segment.size
        if segment.kind == _PT_LOAD and inside:
            return address - segment.address + segment.offset
    raise _damaged("its string table is in no segment")


def _string(table: bytes, at: int) -> str:
    end = table.find(b"\0", at, at + _MAX_NAME)
    if not 0 <= at < len(table) or end < 0:
        raise _damaged("a name lies outside of its table")
    return table[at:end].decode()


def _damaged(why: str) -> Error:
    return Error("LK0520", f"not a sound ELF file: {why}")
