"""newc cpio archives as the Linux kernel unpacks them into an initramfs: written and read strictly.

The format is Linux's Documentation/driver-api/early-userspace/buffer-format.rst; the writer also
heeds how init/initramfs.c makes hard links.  Compression is ``tree.compress``'s business.
"""

from __future__ import annotations

import binascii
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.tree import content
from linuxkit.tree import path as paths
from linuxkit.tree.entry import EMPTY, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from linuxkit.tree.content import Sink

_MAGIC = b"070701"
_HEADER = 110
_TRAILER = "TRAILER!!!"
_FIRST_INODE = 721
_DEVICE = (3, 1)
_END_ALIGNMENT = 512
_MAX_FIELD = (1 << 32) - 1
_MAX_NAME = 4096  # with its NUL; the kernel passes over longer names without a word
_WINDOW = 16 << 10

_TYPES = {
    Kind.FIFO: 0o010000,
    Kind.CHAR: 0o020000,
    Kind.DIR: 0o040000,
    Kind.BLOCK: 0o060000,
    Kind.FILE: 0o100000,
    Kind.SYMLINK: 0o120000,
}
_KINDS = {mode: kind for kind, mode in _TYPES.items()}
_TYPE_MASK = 0o170000


class Result(NamedTuple):
    """What was written: bytes, and how many extended attributes the format has no place for."""

    written: int
    dropped_xattrs: int


class _Inode:
    """One object and how many names it has."""

    __slots__ = ("entry", "links", "number")

    def __init__(self, entry: Entry, number: int) -> None:
        self.entry = entry
        self.number = number
        self.links = 2 if entry.kind is Kind.DIR else 1


def write(entries: Iterable[Entry], out: Sink) -> Result:
    """Write a whole archive, padded to 512 bytes so that archives can follow one another.

    Inodes count from 721, on device 3:1.  All names of a hard-linked object carry its metadata and
    its final link count, and the first of them its content, as the kernel needs it.  A name that
    comes again replaces the object before it.  Extended attributes are left out and counted.
    Raises LK0608 for a hard link without its target, LK0610 when a content changes meanwhile,
    LK0611 for what the format or the kernel cannot hold.
    """
    members = _members(entries)
    done: set[int] = set()
    written = 0
    dropped = 0
    for name, inode in members.items():
        entry = inode.entry
        first = inode.number not in done
        done.add(inode.number)
        body = paths.encode(entry.link) if entry.kind is Kind.SYMLINK else b""
        size = len(body)
        if entry.kind is Kind.FILE and first:
            size = entry.content.size
        head = _head(name, inode, size)
        out.write(head + body)
        if size and not body:
            content.copy(entry, out)
        if size % 4:
            out.write(bytes(-size % 4))
        written += len(head) + size + -size % 4
        dropped += len(entry.xattrs) if first else 0
    trailer = _record(_TRAILER.encode(), (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    written += len(trailer)
    padding = -written % _END_ALIGNMENT
    out.write(trailer + bytes(padding))
    return Result(written + padding, dropped)


def _members(entries: Iterable[Entry]) -> dict[str, _Inode]:
    """Names in the order of writing; link counts have to be known before the first is written."""
    members: dict[str, _Inode] = {}
    number = _FIRST_INODE
    for entry in entries:
        inode = _target(entry, members) if entry.kind is Kind.HARDLINK else None
        if inode is None:
            inode = _Inode(entry, number)
            number += 1
        elif inode.entry.kind is Kind.SYMLINK:  # the kernel hard-links anything but these
            inode = _Inode(inode.entry, number)
            number += 1
        else:
            inode.links += 1
        old = members.get(entry.path)
        if old is not None and not (old.entry.kind is inode.entry.kind is Kind.DIR):
            # The kernel would write the new content into the old object, under all its names.
            del members[entry.path]
            old.links -= 1
        members[entry.path] = inode
    return members


def _target(entry: Entry, members: dict[str, _Inode]) -> _Inode:
    inode = members.get(entry.link)
    if inode is None or inode.entry.kind is Kind.DIR or entry.link == entry.path:
        why = "does not come before it" if inode is None else "cannot be linked to"
        raise Error(
            "LK0608",
            f'"{printable(entry.path)}" is a hard link to "{printable(entry.link)}", which {why}',
        )
    return inode


def _head(name: str, inode: _Inode, size: int) -> bytes:
    """The member's header and name, padded; raises LK0611."""
    entry = inode.entry
    is_device = entry.kind in {Kind.CHAR, Kind.BLOCK}
    if name == _TRAILER:
        raise _unfit(name, "its name is the mark of an archive's end")
    if size > _MAX_FIELD:
        raise _unfit(name, f"it has {size} bytes, and 4 GiB or more do not fit")
    if entry.kind is Kind.SYMLINK and size >= _MAX_NAME:
        raise _unfit(name, "the link's target is too long for the kernel")
    values = (
        inode.number, _TYPES[entry.kind] | entry.mode, entry.uid, entry.gid, inode.links,
        entry.mtime, size, *_DEVICE, *((entry.major, entry.minor) if is_device else (0, 0)),
    )  # fmt: skip
    if min(values) < 0 or max(values) > _MAX_FIELD:
        raise _unfit(name, "its owner, time or device number has over 32 bits")
    raw = paths.encode(name)
    if len(raw) >= _MAX_NAME:
        raise _unfit(name, "its name is too long for the kernel")
    return _record(raw, values)


def _record(name: bytes, values: tuple[int, ...]) -> bytes:
    padding = bytes(-(_HEADER + len(name) + 1) % 4)
    numbers = (*values, len(name) + 1, 0)
    return b"%b%b%b\0%b" % (_MAGIC, (b"%08X" * 13) % numbers, name, padding)


def _unfit(name: str, why: str) -> Error:
    return Error(
        "LK0611",
        f'"{printable(name)}" does not fit in an initramfs: {why}',
        hint="leave the file out, or choose an output format with a file system of its own",
    )


def read(handle: int) -> Iterator[Entry]:
    """The entries of the uncompressed archives in the open file ``handle``, one after the other.

    Contents are slices of the file.  Of a hard-linked object's names the first must carry the
    content, as the writer has it.  Raises LK0601 for unsafe names, LK0612 for anything else.
    """
    return _Reader(handle).entries()


class _Reader:
    """One pass over a file of archives."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._size = os.fstat(handle).st_size
        self._at = 0
        self._window = b""
        self._window_at = 0
        self._links: dict[tuple[int, int, int], str] = {}

    def entries(self) -> Iterator[Entry]:
        inside = False
        while self._at < self._size:
            at = self._at
            try:
                if not inside and self._skip_zeros():
                    return
                inside = True
                name, fields = self._header()
                if name == _TRAILER.encode():
                    self._links.clear()
                    inside = False
                    continue
                entry = self._entry(name, fields)
            except Error as error:
                error.message = f"cpio member at byte {at}: {error.message}"
                raise
            if entry is not None:
                yield entry
        if inside:
            raise _damaged("the cpio archive has no end mark")

    def _skip_zeros(self) -> bool:
        """Go on to the next archive; true when there is none."""
        while self._at < self._size:
            word = self._read(self._at, min(4, self._size - self._at))
            if word.strip(b"\0"):
                return False
            self._at += 4
        return True

    def _header(self) -> tuple[bytes, tuple[int, ...]]:
        head = self._read(self._at, _HEADER)
        if not head.startswith(_MAGIC):
            raise _damaged("there is no newc header")
        try:
            fields = struct.unpack(">13I", binascii.unhexlify(head[len(_MAGIC) :]))
        except binascii.Error:
            raise _damaged("the header has something else than hexadecimal digits") from None
        size = fields[11]
        if not 1 < size <= _MAX_NAME:
            raise _damaged(f"the name has {size} bytes")
        name = self._read(self._at + _HEADER, size)
        if name.find(0) != size - 1:
            raise _damaged("the name does not end where it should")
        self._at += _HEADER + size + -(_HEADER + size) % 4
        return name[:-1], fields

    def _entry(self, name: bytes, fields: tuple[int, ...]) -> Entry | None:
        number, mode, uid, gid, links, mtime, size, major, minor, device, unit, _, check = fields
        kind = _KINDS.get(mode & _TYPE_MASK)
        if kind is None or check:
            raise _damaged("the kind of the object is unknown")
        start = self._at
        self._at += size + -size % 4
        if self._at > self._size or (size and kind not in {Kind.FILE, Kind.SYMLINK}):
            raise _damaged("the size is wrong")
        path = paths.clean_or_root(name)
        if not path:
            if kind is not Kind.DIR:
                raise Error("LK0601", f"a {kind} would take the place of the root directory")
            return None
        target, body = "", EMPTY if size == 0 else Slice(self._handle, start, size)
        if kind is Kind.SYMLINK:
            target, body = paths.target(self._read(start, min(size, _MAX_NAME + 1))), EMPTY
        elif kind is not Kind.DIR and links > 1:
            target = self._links.setdefault((number, major, minor), path)
            if target == path:
                target = ""
            elif size:
                raise _damaged("a hard link has content of its own")
            else:
                kind = Kind.HARDLINK
        return Entry(path, kind, mode & 0o7777, uid, gid, mtime, body, target, device, unit)

    def _read(self, at: int, size: int) -> bytes:
        """``size`` bytes at ``at``, most often out of the window."""
        start = at - self._window_at
        if start < 0 or start + size > len(self._window):
            self._window = os.pread(self._handle, max(size, _WINDOW), at)
            self._window_at = at
            start = 0
            if len(self._window) < size:
                raise _damaged("the archive is cut short")
        return self._window[start : start + size]


def _damaged(why: str) -> Error:
    return Error("LK0612", why)
