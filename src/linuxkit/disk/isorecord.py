"""Directory records of CD-ROM images: names that every reader takes, and Rock Ridge beside them."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.tree.entry import Entry

SECTOR = 2048
_MAX_RECORD = 254
_MAX_NAME = 27  # of 30, less room for a number
_MAX_PART = 248  # of a name or link target in one SUSP entry
_CE_SIZE = 28
_TYPES = {
    Kind.FILE: 0o100000, Kind.DIR: 0o040000, Kind.SYMLINK: 0o120000, Kind.CHAR: 0o020000,
    Kind.BLOCK: 0o060000, Kind.FIFO: 0o010000,
}  # fmt: skip
_RRIP = (
    b"IEEE_P1282",
    b"THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    (
        b"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, NJ, USA FOR THE "
        b"P1282 SPECIFICATION"
    ),
)


class Node:
    """An object of the image; ``extent`` is its first sector, once that is known."""

    __slots__ = (
        "_extent", "_size", "children", "entry", "links", "name", "number", "original", "parent",
        "serial",
    )  # fmt: skip

    def __init__(self, entry: Entry, parent: Node | None, original: Node | None = None) -> None:
        self.entry = entry
        self.parent = parent or self
        self.original = original  # of a hard link
        self.children: list[Node] = []
        self.name = b""
        self.number = 0  # of a directory in the path table
        self.serial = 0
        self.links = 1
        self._extent = 0
        self._size = entry.content.size if entry.kind is Kind.FILE else 0

    @property
    def extent(self) -> int:
        """The first sector."""
        return self.original.extent if self.original else self._extent

    @extent.setter
    def extent(self, sector: int) -> None:
        self._extent = sector

    @property
    def size(self) -> int:
        """Bytes of a file, or of a directory's records."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._size = size

    def name_children(self) -> None:
        """Give each child a plain name of its own, and put them in the order of those."""
        taken: set[bytes] = set()
        for child in self.children:
            child.name = _plain_name(child, taken)
            taken.add(child.name)
        self.children.sort(key=lambda child: child.name)


def _plain_name(node: Node, taken: set[bytes]) -> bytes:
    """A name of ISO 9660, interchange level 2: A-Z, 0-9, _ and one dot."""
    text = node.entry.path.rpartition("/")[2].upper()
    folder = node.entry.kind is Kind.DIR
    base, dot, end = (text, "", "") if folder else text.rpartition(".")
    if not dot:
        base, end = text, ""
    base, end = (
        "".join(c if c.isascii() and c.isalnum() else "_" for c in part) for part in (base, end)
    )
    base, end = (base or "_")[: _MAX_NAME - min(len(end), 8)], end[:8]
    for number in range(1 << 20):
        mark = f"{number:x}".upper() if number else ""
        name = base[: _MAX_NAME - len(end) - len(mark)] + mark
        found = name.encode() if folder else f"{name}.{end};1".encode()
        if found not in taken:
            return found
    raise AssertionError


def both16(value: int) -> bytes:
    """A number in both byte orders."""
    return struct.pack("<H", value) + struct.pack(">H", value)


def both32(value: int) -> bytes:
    """A number in both byte orders."""
    return struct.pack("<I", value) + struct.pack(">I", value)


def _date(mtime: int) -> bytes:
    t = time.gmtime(mtime)
    return bytes((t.tm_year - 1900, t.tm_mon, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, 0))


def long_date(mtime: int) -> bytes:
    """A date as volume descriptors have it."""
    return time.strftime("%Y%m%d%H%M%S00", time.gmtime(mtime)).encode() + b"\0"


def plain(node: Node, name: bytes, extra: bytes = b"") -> bytes:
    """A directory record (ECMA-119, 9.1) with ``extra`` for system use."""
    padding = bytes(1 - len(name) % 2)
    length = 33 + len(name) + len(padding) + len(extra)
    length += length % 2
    flags = 2 if node.entry.kind is Kind.DIR else 0
    record = struct.pack("<BB", length, 0) + both32(node.extent) + both32(node.size)
    record += _date(node.entry.mtime) + bytes((flags, 0, 0)) + both16(1)
    record += bytes((len(name),)) + name + padding + extra
    return record.ljust(length, b"\0")


def _susp(tag: bytes, data: bytes) -> bytes:
    return tag + bytes((len(data) + 4, 1)) + data


def _extensions(node: Node, kind: str) -> Iterator[bytes]:
    """The SUSP entries of a record, which is the directory's own, its parent's, or a child's."""
    entry = node.entry
    if kind == "." and node.parent is node:
        yield _susp(b"SP", b"\xbe\xef\0")
    links = (node.original or node).links
    if entry.kind is Kind.DIR:
        links = 2 + sum(child.entry.kind is Kind.DIR for child in node.children)
    mode = _TYPES[entry.kind] | entry.mode
    serial = (node.original or node).serial
    yield _susp(b"PX", b"".join(map(both32, (mode, links, entry.uid, entry.gid, serial))))
    yield _susp(b"TF", b"\x02" + _date(entry.mtime))
    if kind == "." and node.parent is node:
        lengths = bytes((len(_RRIP[0]), len(_RRIP[1]), len(_RRIP[2]), 1))
        yield _susp(b"ER", lengths + b"".join(_RRIP))
    if kind:
        return
    if entry.kind in (Kind.CHAR, Kind.BLOCK):
        # As makedev(3) packs them for the lower 32 bits; the upper ones are 0.
        device = (entry.minor & 0xFF) | entry.major << 8 | (entry.minor & ~0xFF) << 12
        yield _susp(b"PN", both32(0) + both32(device))
    if entry.kind is Kind.SYMLINK:
        yield from _link(entry.link.encode("utf-8", "surrogateescape"))
    name = entry.path.rpartition("/")[2].encode("utf-8", "surrogateescape")
    for at in range(0, len(name), _MAX_PART):
        more = at + _MAX_PART < len(name)
        yield _susp(b"NM", bytes((more,)) + name[at : at + _MAX_PART])


def _link(target: bytes) -> Iterator[bytes]:
    """SL entries (RRIP 4.1.3): components, each cut where an entry is full."""
    parts: list[bytes] = []
    if target.startswith(b"/"):
        parts.append(b"\x08\0")
    for word in filter(None, target.split(b"/")):
        if word in (b".", b".."):
            parts.append(bytes((2 * len(word), 0)))
            continue
        cut = [word[at : at + 120] for at in range(0, len(word), 120)]
        parts += [bytes((piece is not cut[-1], len(piece))) + piece for piece in cut]
    entry = b""
    for part in parts:
        if len(entry) + len(part) > _MAX_PART - 4:
            yield _susp(b"SL", b"\x01" + entry)
            entry = b""
        entry += part
    yield _susp(b"SL", b"\0" + entry)


class _Block:
    """A directory being made: its records, and behind them what does not fit into records."""

    def __init__(self, folder: Node) -> None:
        self._folder = folder
        self.records = bytearray()
        self.rest = bytearray()
        self._links: list[tuple[int, int, int]] = []  # where a CE is, and what it leads to

    def add(self, node: Node, name: bytes, kind: str) -> None:
        found = list(_extensions(node, kind))
        room = _MAX_RECORD - len(plain(node, name))
        inline, rest = found, b""
        if sum(map(len, found)) > room:
            inline, used = [], 0
            while used + len(found[0]) + _CE_SIZE <= room:
                used += len(found[0])
                inline.append(found.pop(0))
            rest = b"".join(found)
            inline.append(bytes(_CE_SIZE))
        record = plain(node, name, b"".join(inline))
        if len(self.records) % SECTOR + len(record) > SECTOR:
            self.records += bytes(-len(self.records) % SECTOR)
        if rest:
            if len(self.rest) % SECTOR + len(rest) > SECTOR:
                self.rest += bytes(-len(self.rest) % SECTOR)
            start = len(self.records) + 33 + len(name) + (1 - len(name) % 2)
            start += sum(map(len, inline[:-1]))
            self._links.append((start, len(self.rest), len(rest)))
            self.rest += rest
        self.records += record

    def finish(self) -> bytes:
        self.records += bytes(-len(self.records) % SECTOR)
        first = self._folder.extent + len(self.records) // SECTOR
        for at, offset, size in self._links:
            sector, inside = divmod(offset, SECTOR)
            data = both32(first + sector) + both32(inside) + both32(size)
            self.records[at : at + _CE_SIZE] = _susp(b"CE", data)
        return bytes(self.records + self.rest)


def _block(folder: Node) -> _Block:
    block = _Block(folder)
    block.add(folder, b"\0", ".")
    block.add(folder.parent, b"\1", "..")
    for child in folder.children:
        block.add(child, child.name, "")
    return block


def measure(folder: Node) -> tuple[int, int]:
    """Bytes of the records of ``folder``, and sectors of everything that belongs to it."""
    block = _block(folder)
    size = len(block.records) + -len(block.records) % SECTOR
    return size, size // SECTOR + -(-len(block.rest) // SECTOR)


def directory(folder: Node) -> bytes:
    """The records of ``folder`` and what continues them, when all extents are known."""
    return _block(folder).finish()


def path_table(folders: Sequence[Node], *, big: bool) -> bytes:
    """The path table (ECMA-119, 9.4) in one byte order."""
    order = ">" if big else "<"
    found = b""
    for folder in folders:
        name = folder.name or b"\0"
        found += struct.pack(f"{order}BBIH", len(name), 0, folder.extent, folder.parent.number)
        found += name + bytes(len(name) % 2)
    return found
