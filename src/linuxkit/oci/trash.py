"""Files taken out of a store that somebody may still want: found again by name until they go.

They lie in a folder for each epoch in which they were taken (:mod:`linuxkit.oci.lease`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Taken(NamedTuple):
    """A file in the trash; ``size`` in bytes."""

    epoch: int
    path: Path
    size: int


class Trash:
    """The trash in ``folder``, on the file system of the store; ``lock`` is a file for it alone."""

    def __init__(self, folder: Path, lock: Path) -> None:
        self._folder = folder
        self._lock = lock

    def taking(self) -> contextlib.AbstractContextManager[None]:
        """A block that takes things: who misses one waits for its end.  Raises LK0102."""
        return files.locked(self._lock)

    @contextlib.contextmanager
    def calm(self) -> Iterator[None]:
        """A block in which nothing is taken: what is in its place stays there.

        Otherwise a file could be brought back and taken again between two looks, and be missed by
        both.
        """
        try:
            handle = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            yield  # nobody has ever taken anything, or we may not know
            return
        try:
            with contextlib.suppress(OSError):  # no locks: nobody collects either
                files.lock(handle, shared=True)
            yield
        finally:
            os.close(handle)

    def take(self, path: Path, name: str, epoch: int) -> bool:
        """Move ``path`` here as ``name``; False when it is not there any more.  Raises OSError."""
        target = self._folder / str(epoch)
        while True:
            # Not exist_ok: that looks for the folder again, which somebody may just have tidied up.
            with contextlib.suppress(FileExistsError):
                target.mkdir(parents=True)
            try:
                path.rename(target / name)
            except FileNotFoundError:
                if target.is_dir():
                    return False  # else somebody has just rescued the last file beside it
            else:
                return True

    def rescue(self, name: str, path: Path) -> bool:
        """Move what was taken as ``name`` back to ``path``; False when it is not here."""
        for epoch in self._epochs():
            with contextlib.suppress(OSError):
                if os.path.lexists(self._folder / epoch / name):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    (self._folder / epoch / name).rename(path)
                    self._tidy(self._folder / epoch)
                    return True
        return False

    def files(self) -> Iterator[Taken]:
        """Everything that lies here."""
        for epoch in self._epochs():
            paths: list[Path] = []
            with contextlib.suppress(FileNotFoundError):  # its last file has just been rescued
                paths = sorted((self._folder / epoch).iterdir())
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    yield Taken(int(epoch), path, path.stat().st_size)

    def forget(self, taken: Taken) -> bool:
        """Delete a file for good; False when somebody has rescued it.  Raises OSError."""
        try:
            taken.path.unlink()
        except FileNotFoundError:
            return False
        self._tidy(taken.path.parent)
        return True

    @staticmethod
    def _tidy(folder: Path) -> None:
        with contextlib.suppress(OSError):  # not empty yet
            folder.rmdir()

    def _epochs(self) -> list[str]:
        try:
            with os.scandir(self._folder) as found:
                return sorted(entry.name for entry in found if entry.name.isdecimal())
        except OSError:
            return []
