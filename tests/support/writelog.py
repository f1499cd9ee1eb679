"""What a guest writes to its disk, recorded by QEMU, and disks as a power cut would leave them.

QEMU's driver "blklogwrites" keeps the format of Linux (admin-guide/device-mapper/log-writes.rst): a
sector that describes a write, then its data.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

SECTOR = 512
_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD = 1, 2, 4

# Stands between us and QEMU: it puts the log beneath the disk that the machine starts from.  Requests
# are not merged, for the log takes two pieces less in one write than QEMU makes (block/blklogwrites.c).
_WRAPPER = """#!{python}
import os, sys
words = sys.argv[1:]
for at, word in enumerate(words):
    if word.startswith("id=boot,"):
        file = word.partition("file=")[2]
        words[at - 1 : at + 1] = [
            "-blockdev",
            "driver=blklogwrites,node-name=boot,log-sector-size=512,log-super-update-interval=1,"
            "file.driver=file,file.filename=" + file + ",log.driver=file,log.filename={log}",
        ]
    elif ",drive=boot," in word:
        words[at] = word + ",request-merging=off"
os.execvp("qemu-system-x86_64", ["qemu-system-x86_64", *words])
"""


class Write(NamedTuple):
    """Sectors written at ``sector``; ``flush``: everything before is on the disk from now on."""

    sector: int
    data: bytes
    flush: bool


def recorder(folder: Path, log: Path) -> str:
    """A program to be used as QEMU, which writes ``log``."""
    log.touch()
    program = folder / "qemu-with-log"
    program.write_text(_WRAPPER.format(python=sys.executable, log=log))
    program.chmod(0o755)
    return str(program)


def read(log: Path) -> Iterator[Write]:
    """The writes in their order."""
    with log.open("rb") as source:
        magic, version, count, size = _SUPER.unpack(source.read(_SUPER.size))
        assert (magic, version, size) == (_MAGIC, 1, SECTOR)
        at = SECTOR
        for _ in range(count):
            source.seek(at)
            sector, sectors, flags, _ = _ENTRY.unpack(source.read(_ENTRY.size))
            assert not flags & _DISCARD
            source.seek(at + SECTOR)
            yield Write(sector, source.read(sectors * SECTOR), bool(flags & (_FLUSH | _FUA)))
            at += (1 + sectors) * SECTOR


class Disk:
    """A disk's content as the writes go on; what was not flushed may or may not be there."""

    def __init__(self, path: Path) -> None:
        self.handle = os.open(path, os.O_RDWR)
        self.open: dict[int, list[bytes]] = {}  # sector → what was written there since the flush

    def take(self, write: Write) -> None:
        """One more write."""
        for at in range(0, len(write.data), SECTOR):
            number = write.sector + at // SECTOR
            self.open.setdefault(number, []).append(write.data[at : at + SECTOR])
        if write.flush:
            for number, versions in self.open.items():
                os.pwrite(self.handle, versions[-1], number * SECTOR)
            self.open.clear()

    def cut(self, path: Path, draw: random.Random) -> None:
        """The disk after a power cut: each sector as it was, or as one of the writes made it."""
        offset, size = 0, os.fstat(self.handle).st_size
        with path.open("wb") as out:
            while offset < size:
                offset += os.copy_file_range(self.handle, out.fileno(), size - offset, offset)
            for number, versions in self.open.items():
                found = draw.choice([None, *versions])
                if found is not None:
                    os.pwrite(out.fileno(), found, number * SECTOR)

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)
