"""Tar archives: a strict reader that accepts or refuses but never guesses, and one fixed writer.

Header blocks are decoded by ``tree.ustar``, extended headers by ``tree.pax``; where entries end up
in a tree is ``tree.merge``'s business.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.tree import content, ustar
from linuxkit.tree import path as paths
from linuxkit.tree import pax as records
from linuxkit.tree.entry import EMPTY, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from linuxkit.tree.content import Sink
    from linuxkit.tree.entry import Content
    from linuxkit.tree.pax import Pax
    from linuxkit.tree.ustar import Header

_BLOCK = ustar.BLOCK
_WINDOW = 16 << 10  # read at once: a header, its extended header and small contents
_MAX_ID = (1 << 32) - 2  # the last one means "no change" to chown(2)
_MAX_DEVICE = (1 << 32) - 1
_MAX_TIME = (1 << 63) - 1

_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,  # "contiguous", which no system of ours knows
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.DIR,
    b"6": Kind.FIFO,
}
_REFUSED = {
    b"S": "sparse files are not supported",
    b"V": "volume labels are not supported",
    b"M": "multi-volume archives are not supported",
    b"D": "incremental archives are not supported",
}
_FLAGS = {kind: flag for flag, kind in reversed(_KINDS.items())}
_NO_RECORDS: Mapping[str, str] = {}


class Limits(NamedTuple):
    """How much of what an archive may hold; sizes in bytes."""

    entries: int = 2_000_000
    extended: int = 1 << 20  # one extended header or long name
    xattr: int = 64 << 10  # the value of one extended attribute
    xattrs: int = 1 << 20  # all extended attributes of an entry
    content: int = 16 << 30  # all contents together
    text: int = 128 << 20  # all names, link targets and attributes, which stay in memory


LIMITS = Limits()


def read(handle: int, *, limits: Limits = LIMITS) -> Iterator[Entry]:
    """The entries of the uncompressed archive in the open file ``handle``, from its start.

    V7, ustar, GNU (long names, base-256 numbers) and PAX archives are understood.  Contents are
    slices of the file.  An archive may end without its two blocks of zeros, and its last content
    without padding, as some layers do, but only exactly there.  The root directory's own entry is
    skipped.  Times before 1970, which neither ustar nor newc can express, become 0.  Where readers
    are known to differ (two sizes, two names, a size for something that is no file) the archive is
    refused.  Raises LK0601 to LK0606; the message names the entry and its offset.
    """
    return _Reader(handle, limits).entries()


class _Reader:
    """One pass over an archive."""

    def __init__(self, handle: int, limits: Limits) -> None:
        self._handle = handle
        self._limits = limits
        self._size = os.fstat(handle).st_size
        self._window = b""
        self._window_at = 0
        self._at = 0  # the next header
        self._count = 0
        self._content = 0
        self._text = 0
        self._shown: bytes = b""  # the current entry's name, for messages
        self._global: Pax = records.NOTHING
        # What extended headers said about the entry that comes next.
        self._pax: Pax | None = None
        self._long_name: bytes | None = None
        self._long_link: bytes | None = None
        # Archives that we wrote have one and the same extended header before most entries.
        self._last_block = b""
        self._last_header: Header | None = None
        self._last_body = b""
        self._last_pax: Pax = records.NOTHING

    def entries(self) -> Iterator[Entry]:
        while self._at < self._size:
            at = self._at
            self._shown = b""
            try:
                entry = self._next()
            except Error as error:
                shown = printable(self._shown.decode("utf-8", "surrogateescape"))
                name = f' "{shown}"' if shown else ""
                error.message = f"tar entry{name} at byte {at}: {error.message}"
                raise
            if entry is not None:
                yield entry
        if self._pending():
            raise Error("LK0602", "the tar archive ends after an extended header")

    def _next(self) -> Entry | None:
        """Take one header and what belongs to it; None where it is no entry of its own."""
        block = self._read(self._at, _BLOCK)
        if block == ustar.ZEROS:
            self._finish()
            return None
        if block == self._last_block and self._last_header is not None:
            header = self._last_header
        else:
            header = ustar.decode(block)
        self._shown = header.name
        if header.flag in b"xgLK":
            self._extend(header, block)
            return None
        return self._entry(header)

    def _extend(self, header: Header, block: bytes) -> None:
        """Take an extended header, or a long name in GNU's way."""
        if header.size > self._limits.extended:
            raise Error("LK0605", f"an extended header has over {self._limits.extended} bytes")
        start = self._at + _BLOCK
        self._at = self._behind(start, header.size)
        body = self._read(start, header.size)
        if header.flag == b"g":
            if self._pending():
                raise Error("LK0604", "a global header stands between an entry and its own")
            self._global = records.over(records.decode_global(body), self._global)
        elif header.flag == b"x":
            self._extend_pax(header, block, body)
        elif self._pax is not None:
            raise Error("LK0604", "an entry has both a PAX header and a GNU long name")
        elif header.flag == b"L":
            if self._long_name is not None:
                raise Error("LK0604", "an entry has two long names")
            self._long_name = body.rstrip(b"\0")
        else:
            if self._long_link is not None:
                raise Error("LK0604", "an entry has two long link targets")
            self._long_link = body.rstrip(b"\0")

    def _extend_pax(self, header: Header, block: bytes, body: bytes) -> None:
        if self._pending():
            raise Error("LK0604", "an entry has two extended headers")
        if body != self._last_body:
            limits = self._limits
            self._last_pax = records.decode(body, max_value=limits.xattr, max_total=limits.xattrs)
            self._last_body = body
        self._pax = self._last_pax
        self._last_block, self._last_header = block, header

    def _entry(self, header: Header) -> Entry | None:
        """The entry of ``header``, with what extended headers said of it."""
        more = self._pax or records.NOTHING
        if self._global is not records.NOTHING:
            more = records.over(more, self._global)
        name = more.path if more.path is not None else self._long_name
        if name is None:
            name = header.name
        self._shown = name
        link = more.link if more.link is not None else self._long_link
        if link is None:
            link = header.link
        self._pax = self._long_name = self._long_link = None
        self._count += 1
        if self._count > self._limits.entries:
            raise Error("LK0605", f"the archive has over {self._limits.entries} entries")
        self._text += len(name) + len(link)
        if more.xattrs:
            self._text += sum(map(len, more.xattrs)) + sum(map(len, more.xattrs.values()))
        if self._text > self._limits.text:
            raise Error("LK0605", f"names and attributes have over {self._limits.text} bytes")
        kind = _kind(header.flag, name)
        body = self._body(kind, header.size, more.size)
        path = paths.clean_or_root(name)
        if not path:
            if kind is not Kind.DIR:
                raise Error("LK0601", f"a {kind} would take the place of the root directory")
            return None
        if kind is Kind.HARDLINK:
            target = paths.clean(link, what="hard link target")
        else:
            target = paths.target(link) if kind is Kind.SYMLINK else ""
        return Entry(
            path, kind, header.mode & 0o7777, _owner(header.uid, more.uid),
            _owner(header.gid, more.gid), _time(header.mtime, more.mtime), body, target,
            _device(header.major), _device(header.minor), more.xattrs,
        )  # fmt: skip

    def _body(self, kind: Kind, header_size: int, pax_size: int | None) -> Content:
        """The content behind the current header; moves on to the next header."""
        size = header_size
        if pax_size is not None:
            # A reader that follows the other size would see other entries (CVE-2025-62518,
            # CVE-2026-33055).  Writers leave 0 where the size does not fit.
            if header_size not in {0, pax_size}:
                raise Error("LK0604", f"two sizes are given: {header_size} and {pax_size}")
            size = pax_size
        start = self._at + _BLOCK
        if size == 0:
            self._at = start
            return EMPTY
        if kind is not Kind.FILE:
            raise Error("LK0604", f"a {kind} has a size of {size} bytes")
        self._content += size
        if self._content > self._limits.content:
            raise Error("LK0605", f"the contents have over {self._limits.content} bytes")
        self._at = self._behind(start, size)
        return Slice(self._handle, start, size)

    def _behind(self, start: int, size: int) -> int:
        """Where the next header is, after ``size`` bytes at ``start``."""
        end = start + size
        padded = end + -end % _BLOCK
        if padded > self._size and end != self._size:
            raise Error("LK0602", "the archive is cut short")
        return padded

    def _finish(self) -> None:
        """Nothing but zeros may follow the first block of zeros."""
        if self._pending():
            raise Error("LK0602", "the archive ends after an extended header")
        while self._at < self._size:
            data = self._read(self._at, min(_WINDOW, self._size - self._at))
            if data.strip(b"\0"):
                raise Error("LK0602", "there is something behind the end of the archive")
            self._at += len(data)

    def _pending(self) -> bool:
        return not (self._pax is None and self._long_name is None and self._long_link is None)

    def _read(self, at: int, size: int) -> bytes:
        """``size`` bytes at ``at``, most often out of the window."""
        start = at - self._window_at
        if start < 0 or start + size > len(self._window):
            self._window = os.pread(self._handle, max(size, _WINDOW), at)
            self._window_at = at
            start = 0
            if len(self._window) < size:
                raise Error("LK0602", "the archive is cut short")
        return self._window[start : start + size]


def _kind(flag: bytes, name: bytes) -> Kind:
    kind = _KINDS.get(flag)
    if kind is None:
        shown = printable(flag.decode("latin-1"))
        why = _REFUSED.get(flag, f'entries of type "{shown}" are not supported')
        raise Error("LK0603", why)
    if kind is Kind.FILE and name.endswith(b"/"):
        if flag != b"\0":
            raise Error("LK0604", "a file has the name of a directory")
        return Kind.DIR  # V7 had no other way to say it
    return kind


def _owner(header: int, more: int | None) -> int:
    value = header if more is None else more
    if value > _MAX_ID:
        raise Error("LK0606", f"the owner {value} is beyond {_MAX_ID}")
    return value


def _device(value: int) -> int:
    if value > _MAX_DEVICE:
        raise Error("LK0606", f"the device number {value} is beyond {_MAX_DEVICE}")
    return value


def _time(header: int, more: int | None) -> int:
    value = header if more is None else more
    if value > _MAX_TIME:
        raise Error("LK0606", f"the time {value} is beyond {_MAX_TIME}")
    return max(value, 0)


class Writer:
    """Writes entries in the order they come: POSIX headers, PAX records where something needs them.

    The same entries give the same bytes.  Nothing is buffered between calls.  Directories have no
    trailing slash, owners no names; an extended header has the same name before every entry.
    """

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._pax: Mapping[str, str] = _NO_RECORDS
        self._extended = b""  # the extended header with only those records

    def add(self, entry: Entry, pax: Mapping[str, str] = _NO_RECORDS) -> None:
        """Write one entry, with further ``pax`` records (key to text).

        Raises LK0601 for a path that leads outside, LK0610 when the content is not as long as it
        says, LK0617 for what no tar header can express.
        """
        if paths.clean(entry.path) != entry.path:
            raise Error("LK0601", f'the name "{printable(entry.path)}" is not in its plain form')
        header, needed = _header(entry)
        if needed:
            for key, text in pax.items():
                needed.setdefault(key, paths.encode(text))
            head = _extended(needed)
        else:
            if pax != self._pax:
                self._pax = dict(pax)
                self._extended = _extended({k: paths.encode(v) for k, v in pax.items()})
            head = self._extended
        self._out.write(head + ustar.encode(header))
        if header.flag == b"0" and entry.content.size:
            content.copy(entry, self._out)
            padding = -entry.content.size % _BLOCK
            if padding:
                self._out.write(bytes(padding))

    def close(self) -> None:
        """Write the end of the archive: two blocks of zeros and no more."""
        self._out.write(bytes(2 * _BLOCK))


def write(entries: Iterable[Entry], out: Sink, pax: Mapping[str, str] = _NO_RECORDS) -> None:
    """Write a whole archive.  Raises as :class:`Writer` does."""
    writer = Writer(out)
    for entry in entries:
        writer.add(entry, pax)
    writer.close()


def _header(entry: Entry) -> tuple[Header, dict[str, bytes]]:
    """The header, and the records for what it has no room for."""
    flag = _FLAGS[entry.kind]
    needed: dict[str, bytes] = {}
    size = entry.content.size if flag == b"0" else 0
    header = ustar.Header(
        _name(entry.path, "path", needed),
        entry.mode & 0o7777,
        _value(entry.uid, "uid", ustar.MAX_ID, needed),
        _value(entry.gid, "gid", ustar.MAX_ID, needed),
        _value(size, "size", ustar.MAX_SIZE, needed),
        _value(entry.mtime, "mtime", ustar.MAX_SIZE, needed),
        flag,
        _name(entry.link, "linkpath", needed) if entry.link else b"",
        _value(entry.major, "", ustar.MAX_ID, needed),
        _value(entry.minor, "", ustar.MAX_ID, needed),
    )
    for name, value in entry.xattrs.items():
        if not name or "=" in name or "\0" in name:
            shown = printable(name)
            raise Error("LK0617", f'a tar archive cannot hold the attribute "{shown}"')
        needed[records.XATTR + name] = value
    return header, needed


def _name(text: str, key: str, needed: dict[str, bytes]) -> bytes:
    if len(text) <= ustar.MAX_NAME and text.isascii():
        return text.encode()
    needed[key] = paths.encode(text)
    # For readers without PAX; cutting must not make ".." of a longer component.
    short = text.encode("ascii", "replace")
    return short if len(short) <= ustar.MAX_NAME else short[: ustar.MAX_NAME - 1] + b"_"


def _value(value: int, key: str, largest: int, needed: dict[str, bytes]) -> int:
    if 0 <= value <= largest:
        return value
    if value < 0 or not key:
        raise Error("LK0617", f"a tar archive cannot hold the {key or 'device number'} {value}")
    needed[key] = b"%d" % value
    return 0


def _extended(more: Mapping[str, bytes]) -> bytes:
    if not more:
        return b""
    body = records.encode(more)
    header = ustar.Header(b"PaxHeaders.0", 0o644, 0, 0, len(body), 0, b"x", b"")
    return ustar.encode(header) + body + bytes(-len(body) % _BLOCK)
