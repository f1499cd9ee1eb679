"""Archives made by hand, octet by octet and independently of the code under test, so that they can
lie; and shorthands for reading them."""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

END = bytes(1024)


def block(
    name: bytes = b"file",
    flag: bytes = b"0",
    size: int | bytes = 0,
    *,
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    major: bytes = b"0000000\0",
    minor: bytes = b"0000000\0",
    prefix: bytes = b"",
    tail: bytes = b"",
    checksum: bytes | None = None,
    off_by: int = 0,
) -> bytes:
    """One header; any field may be nonsense, the checksum is right unless told otherwise."""
    if isinstance(size, int):
        size = b"%011o\0" % size
    before = name.ljust(100, b"\0") + mode + uid + gid + size + mtime
    after = flag + link.ljust(100, b"\0") + magic + bytes(64) + major + minor
    after += prefix.ljust(155, b"\0") + tail.rjust(12, b"\0")
    total = sum(before) + sum(after) + 8 * 32 + off_by
    whole = before + (checksum if checksum is not None else b"%06o\0 " % total) + after
    assert len(whole) == 512
    return whole


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes = b"file", data: bytes = b"", flag: bytes = b"0", **fields: object) -> bytes:
    """A header with its content."""
    return block(name, flag, len(data), **fields) + padded(data)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while length < len(key) + len(value) + 3 + len(str(length)):
        length += 1
    return b"%d %b=%b\n" % (length, key, value)


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    """An extended header."""
    return member(b"PaxHeaders/x", b"".join(record(*pair) for pair in records), flag)


def long_name(name: bytes, flag: bytes = b"L") -> bytes:
    return member(b"././@LongLink", name + b"\0", flag)


def base256(value: int, width: int = 12) -> bytes:
    return (
        value.to_bytes(width, "big", signed=True)
        if value < 0
        else (b"\x80" + value.to_bytes(width - 1, "big"))
    )


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[int]:
    """``data`` as an open file."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def read_tar(data: bytes, limits: tar.Limits = tar.LIMITS) -> list[Entry]:
    """The entries of an archive, their contents in memory."""
    with opened(data) as handle:
        return [kept(entry) for entry in tar.read(handle, limits=limits)]


def kept(entry: Entry) -> Entry:
    """The entry with its content in memory."""
    return Entry(
        entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime,
        Bytes(b"".join(entry.content.chunks())), entry.link, entry.major, entry.minor,
        dict(entry.xattrs),
    )  # fmt: skip


def plain(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    """Entries as values that compare."""
    return [
        (
            e.path, e.kind.value, e.mode, e.uid, e.gid, e.mtime, b"".join(e.content.chunks()),
            e.link, e.major, e.minor, dict(e.xattrs),
        )
        for e in entries
    ]  # fmt: skip


def refusal(action: Callable[[], object]) -> Error | None:
    """The error that ``action`` ends with, if any; every other exception is a failure."""
    try:
        action()
    except Error as error:
        return error
    return None


def file(path: str, data: bytes = b"", **fields: object) -> Entry:
    return Entry(path, Kind.FILE, content=Bytes(data), **fields)  # type: ignore[arg-type]


def folder(path: str, mode: int = 0o755, **fields: object) -> Entry:
    return Entry(path, Kind.DIR, mode, **fields)  # type: ignore[arg-type]


def symlink(path: str, target: str, **fields: object) -> Entry:
    return Entry(path, Kind.SYMLINK, 0o777, link=target, **fields)  # type: ignore[arg-type]


def hardlink(path: str, target: str) -> Entry:
    return Entry(path, Kind.HARDLINK, link=target)
