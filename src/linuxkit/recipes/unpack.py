"""Writes a tree of ours into a folder of ours: the one place where entries become host files.

Only for build roots (docs/decisions/0025-build-roots.md).  No name leads through a symbolic link:
every folder on the way is opened without following any.
"""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from linuxkit.tree.entry import Entry

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(entries: Iterable[Entry], folder: Path, owner: int | None = None) -> None:
    """Write ``entries``, parents first and with clean paths, into the empty ``folder``.

    Everything gets one ``owner`` (None: the one who runs this), and may be read by everybody.
    Owners, set-user-id bits and attributes are not kept; devices are refused.  Raises LK0535 (a
    path that is no path of this tree), OSError.
    """
    top = os.open(folder, _FOLDER)
    try:
        writer = _Writer(top, owner)
        for entry in entries:
            writer.add(entry)
        writer.close()
    finally:
        os.close(top)


class _Writer:
    """Keeps the folder of the last entry open, for the next one is mostly in it too."""

    def __init__(self, top: int, owner: int | None) -> None:
        self._top = top
        self._owner = owner
        self._path = ""
        self._handle = os.dup(top)

    def close(self) -> None:
        os.close(self._handle)

    def add(self, entry: Entry) -> None:
        parent, name = posixpath.split(entry.path)
        if parent != self._path:
            found = self._open(parent)
            os.close(self._handle)
            self._path, self._handle = parent, found
        if entry.kind is Kind.DIR:
            os.mkdir(name, 0o755, dir_fd=self._handle)
            os.chmod(name, 0o755, dir_fd=self._handle)  # noqa: S103 - whatever the umask
        elif entry.kind is Kind.SYMLINK:
            os.symlink(entry.link, name, dir_fd=self._handle)
        elif entry.kind is Kind.HARDLINK:
            self._link(entry, name)
        elif entry.kind is Kind.FILE:
            self._file(entry, name)
        else:
            raise Error("LK0535", f'"{printable(entry.path)}" is a {entry.kind}')
        if self._owner is not None:
            os.chown(
                name, self._owner, self._owner, dir_fd=self._handle, follow_symlinks=False
            )

    def _open(self, path: str) -> int:
        handle = os.dup(self._top)
        for part in path.split("/") if path else ():
            try:
                below = os.open(part, _FOLDER, dir_fd=handle)
            except OSError as error:
                raise Error("LK0535", f'"{printable(path)}" is no folder') from error
            finally:
                os.close(handle)
            handle = below
        return handle

    def _link(self, entry: Entry, name: str) -> None:
        parent, target = posixpath.split(entry.link)
        folder = self._open(parent)
        try:
            os.link(
                target, name, src_dir_fd=folder, dst_dir_fd=self._handle, follow_symlinks=False
            )
        finally:
            os.close(folder)

    def _file(self, entry: Entry, name: str) -> None:
        with open(os.open(name, _NEW, 0o600, dir_fd=self._handle), "wb") as out:  # noqa: PTH123
            out.writelines(entry.content.chunks())
            out.flush()
            os.fchmod(out.fileno(), 0o755 if entry.mode & 0o111 else 0o644)
            os.utime(out.fileno(), (entry.mtime, entry.mtime))
