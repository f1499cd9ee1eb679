"""A .deb taken apart as data: nothing in it is ever run (``deb(5)``, format 2.0).

Only the tree is read; the control part is skipped over, for the index already told what it says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.tree import compress, tar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.tree.entry import Entry

_MAGIC = b"!<arch>\n"
_HEADER = 60
_END = b"`\n"
_NUMBER = re.compile(rb"(\d{1,10}) *")
_DATA = re.compile(r"data\.tar(?:\.(?:xz|zst|gz))?")
_CONTROL = re.compile(r"control\.tar(?:\.(?:xz|zst|gz))?")
_PARTS = 3
_MAX_EPOCH = (1 << 33) - 1


class Member(NamedTuple):
    """A part of the archive: its name, where its bytes are, when it was made (Unix seconds)."""

    name: str
    offset: int
    size: int
    mtime: int


class Part:
    """A stretch of a file, as a stream."""

    def __init__(self, source: BinaryIO, offset: int, size: int) -> None:
        self._source = source
        self._left = size
        source.seek(offset)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, none at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._source.read(wanted)
        self._left -= len(data)
        return data


def members(source: BinaryIO) -> list[Member]:
    """The parts of a .deb, checked for the one order that is allowed.  Raises LK0521."""
    length = source.seek(0, 2)
    source.seek(0)
    if source.read(len(_MAGIC)) != _MAGIC:
        raise _damaged("it is not an ar archive")
    found: list[Member] = []
    at = len(_MAGIC)
    while at < length:
        source.seek(at)
        member = _member(source.read(_HEADER), at + _HEADER)
        at = member.offset + member.size
        if at > length:
            raise _damaged(f'its part "{printable(member.name)}" is cut short')
        if at % 2:
            source.seek(at)
            if source.read(1) not in (b"\n", b""):
                raise _damaged("its padding is wrong")
            at += 1
        # dpkg skips parts that start with an underscore where they are after the first one.
        if not member.name.startswith("_") or not found:
            found.append(member)
        if len(found) > _PARTS:
            break  # the order is wrong already, whatever else there is
    _check(source, found)
    return found


def _member(header: bytes, offset: int) -> Member:
    if len(header) != _HEADER or header[58:] != _END:
        raise _damaged("a header is broken")
    name = header[:16].rstrip(b" ")
    name = name.removesuffix(b"/")
    size, mtime = _NUMBER.fullmatch(header[48:58]), _NUMBER.fullmatch(header[16:28].rstrip())
    if not size or not mtime or not name.isascii() or not name:
        raise _damaged("a header is broken")
    return Member(name.decode(), offset, int(size[1]), min(int(mtime[1]), _MAX_EPOCH))


def _check(source: BinaryIO, found: list[Member]) -> None:
    names = [member.name for member in found]
    shape = (
        len(names) == _PARTS
        and names[0] == "debian-binary"
        and _CONTROL.fullmatch(names[1])
        and _DATA.fullmatch(names[2])
    )
    if not shape:
        listed = ", ".join(printable(name, 20) for name in names[:5])
        raise _damaged(f"its parts are {listed or 'none'}")
    if Part(source, found[0].offset, min(found[0].size, 16)).read() != b"2.0\n":
        raise _damaged("its format is not 2.0")


def unpack(source: BinaryIO, scratch: BinaryIO) -> Iterator[Entry]:
    """The tree of the .deb ``source``; contents lie in ``scratch``, which must outlive them.

    A file is never newer than its package.  Raises LK0521, and the errors of ``tree.compress``
    and ``tree.tar`` (LK06xx: limits, names that lead outside).
    """
    data = members(source)[2]
    compress.spool(Part(source, data.offset, data.size), scratch)
    scratch.flush()
    yield from tar.read(scratch.fileno())


def epoch(source: BinaryIO) -> int:
    """When the package says it was made, in Unix seconds (its changelog's date)."""
    return members(source)[0].mtime


def _damaged(why: str) -> Error:
    return Error("LK0521", f"not a sound Debian package: {why}")
