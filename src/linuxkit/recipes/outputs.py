"""What commands have left in their folder, read as data: they may have left anything.

No symbolic link is followed on the way, whoever made it; the commands are gone when this reads.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.tree import path as paths
from linuxkit.tree.entry import CHUNK, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.recipes.recipe import Output

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_ENTRIES = 1_000_000
_MAX_BYTES = 16 << 30


class Outputs:
    """Chosen files of the folder ``build``; times are ``epoch``, owners what the recipe says."""

    def __init__(self, build: Path, epoch: int) -> None:
        self._top = os.open(build, _FOLDER)
        self._epoch = epoch
        self._found: dict[str, Entry] = {}
        self._bytes = 0

    def close(self) -> None:
        """Let go of the folder; contents can no longer be read."""
        os.close(self._top)

    def entries(self) -> list[Entry]:
        """Everything that was added: sorted, parents first, every folder named."""
        for path in list(self._found):
            for above in paths.parents(path):
                known = self._found.setdefault(
                    above, Entry(above, Kind.DIR, 0o755, mtime=self._epoch)
                )
                if known.kind is not Kind.DIR:
                    shown = printable(above)
                    raise Error("LK0535", f'"{shown}" is both a folder and something else')
        return [self._found[path] for path in sorted(self._found)]

    def add(self, output: Output) -> None:
        """Take one of ``outputs:``.  Raises LK0563, LK0535, LK0565, LK0601."""
        try:
            facts = self._facts(output.source)
        except OSError as error:
            raise Error(
                "LK0563", f'the commands left no "{printable(output.source)}" in /build',
                hint="outputs are named as the commands see them, without following links",
            ) from error  # fmt: skip
        if stat.S_ISDIR(facts.st_mode):
            if output.path:
                self._put(output, output.source, output.path, facts)
            self._below(output)
        elif output.path:
            self._put(output, output.source, output.path, facts)
        else:
            raise Error(
                "LK0563", f'"{printable(output.source)}" is no folder and cannot be the root',
                hint="give it a `path`",
            )  # fmt: skip

    def _below(self, output: Output) -> None:
        todo = [(output.source, output.path)]
        while todo:
            source, target = todo.pop()
            handle = self._open(source, _FOLDER)
            try:
                names = sorted(os.listdir(handle))  # noqa: PTH208 - a descriptor
            finally:
                os.close(handle)
            for name in names:
                path = paths.clean(os.fsencode(f"{target}/{name}" if target else name))
                facts = self._facts(f"{source}/{name}")
                self._put(output, f"{source}/{name}", path, facts)
                if stat.S_ISDIR(facts.st_mode):
                    todo.append((f"{source}/{name}", path))

    def _put(self, output: Output, source: str, path: str, facts: os.stat_result) -> None:
        self._found[path] = self._entry(output, source, path, facts)
        if len(self._found) > _MAX_ENTRIES:
            raise Error("LK0565", f"the outputs are over {_MAX_ENTRIES} files")

    def _entry(self, output: Output, source: str, path: str, facts: os.stat_result) -> Entry:
        made = Entry(path, Kind.DIR, 0o755, output.uid, output.gid, self._epoch)
        if stat.S_ISDIR(facts.st_mode):
            return made
        if stat.S_ISLNK(facts.st_mode):
            link = paths.target(self._link(source))
            return made._replace(kind=Kind.SYMLINK, mode=0o777, link=link)
        if not stat.S_ISREG(facts.st_mode):
            raise Error("LK0563", f'the output "{printable(source)}" is no file, folder or link')
        self._bytes += facts.st_size
        if self._bytes > _MAX_BYTES:
            raise Error("LK0565", f"the outputs are over {_MAX_BYTES >> 30} GiB")
        usual = 0o755 if facts.st_mode & 0o111 else 0o644
        mode = output.mode.bits if output.mode else usual
        return made._replace(kind=Kind.FILE, mode=mode, content=_Left(self, source, facts.st_size))

    def _facts(self, path: str) -> os.stat_result:
        folder, name = self._parent(path)
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(folder)

    def _link(self, path: str) -> str:
        folder, name = self._parent(path)
        try:
            return os.readlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def _parent(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        return self._open(above, _FOLDER), name

    def _open(self, path: str, flags: int) -> int:
        """Open step by step, for the kernel would follow links on the way."""
        handle = os.dup(self._top)
        parts = path.split("/") if path else []
        for n, part in enumerate(parts):
            how = flags if n == len(parts) - 1 else _FOLDER
            try:
                below = os.open(part, how, dir_fd=handle)
            finally:
                os.close(handle)
            handle = below
        return handle

    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of a regular file."""
        with open(self._open(path, _FILE), "rb") as file:  # noqa: PTH123
            while data := file.read(CHUNK):
                yield data


class _Left:
    """Content that is read when it is wanted: there may be more files than descriptors."""

    def __init__(self, outputs: Outputs, path: str, size: int) -> None:
        self._outputs = outputs
        self._path = path
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """The bytes."""
        return self._outputs.read(self._path)
