"""Empty ext4 file systems, for what a system keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.disk import tools as tools_

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.disk.tools import Tools


def make(out: BinaryIO, size: int, label: str, uuid: str, tools: Tools) -> None:
    """Write a file system of ``size`` bytes to the empty file ``out``.  Raises LK0902."""
    out.truncate(size)
    tools_.run(
        tools, "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-m", "0",
        "-E", f"hash_seed={uuid},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        tools_.handle(out.fileno()), files=[out.fileno()],
    )  # fmt: skip
