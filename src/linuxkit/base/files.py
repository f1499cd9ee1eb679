"""Files written whole or not at all, and locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import struct
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, or choose another place",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another place",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EACCES: "you may not write there: choose another place or mend its permissions",
    errno.EPERM: "you may not write there: choose another place or mend its permissions",
    errno.ENOENT: "make the folder first, or mend the path",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
}


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)  # a path that leads to no such thing


def os_error(error: OSError, doing: str, path: str | Path | None = None) -> Error:
    """One clear error (LK0102) for what the operating system refused."""
    place = path if path is not None else error.filename
    at = f" {place}" if place else ""
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    hint = _HINTS.get(number, "")
    if number == errno.ENOENT and doing == "read":  # no folder that is made would help
        hint = "mend the path"
    kind = MissingError if number in _NOT_THERE else Error
    return kind("LK0102", f"cannot {doing}{at}: {reason}", hint=hint)


def need_folder(folder: Path, hint: str = "make it first, or mend --dir") -> None:
    """Raise LK0102 when there is no such folder."""
    if not folder.is_dir():
        raise MissingError("LK0102", f"there is no folder {folder}", hint=hint)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644, sync: bool = True) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` only when the block ends well.

    It is written beside ``path``, flushed to disk (``sync``) and renamed; on any error nothing
    is left.  ``mode`` is set exactly, whatever the umask.  Raises LK0102.
    """
    temporary: Path | None = None
    try:
        handle, temporary = _new_beside(path)
        with open(handle, "w+b") as out:  # noqa: PTH123 - a descriptor, not a path
            yield out
            out.flush()
            os.fchmod(out.fileno(), mode)
            if sync:
                os.fsync(out.fileno())
        temporary.replace(path)
        if sync:
            sync_folder(path.parent)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError):
            raise os_error(error, "write", path) from error
        raise


_numbers = itertools.count()


def _new_beside(path: Path) -> tuple[int, Path]:
    """A new file with a name that nobody has (what tempfile does, without its import)."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        name = path.with_name(f".{path.name[:64]}.{os.getpid()}-{next(_numbers)}")
        with contextlib.suppress(FileExistsError):
            return os.open(name, flags, 0o600), name


def write(path: Path, data: bytes, *, mode: int = 0o644, sync: bool = True) -> None:
    """Replace ``path`` by ``data`` in one step."""
    with replacing(path, mode=mode, sync=sync) as out:
        out.write(data)


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the file system of ``folder`` durable: syncfs(2).

    For many files at once, where asking for each would take long; other disks are left alone.
    Raises OSError, since Linux 5.8 also for what could not be written.
    """
    import ctypes  # only few need it, and all import this module

    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(handle) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on the file ``path`` (made when missing) inside the block.

    An open-file-description lock (fcntl(2), F_OFD_SETLKW): the kernel drops it when the process
    dies, closing another handle of the file does not, and it excludes classic POSIX locks, which
    the Go tool takes on the same file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o644)
    except OSError as error:
        raise os_error(error, "lock", path) from error
    try:
        try:
            lock(handle, shared=shared)
        except OSError as error:
            raise os_error(error, "lock", path) from error
        yield
    finally:
        os.close(handle)


def lock(handle: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file until it is closed, as :func:`locked` does.

    False when somebody else has it, unless we ``wait`` for that.  Raises OSError where files cannot
    be locked.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if not wait and error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def copy_range(source: BinaryIO, out: BinaryIO, size: int, offset: int = 0) -> None:
    """Copy ``size`` bytes of ``source`` from ``offset`` to the end of ``out``, inside the kernel.

    Both must be real files, or ``out`` a pipe; ``out`` is flushed first.  Raises
    OSError; EOFError when ``source`` is shorter.
    """
    out.flush()
    while size:
        try:
            done = os.copy_file_range(source.fileno(), out.fileno(), size, offset)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            done = os.sendfile(out.fileno(), source.fileno(), offset, min(size, 1 << 30))
        if not done:
            raise EOFError(f"file ended {size} bytes early")
        size -= done
        offset += done
    if out.seekable():
        out.seek(0, os.SEEK_END)  # the buffer's idea of the position, after the kernel moved it
