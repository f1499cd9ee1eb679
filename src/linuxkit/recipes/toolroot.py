"""Tools of our own: programs of Debian's signed archive, pinned by a lock, run without installing.

Each tool is a recipe like those of stock packages; its image is unpacked into the cache once, and
its programs are started through the dynamic loader that came with them, so that neither the
host's libraries nor its versions matter.  Nothing needs root.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import digest, files, platform, resources
from linuxkit.base.errors import Error
from linuxkit.disk.tools import PROGRAMS, Command, data_row
from linuxkit.oci import model
from linuxkit.recipes.stock import Shelf
from linuxkit.tree import compress, tar
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.lock import Deb
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.tree.entry import Entry

LOCK = "LINUXKIT_TOOLS_LOCK"
_DONE = "complete"
ARCHES = ("amd64", "arm64")
"""What tools run on, and what there are data files for."""


def shelf(environ: Mapping[str, str] | None = None) -> Shelf:
    """The recipes of the tools, and the lock of ``LINUXKIT_TOOLS_LOCK`` or theirs."""
    chosen = (os.environ if environ is None else environ).get(LOCK, "")
    folder = resources.tools()
    return Shelf(folder, Path(chosen) if chosen else folder / "debian.lock")


class ToolRoot:
    """The tools that are unpacked in ``store``; those that are missing come from ``pool``."""

    def __init__(
        self, store: Store, pool: Pool, tools: Shelf | None = None, *, offline: bool = False
    ) -> None:
        """With ``offline`` nothing is fetched: tools that are not in ``store`` are an error."""
        self._offline = offline
        self._store = store
        self._pool = pool
        self._shelf = tools or shelf()
        self._ready: dict[tuple[str, str], Path] = {}

    @property
    def identity(self) -> str:
        """A digest of every tool there is for any architecture that can run them."""
        tags = [self._shelf.reference(n, a) for n in self._shelf.names() for a in ARCHES]
        return digest.of_value(tags)

    def program(self, name: str, /) -> Command:
        """How to start ``name`` on this machine.

        Raises LK0905 where no tools are made for this machine, and what fetching raises.
        """
        row = PROGRAMS[name]
        host = platform.host()
        if host.oci not in ARCHES:
            raise Error(
                "LK0905", f"there are no tools of our own for {host.oci}",
                hint=f"install {row.package} and use the host's: --tools host",
            )  # fmt: skip
        root = self.root(row.tool, host.oci)
        libraries = root / "usr" / "lib" / host.multiarch
        loaders = sorted(libraries.glob("ld-linux*.so.*"))
        env = {key: str(root / path) for key, path in row.settings}
        loading = str(loaders[0]), "--library-path", str(libraries), "--argv0", name
        return Command((*loading, str(root / row.path)), env)

    def data(self, name: str, arch: str, /) -> Path:
        """Where ``name`` lies for guests of ``arch``.  Raises LK0904, and what fetching raises."""
        row = data_row(name, arch)
        return self.root(row.tool, arch) / row.path

    def names(self) -> tuple[tuple[str, str], ...]:
        """Every tool this machine may want, with the architecture it is for."""
        host = platform.host().oci
        run = {row.tool for row in PROGRAMS.values()}
        return tuple(
            (name, arch)
            for name in self._shelf.names()
            for arch in ([host] if name in run else ARCHES)
            if self._shelf.debs(name, arch)
        )

    def debs(self, name: str, arch: str) -> Sequence[Deb]:
        """The Debian packages that the tool is made of."""
        return self._shelf.debs(name, arch)

    def is_ready(self, name: str, arch: str) -> bool:
        """Whether the tool is unpacked."""
        return (self._folder(name, arch) / _DONE).exists()

    def root(self, name: str, arch: str) -> Path:
        """The folder of the tool, fetched and unpacked where it was not.

        Raises LK0501 to LK0545, LK0907 (it would have to be fetched), and what the network raises.
        """
        known = self._ready.get((name, arch))
        if known:
            return known
        folder = self._folder(name, arch)
        if not (folder / _DONE).exists():
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise files.os_error(error, "make", folder.parent) from error
            with files.locked(folder.parent / f".{name}-{arch}.lock"):
                if not (folder / _DONE).exists():
                    self._unpack(name, arch, folder)
        self._ready[name, arch] = folder
        return folder

    def _folder(self, name: str, arch: str) -> Path:
        tag = self._shelf.reference(name, arch).rpartition(":")[2]
        return (self._store.root / "linuxkit" / "tools" / f"{name}-{arch}-{tag}").absolute()

    def _unpack(self, name: str, arch: str, folder: Path) -> None:
        missing = self._pool.missing(self._shelf.debs(name, arch)) if self._offline else ()
        if missing and self._shelf.present(name, arch, self._store) is None:
            raise Error(
                "LK0907", f'the tool "{name}" is not there, and nothing may be fetched',
                hint=f"fetch it before: linuxkit tools fetch {name}",
            )  # fmt: skip
        try:
            image = self._shelf.image(name, arch, self._store, self._pool)
        except Error as error:
            raise _of_tools(error) from error
        manifest = model.decode_manifest(
            self._store.read(image.digest, model.MANIFEST_LIMIT), image
        )
        shutil.rmtree(folder, ignore_errors=True)  # what was interrupted
        with self._store.temporary() as scratch:
            for layer in manifest.layers:
                with self._store.open(layer.digest, layer.size) as packed:
                    compress.spool(packed, scratch)
            scratch.flush()
            try:
                _write(list(tar.read(scratch.fileno())), folder)
            except OSError as error:
                raise files.os_error(error, "unpack a tool into", folder) from error


def _of_tools(error: Error) -> Error:
    """The same error, with the command that mends the lock of tools."""
    hint = error.hint.replace("linuxkit pkg lock", "linuxkit tools lock")
    return Error(error.code, error.message, hint=hint, where=error.where, detail=error.detail)


def _write(entries: Sequence[Entry], folder: Path) -> None:
    """Unpack a tool's tree: folders and files first, and links when nothing is written any more.

    So no name leads through a link; the reader has checked that none leads outside.  Files are
    read-only, for others may run them while we live.
    """
    folder.mkdir(mode=0o755)
    contents = {entry.path: entry for entry in entries}
    steps: dict[Kind, Callable[[Entry, Path], None]] = {
        Kind.DIR: lambda _, path: path.mkdir(exist_ok=True),
        Kind.FILE: _file,
        Kind.HARDLINK: lambda entry, path: _file(contents[entry.link], path),
        Kind.SYMLINK: lambda entry, path: path.symlink_to(_inside(entry)),
    }
    for kind, step in steps.items():
        for entry in entries:
            if entry.kind is kind:
                step(entry, folder / entry.path)
    (folder / _DONE).touch()


def _file(entry: Entry, path: Path) -> None:
    with path.open("xb") as out:
        out.writelines(entry.content.chunks())
    path.chmod(0o555 if entry.mode & 0o100 else 0o444)


def _inside(entry: Entry) -> str:
    """A link's target as seen from the link, so that the folder may lie anywhere."""
    if not entry.link.startswith("/"):
        return entry.link
    return posixpath.relpath(entry.link, "/" + posixpath.dirname(entry.path))
