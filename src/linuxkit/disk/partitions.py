"""Disks: a partition table by sfdisk, and what lies in the partitions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.disk import tools as tools_

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from linuxkit.disk.tools import Tools

SECTOR = 512
MIB = 1 << 20

ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
# Discoverable partitions (UAPI group): read-only root, its hash tree, and /var, by architecture.
ROOT = {
    "amd64": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "arm64": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
}
ROOT_VERITY = {
    "amd64": "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5",
    "arm64": "DF3300CE-D69F-4C92-978C-9BFB0F38D820",
}
MBR_FAT = "c"


class Partition(NamedTuple):
    """One partition; ``content`` is an open file with ``size`` bytes, None for an empty one."""

    type: str
    size: int
    content: BinaryIO | None
    name: str = ""
    uuid: str = ""
    active: bool = False  # of an MBR: the one to boot from
    at: int = 0  # where it begins, in bytes; 0: at the next whole MiB


class Extent(NamedTuple):
    """How large a disk is, in bytes."""

    unit: int = MIB  # it is a multiple of this
    wanted: int = 0  # this size, up to a whole unit; 0: no larger than what is on it

    def of(self, content: int) -> int:
        """The size of a disk with this much on it.  Raises LK0785 where the wanted is less."""
        least = content + -content % self.unit
        size = self.wanted + -self.wanted % self.unit
        if 0 < size < least:
            raise Error(
                "LK0785",
                f"the disk needs {least // MIB} MiB, and {size // MIB} MiB are wished for",
                hint=f"--size {least // MIB}M, or leave it out: the disk is as small as it can be",
            )  # fmt: skip
        return size or least


class Label(NamedTuple):
    """The kind of a partition table: "gpt" with a UUID, or "dos" with a number like 0x1234abcd."""

    kind: str
    identity: str


def write(
    out: BinaryIO, partitions: Sequence[Partition], label: Label, tools: Tools, extent: Extent
) -> tuple[int, ...]:
    """Write a disk to the empty file ``out``.

    Partitions begin at whole MiB.  Returns where each does, in bytes.  Raises LK0785, LK0902.
    """
    starts, end = [], MIB
    for each in partitions:
        starts.append(each.at or end)
        end = max(end, starts[-1] + each.size)
        end += -end % MIB
    size = end + (MIB if label.kind == "gpt" else 0)  # the second table is at the end
    out.truncate(extent.of(size))
    placed = [each._replace(at=at) for each, at in zip(partitions, starts, strict=True)]
    table(out, placed, label, tools)
    for each in placed:
        if each.content:
            place(each.content, out, each.size, each.at)
    return tuple(starts)


def table(out: BinaryIO, partitions: Sequence[Partition], label: Label, tools: Tools) -> None:
    """Write only the table, for partitions that say where they are, into a file of full length."""
    lines = [f"label: {label.kind}", f"label-id: {label.identity}", "unit: sectors"]
    if label.kind == "gpt":
        lines.append("first-lba: 34")
    for each in partitions:
        size = -(-each.size // SECTOR)
        words = [f"start={each.at // SECTOR}", f"size={size}", f"type={each.type}"]
        words += [f"uuid={each.uuid}"] if each.uuid else []
        words += [f'name="{each.name}"'] if each.name else []
        words += ["bootable"] if each.active else []
        lines.append(", ".join(words))
    out.flush()
    tools_.run(
        tools, "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never",
        tools_.handle(out.fileno()), files=[out.fileno()], stdin="\n".join([*lines, ""]).encode(),
    )  # fmt: skip


def place(source: BinaryIO, out: BinaryIO, size: int, at: int) -> None:
    """Copy the first ``size`` bytes of ``source`` to ``at`` in ``out``, which keeps its length."""
    out.seek(at)
    os.lseek(out.fileno(), at, os.SEEK_SET)  # the buffer need not have moved the file itself
    files.copy_range(source, out, size)
