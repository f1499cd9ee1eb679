"""Gives an initramfs the modules of another kernel than the one that it was made for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from linuxkit.base import files
from linuxkit.build.drivers import name_of
from linuxkit.tree import compress, cpio
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PLACE = "lib/modules"
_BEGIN = 4  # archives in an initramfs begin at multiples of it (buffer-format.rst)
_LEVEL = 1  # it is unpacked once, and at once


def write(folder: Path, out: BinaryIO) -> None:
    """Write the modules of ``folder/VERSION`` as an archive that others may follow.

    It comes first: what follows lz4, whose frames have no end, would be lost.  Raises LK0102.
    """
    try:
        with ExitStack() as opened:
            writer = compress.open_writer("zstd", _LEVEL, out)
            cpio.write(_entries(folder, opened), writer)
            writer.close()
        out.write(bytes(-out.tell() % _BEGIN))
    except OSError as error:
        raise files.os_error(error, "read the modules in", folder) from error


def _entries(folder: Path, opened: ExitStack) -> Iterator[Entry]:
    yield Entry("lib", Kind.DIR, 0o755)
    yield Entry(_PLACE, Kind.DIR, 0o755)
    there = {name_of(path.name) for path in folder.rglob("*.ko*")}
    for path in sorted(folder.rglob("*")):
        name = f"{_PLACE}/{path.relative_to(folder)}"
        if path.is_dir():
            yield Entry(name, Kind.DIR, 0o755)
        elif path.name in _INDICES:
            yield Entry(name, Kind.FILE, content=Bytes(_shortened(path, there)))
        else:
            file = opened.enter_context(path.open("rb"))
            yield Entry(name, Kind.FILE, content=Slice(file.fileno(), 0, path.stat().st_size))


# Which word of a line of depmod's indices is a module.
_INDICES = {"modules.dep": 0, "modules.alias": -1}


def _shortened(path: Path, there: set[str]) -> bytes:
    """An index without modules that are not there: PID 1 would look for them in vain."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        words = line.split()
        if words and name_of(words[_INDICES[path.name]].rstrip(":")) in there:
            kept.append(line)
    return "".join(kept).encode()
