"""Read-only file systems made by streaming a tar into a tool: nothing is unpacked on the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import proc
from linuxkit.disk import tools as tools_
from linuxkit.tree import tar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from linuxkit.disk.tools import Tools
    from linuxkit.tree.entry import Entry

KINDS = ("erofs", "squashfs")
# Where a file system says which one it is: its first bytes tell it from every other.
_MARKS = {"erofs": (1024, 128), "squashfs": (0, 96)}
_BLOCK = 4096


class Mark(NamedTuple):
    """Bytes at an offset of a disk or partition that no other has."""

    offset: int
    data: bytes


def make(kind: str, entries: Iterable[Entry], out: BinaryIO, uuid: str, tools: Tools) -> None:
    """Write a file system of ``kind`` with ``entries``, parents first, to the empty file ``out``.

    Its length becomes a multiple of 4096.  Raises LK0902 and what ``tools`` raise.
    """
    name = tools_.handle(out.fileno())
    words: tuple[str, ...]
    if kind == "erofs":
        # Its "fragments" would be as small, but put the clock into the image.
        program, words = "mkfs.erofs", (
            "--quiet", "--tar=f", "-zlz4hc,9", "-C65536", "-Ededupe,ztailpacking",
            "--mkfs-time", f"-T{tools_.EPOCH}", f"-U{uuid}", name,
        )  # fmt: skip
    else:
        program, words = "tar2sqfs", (
            "--quiet", "--force", "--num-jobs", "2", "--compressor", "zstd",
            "--comp-extra", "level=3", "--defaults", f"mtime={tools_.EPOCH}", name,
        )  # fmt: skip
    command = tools.program(program)
    env = {"SOURCE_DATE_EPOCH": tools_.EPOCH, **command.env}
    with proc.feeding((*command.words, *words), env=env, pass_fds=(out.fileno(),)) as sink:
        tar.write(entries, sink)
    size = out.seek(0, os.SEEK_END)
    out.truncate(size + -size % _BLOCK)


def mark(kind: str, source: BinaryIO) -> Mark:
    """What tells the file system in ``source`` from every other."""
    offset, size = _MARKS[kind]
    return Mark(offset, os.pread(source.fileno(), size, offset))
