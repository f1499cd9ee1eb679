"""Who uses a store: processes hold a lease, and what was taken away waits until it is given back.

Time is cut into epochs, numbered files in one folder.  A process holds a shared lock on the newest
one from its first look at the store to its end, also when it is killed: the kernel drops the lock.
Who takes something away begins a new epoch afterwards, and deletes for good once nobody holds an
older one: whoever could have seen the thing in its place is gone by then.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from linuxkit.base import files

if TYPE_CHECKING:
    from pathlib import Path


class Lease:
    """Held until it is let go, by hand or with the process."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        """Let go."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        self.release()


class Leases:
    """The epochs of a store, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folder and its first epoch.  Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.newest() is None:
            self._begin(0)

    def take(self) -> Lease | None:
        """A lease on the present; None where there are no epochs, or no locks."""
        while True:
            number = self.newest()
            if number is None:
                return None
            try:
                handle = os.open(self._folder / str(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # that epoch is over
            except OSError:
                return None
            lease = Lease(handle)
            with contextlib.suppress(OSError):
                files.lock(handle, shared=True)
                if self.newest() == number:
                    return lease
                lease.release()
                continue
            return None

    def newest(self) -> int | None:
        """The number of the present epoch."""
        return max(self._numbers(), default=None)

    def advance(self) -> None:
        """Begin a new epoch.  Raises OSError."""
        newest = self.newest()
        self._begin(0 if newest is None else newest + 1)

    def oldest_held(self) -> int:
        """The oldest epoch that somebody may hold; those before it are over.  Raises OSError."""
        numbers = sorted(self._numbers())
        for number in numbers[:-1]:
            path = self._folder / str(number)
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if not files.lock(handle, wait=False):
                    return number
                path.unlink()
            finally:
                os.close(handle)
        return numbers[-1] if numbers else 0

    def _begin(self, number: int) -> None:
        os.close(os.open(self._folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))

    def _numbers(self) -> list[int]:
        try:
            with os.scandir(self._folder) as found:
                return [int(entry.name) for entry in found if entry.name.isdecimal()]
        except OSError:
            return []
