"""The tree of a package image: kept files of .debs, the recipe's own files, users, ``/usr`` links.

What is kept is decided in ``debian.select``; the tree is packed in ``builder``.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base import files as base_files
from linuxkit.base import resources
from linuxkit.base.errors import Error, printable
from linuxkit.recipes.debian.files import home
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from linuxkit.recipes.debian.files import Files
    from linuxkit.recipes.debian.select import Kept
    from linuxkit.recipes.recipe import OwnFile, User

_MERGED = ("bin", "lib", "lib64", "sbin")
_MAX_SOURCE = 256 << 20


class Root:
    """A tree under construction; later additions replace earlier ones."""

    def __init__(self, mtime: int, *, usr_merge: bool) -> None:
        """``mtime`` (Unix seconds) is that of everything the .debs do not date."""
        self._mtime = mtime
        self._usr_merge = usr_merge
        self._entries: dict[str, Entry] = {}

    def entries(self) -> list[Entry]:
        """The whole tree: sorted, parents first, every folder named."""
        return [self._entries[path] for path in sorted(self._entries)]

    def add(self, entry: Entry) -> None:
        """Put one object in, and the folders above it.  Raises LK0535 where one is no folder."""
        path = home(entry.path) if self._usr_merge else entry.path
        entry = entry._replace(path=path)
        known = self._entries.get(path)
        if known is not None and (known.kind is Kind.DIR) != (entry.kind is Kind.DIR):
            raise _in_the_way(path)
        self._above(path)
        self._entries[path] = entry

    def _above(self, path: str) -> None:
        parent = posixpath.dirname(path)
        if not parent:
            return
        known = self._entries.get(parent)
        if known is None:
            self._above(parent)
            self._entries[parent] = Entry(parent, Kind.DIR, 0o755, mtime=self._mtime)
        elif known.kind is not Kind.DIR:
            raise _in_the_way(parent)

    def add_debs(self, files: Files, kept: Kept) -> None:
        """Put in what was kept of the .debs; folders above it are as the .debs have them."""
        folders: set[str] = set()
        for path in kept.paths:
            while path := posixpath.dirname(path):
                folders.add(path)
        dirs = {p for p in folders | kept.paths if files.is_folder(p)}
        for path in sorted(dirs):
            self.add(files.entries[path])
        first: dict[str, str] = {}
        for path in sorted(kept.paths - dirs):
            entry = files.entries[path]
            # Of several names for one file the first one kept becomes the file.
            original = entry.link if entry.kind is Kind.HARDLINK else path
            found = files.entries.get(original)
            if entry.kind is Kind.HARDLINK and found is not None:
                entry = found._replace(path=path)
            if entry.kind is Kind.FILE and original in first:
                entry = entry._replace(kind=Kind.HARDLINK, link=first[original])
            first.setdefault(original, path)
            self.add(entry)

    def link_usr(self, files: Files, interpreters: Iterable[str]) -> None:
        """Make programs find their dynamic loader: links for all of ``/usr``, or just for it."""
        if self._usr_merge:
            for name in _MERGED:
                if f"usr/{name}" in self._entries:
                    self._entries[name] = self._symlink(name, f"usr/{name}")
            return
        for interpreter in sorted(interpreters):
            path = interpreter.lstrip("/")
            loader, _links = files.resolve(path)
            if loader is not None and path not in self._entries:
                up = "../" * path.count("/")
                self.add(self._symlink(path, up + loader.path))

    def add_users(self, users: Sequence[User]) -> None:
        """Write ``etc/passwd`` and ``etc/group`` with root and ``users``."""
        passwd = ["root:x:0:0:root:/root:/sbin/nologin"]
        group = ["root:x:0:"]
        for user in users:
            passwd.append(f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:{user.shell}")
            line = f"{user.name}:x:{user.gid}:"
            if user.gid and line not in group:
                group.append(line)
        for path, lines in (("etc/passwd", passwd), ("etc/group", group)):
            text = "".join(f"{line}\n" for line in lines)
            self.add(self._file(path, text.encode(), 0o644))

    def add_own(self, file: OwnFile, data: bytes, mode: int) -> None:
        """Put in one of the recipe's ``files:``; ``data`` and ``mode`` are used where it is one."""
        bits = file.mode.bits if file.mode else 0
        if file.directory:
            made = Entry(file.path, Kind.DIR, bits or 0o755, mtime=self._mtime)
        elif file.symlink:
            made = self._symlink(file.path, file.symlink)
        else:
            made = self._file(file.path, data, bits or mode)
        self.add(made._replace(uid=file.uid, gid=file.gid))

    def _file(self, path: str, data: bytes, mode: int) -> Entry:
        return Entry(path, Kind.FILE, mode, mtime=self._mtime, content=Bytes(data))

    def _symlink(self, path: str, target: str) -> Entry:
        return Entry(path, Kind.SYMLINK, 0o777, mtime=self._mtime, link=target)


def own_bytes(file: OwnFile, folder: Path, arch: str) -> tuple[bytes, int]:
    """The bytes of one of ``files:`` that holds some, and its usual mode.

    Raises LK0536 (a source that is not there, or outside of the folder), LK0537 (a guest program
    that is not built).
    """
    if file.contents is not None:
        return file.contents.encode(), 0o644
    if file.guest is not None:
        return _guest(file.guest, arch), 0o755
    if file.source is None:
        return b"", 0o644
    path = folder / file.source
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise Error("LK0536", f'"{printable(file.source)}" lies outside of {folder}')
        if not path.is_file():  # a FIFO would be waited for
            raise Error("LK0536", f'"{printable(file.source)}" is not a file in {folder}')
        with path.open("rb") as source:
            data = source.read(_MAX_SOURCE + 1)
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    except OSError as error:
        failure = base_files.os_error(error, "read", path)
        raise Error("LK0536", failure.message, hint=failure.hint) from error
    if len(data) > _MAX_SOURCE:
        raise Error("LK0536", f"{path} has more than {_MAX_SOURCE >> 20} MiB")
    return data, mode


def _guest(name: str, arch: str) -> bytes:
    try:
        return resources.guest(arch, name).read_bytes()
    except OSError as error:
        raise Error(
            "LK0537", f'the guest program "{printable(name)}" is not built for {arch}',
            hint=f"build it: python scripts/build_guest.py {arch}",
        ) from error  # fmt: skip


def _in_the_way(path: str) -> Error:
    return Error("LK0535", f'"{printable(path)}" is both a folder and something else')
