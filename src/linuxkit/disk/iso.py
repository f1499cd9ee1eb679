"""CD-ROM images: ISO 9660 with the Rock Ridge extensions, and El Torito to start from them.

Written in one pass from a tree in memory, for the field's tools want the tree unpacked on the
host and put the clock into the image.  Sources: ECMA-119; IEEE P1281 (SUSP) and P1282 (RRIP 1.12);
"El Torito" Bootable CD-ROM Format 1.0.  Records of a directory are ``isorecord``'s business.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.disk import isorecord
from linuxkit.disk.isorecord import SECTOR, Node
from linuxkit.tree import content
from linuxkit.tree.entry import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import BinaryIO

_FIRST = 16  # sector of the first volume descriptor
_CATALOG = 19
_TABLES = 20
_MAX_FILE = (4 << 30) - SECTOR
_MAX_FOLDERS = 0xFFFF  # that the path table can number
_ETERNITY = b"0" * 16 + b"\0"  # no expiry
BIOS, EFI = 0x00, 0xEF


class Boot(NamedTuple):
    """A file that firmware starts: its path, for whom, and whether it wants to know where it is."""

    path: str
    platform: int  # BIOS or EFI
    info: bool = False  # gets the boot information table, and GRUB's


class Volume(NamedTuple):
    """Names of the whole: at most 32 and 128 characters of A-Z, 0-9 and _; seconds since 1970."""

    name: str
    set_name: str
    mtime: int


class Place(NamedTuple):
    """Where the bytes of a file lie in the image."""

    offset: int
    size: int


def write(
    entries: Iterable[Entry], out: BinaryIO, volume: Volume, boots: Sequence[Boot] = ()
) -> Mapping[str, Place]:
    """Write a tree, parents first, to the empty file ``out``; says where each file lies.

    Raises LK0743 for a file of 4 GiB or more, and for more than 65,535 folders.
    """
    root, nodes = _nodes(entries, volume.mtime)
    folders = _folders(root)
    names = isorecord.path_table(folders, big=False)
    sectors = -(-len(names) // SECTOR)
    at = _lay_out(folders, _TABLES + 2 * sectors)
    files = [n for n in nodes.values() if n.entry.kind is Kind.FILE and n.original is None]
    for node in files:
        node.extent = at if node.size else 0
        at += -(-node.size // SECTOR)
    _put(out, _FIRST, _primary(volume, root, len(names), sectors, at))
    _put(out, _FIRST + 1, _boot_record() if boots else _terminator())
    if boots:
        _put(out, _FIRST + 2, _terminator())
        _put(out, _CATALOG, _catalog(boots, nodes))
    _put(out, _TABLES, isorecord.path_table(folders, big=False))
    _put(out, _TABLES + sectors, isorecord.path_table(folders, big=True))
    for folder in folders:
        _put(out, folder.extent, isorecord.directory(folder))
    informed = {boot.path for boot in boots if boot.info}
    for node in files:
        if node.size:
            out.seek(node.extent * SECTOR)
            if node.entry.path in informed:
                out.write(_informed(node))
            else:
                content.copy(node.entry, out)
    out.truncate(at * SECTOR)
    return {n.entry.path: Place(n.extent * SECTOR, n.size) for n in files}


def _nodes(entries: Iterable[Entry], mtime: int) -> tuple[Node, dict[str, Node]]:
    root = Node(Entry("", Kind.DIR, 0o755, mtime=mtime), None)
    nodes: dict[str, Node] = {"": root}
    for entry in entries:
        parent = nodes[entry.path.rpartition("/")[0]]
        original = nodes[entry.link] if entry.kind is Kind.HARDLINK else None
        if entry.content.size > _MAX_FILE:
            raise Error("LK0743", f"{printable(entry.path)} is too large for a CD image (4 GiB)")
        if original:
            original.links += 1
            entry = original.entry._replace(path=entry.path)  # noqa: PLW2901
        node = Node(entry, parent, original)
        nodes[entry.path] = node
        parent.children.append(node)
    for number, node in enumerate(nodes.values(), 1):
        node.serial = number
    return root, nodes


def _folders(root: Node) -> list[Node]:
    """Every directory by depth, and in the order of their parents: that of the path table."""
    found = [root]
    for folder in found:
        folder.name_children()
        found += [child for child in folder.children if child.entry.kind is Kind.DIR]
    if len(found) > _MAX_FOLDERS:
        raise Error("LK0743", f"a CD image holds {_MAX_FOLDERS} folders; there are {len(found)}")
    for number, folder in enumerate(found, 1):
        folder.number = number
    return found


def _lay_out(folders: Sequence[Node], at: int) -> int:
    for folder in folders:
        folder.extent = at
        folder.size, total = isorecord.measure(folder)
        at += total
    return at


def _put(out: BinaryIO, sector: int, data: bytes) -> None:
    out.seek(sector * SECTOR)
    out.write(data + bytes(-len(data) % SECTOR))


def _both(value: int) -> bytes:
    return isorecord.both32(value)


def _primary(volume: Volume, root: Node, table: int, sectors: int, total: int) -> bytes:
    date = isorecord.long_date(volume.mtime)
    return b"".join((
        b"\x01CD001\x01\0",
        b"LINUX".ljust(32), volume.name.encode().ljust(32), bytes(8),
        _both(total), bytes(32),
        isorecord.both16(1), isorecord.both16(1), isorecord.both16(SECTOR), _both(table),
        struct.pack("<II", _TABLES, 0), struct.pack(">II", _TABLES + sectors, 0),
        isorecord.plain(root, b"\0"),
        volume.set_name.encode().ljust(128), b" " * 128, b" " * 128, b"LINUXKIT".ljust(128),
        b" " * 37 * 3,
        date, date, _ETERNITY, date,
        b"\x01\0",
    ))  # fmt: skip


def _boot_record() -> bytes:
    name = b"EL TORITO SPECIFICATION".ljust(32, b"\0")
    return b"\0CD001\x01" + name + bytes(32) + struct.pack("<I", _CATALOG)


def _terminator() -> bytes:
    return b"\xffCD001\x01"


def _catalog(boots: Sequence[Boot], nodes: Mapping[str, Node]) -> bytes:
    head = bytearray(struct.pack("<BBH24sHBB", 1, boots[0].platform, 0, b"linuxkit", 0, 0x55, 0xAA))
    total = sum(struct.unpack("<16H", head))
    struct.pack_into("<H", head, 28, -total & 0xFFFF)
    found = bytes(head) + _boot_entry(boots[0], nodes)
    for number, boot in enumerate(boots[1:], 2):
        last = 0x91 if number == len(boots) else 0x90
        found += struct.pack("<BBH28s", last, boot.platform, 1, b"") + _boot_entry(boot, nodes)
    return found


def _boot_entry(boot: Boot, nodes: Mapping[str, Node]) -> bytes:
    node = nodes[boot.path]
    # In sectors of 512 bytes.  A loader that knows where it is reads the rest by itself, and a
    # number that does not fit means "all of it" to UEFI.
    count = 4 if boot.info else min(-(-node.size // 512), 0xFFFF)
    return struct.pack("<BBHBBHI20s", 0x88, 0, 0, 0, 0, count, node.extent, b"")


def _informed(node: Node) -> bytes:
    """A loader that is told where it lies: mkisofs' boot information table, and GRUB's own."""
    data = bytearray(b"".join(node.entry.content.chunks()))
    data += bytes(-len(data) % 4)
    struct.pack_into("<Q", data, 2548, node.extent * 4 + 5)
    words = sum(word for (word,) in struct.iter_unpack("<I", data[64:]))
    struct.pack_into("<4I", data, 8, _FIRST, node.extent, node.size, words & 0xFFFFFFFF)
    return bytes(data)
