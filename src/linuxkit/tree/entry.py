"""One file-system object.  A *tree* is a stream of entries in which parents come first."""

from __future__ import annotations

import os
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK = 1 << 20


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHAR = "char"
    BLOCK = "block"
    FIFO = "fifo"


class Content(Protocol):
    """The bytes of a regular file."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces of at most :data:`CHUNK`; may be asked for again."""


class Bytes:
    """Content held in memory; for small files that we make ourselves."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """All of it as one piece."""
        if self.data:
            yield self.data


class Slice:
    """Content that lies in an open file; the file must outlive it."""

    __slots__ = ("handle", "offset", "size")

    def __init__(self, handle: int, offset: int, size: int) -> None:
        self.handle = handle
        self.offset = offset
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """The bytes, read by position: the file's own position is not moved.

        Raises EOFError when the file is shorter than it was.
        """
        at, left = self.offset, self.size
        while left:
            data = os.pread(self.handle, min(left, CHUNK), at)
            if not data:
                raise EOFError(f"content ended {left} bytes early")
            yield data
            at += len(data)
            left -= len(data)


EMPTY = Bytes(b"")


class Entry(NamedTuple):
    """A file-system object.

    ``path`` is relative, without ``.``/``..``, leading or trailing slash; bytes that are not
    UTF-8 are surrogate escapes.  ``mode`` is the permission bits (07777).  ``mtime`` is in whole
    seconds.  ``link`` is a symlink's target text, or the path of the entry that a hard link
    repeats.  ``xattrs`` maps full names such as ``security.capability`` to values.
    """

    path: str
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: Content = EMPTY
    link: str = ""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[str, bytes] = MappingProxyType({})
