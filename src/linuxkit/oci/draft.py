"""Files under way: written beside the store under a passing name, renamed when they are whole.

A draft is locked while its writer lives, so that a later writer can tell what the dead have left
and remove it; what goes into a draft, and where it is published, is left to the store.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from _typeshed import ReadableBuffer

_BUFFER = 256 << 10
_STALE_S = 3600
_UNLOCKED_S = 10  # longer than any writer takes from making a draft to locking it


class Draft:
    """A file that nobody else sees yet; write to ``out``."""

    def __init__(self, handle: int, path: Path) -> None:
        self.out: BinaryIO = open(handle, "wb", buffering=_BUFFER)  # noqa: SIM115
        self._path: Path | None = path

    def publish(self, target: Path, *, sync: bool) -> None:
        """Give the file its name, in place of one that has it; flushed to disk first (``sync``).

        Raises OSError.
        """
        if self._path is None:
            raise ValueError("published or discarded before")
        self.out.flush()
        if sync:
            os.fsync(self.out.fileno())
        self._path.rename(target)
        self._path = None
        self.out.close()
        if sync:
            files.sync_folder(target.parent)

    def discard(self) -> None:
        """Remove the file unless it has been published."""
        with contextlib.suppress(OSError):  # it tries to flush to the disk that just refused
            self.out.close()
        if self._path is not None:
            with contextlib.suppress(OSError):  # what stays is swept up later
                self._path.unlink()
            self._path = None


class BlobWriter:
    """Where the bytes of a new blob go; hashed and counted as they pass."""

    def __init__(self, out: BinaryIO, root: Path, expect: Digest | None, size: int | None) -> None:
        self._out = out
        self._root = root
        self._hash = hashlib.sha256()
        self._expect = expect
        self._announced = size
        self.size = 0

    def write(self, data: ReadableBuffer) -> int:
        """Write all of ``data``.  Raises LK0304 as soon as more came than was announced, LK0102."""
        length = memoryview(data).nbytes
        self.size += length
        if self._announced is not None and self.size > self._announced:
            raise self._wrong_size(f"more than {self._announced}")
        self._hash.update(data)
        try:
            self._out.write(data)
        except OSError as error:
            raise files.os_error(error, "store a blob in", self._root) from error
        return length

    @property
    def digest(self) -> Digest:
        """The digest of everything written so far."""
        return Digest("sha256:" + self._hash.hexdigest())

    def check(self) -> None:
        """Compare with what was announced.  Raises LK0304, LK0305."""
        if self._announced is not None and self.size != self._announced:
            raise self._wrong_size(f"only {self.size}")
        if self._expect is not None and self.digest != self._expect:
            raise Error(
                "LK0305",
                f"{self._expect}: the bytes that came have the digest {self.digest}",
                hint="they were damaged or changed on their way: try again",
            )

    def _wrong_size(self, came: str) -> Error:
        return Error(
            "LK0304",
            f"{self._expect or 'blob'}: {came} bytes came where {self._announced} were announced",
            hint="they were damaged or changed on their way: try again",
        )


# What file systems without O_TMPFILE answer, and kernels that do not know it (open(2)).
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class Drafts:
    """The folder in which drafts lie; on the file system of the place they are published in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = False

    @contextlib.contextmanager
    def new(self) -> Iterator[Draft]:
        """A draft; gone after the block unless it was published.  Raises OSError."""
        draft = Draft(*self._create())
        try:
            yield draft
        finally:
            draft.discard()

    def write(self, target: Path, data: bytes, *, sync: bool) -> None:
        """Replace ``target`` by ``data`` in one step.  Raises OSError."""
        with self.new() as draft:
            draft.out.write(data)
            draft.publish(target, sync=sync)

    def nameless(self) -> BinaryIO:
        """A file without a name, for reading and writing; gone when it is closed."""
        try:
            # It never has one, so nobody can move it away before it is removed.
            handle = os.open(self._folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            handle, path = self._create()
            path.unlink()
        return open(handle, "w+b", buffering=_BUFFER)  # noqa: PTH123

    def _create(self) -> tuple[int, Path]:
        path = self._folder / os.urandom(8).hex()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        # Where locks do not work, the sweep cannot take one either, and leaves everything alone.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not self._swept:
            self._swept = True
            self._sweep(os.fstat(handle).st_mtime)
        return handle, path

    def now_s(self) -> float:
        """The time by the file system's own clock, in seconds since 1970.  Raises OSError."""
        with self.nameless() as file:
            return os.fstat(file.fileno()).st_mtime

    def left(self) -> list[Path]:
        """What dead processes have left.  Raises OSError."""
        try:
            now_s = self.now_s()
        except OSError:  # nobody may write here
            now_s = time.time()
        return self._unheld(now_s - _UNLOCKED_S, remove=False)

    def _sweep(self, now_s: float) -> None:
        """Remove drafts that are old and that no living process holds."""
        self._unheld(now_s - _STALE_S, remove=True)

    def _unheld(self, before_s: float, *, remove: bool) -> list[Path]:
        """Drafts of before a time by the file system's clock, that no living process holds.

        The age keeps us off a draft that was made but not locked yet.  What cannot be examined is
        left: it may belong to somebody else.
        """
        unheld = []
        with os.scandir(self._folder) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < before_s:
                        _examine(entry.path, remove=remove)
                        unheld.append(self._folder / entry.name)
        return sorted(unheld)


def _examine(path: str, *, remove: bool) -> None:
    """Raise OSError if a living process holds the draft, else remove it, if that is wished."""
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            os.unlink(path)  # noqa: PTH108 - a plain string, straight from scandir
    finally:
        os.close(handle)
