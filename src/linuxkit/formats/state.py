"""The partition for what a machine keeps; the package ``state`` seals it to the machine's TPM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.disk import ext4, partitions
from linuxkit.disk.partitions import MIB, Partition
from linuxkit.formats import identity

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.formats import Options

NAME = "state"
"""Of the partition and of the ext4 in it."""
_MIB = 64


def partition(system: System, out: BinaryIO, options: Options) -> Partition:
    """Write the empty file system to ``out``, for a partition of its size.

    Raises what the tools raise.
    """
    ext4.make(out, _MIB * MIB, NAME, identity.uuid(system, NAME), options.tools)
    out.seek(0)
    return Partition(partitions.LINUX, _MIB * MIB, out, NAME, identity.uuid(system, "data"))
