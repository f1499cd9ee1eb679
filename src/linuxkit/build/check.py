"""Will it boot?  Facts computed from a system, before anybody has to find out the slow way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linuxkit.build.system import System

_MIB = 1 << 20


def console(cmdline: str) -> str:
    """The device of the last ``console=``, which is the one /dev/console stands for."""
    found = ""
    for word in cmdline.split():
        if word.startswith("console="):
            found = word[len("console=") :].split(",")[0]
    return found


def least_ram_mib(system: System, initrd_size: int) -> int:
    """An estimate, on the safe side, of the memory below which the kernel does not get to init.

    The initramfs is a tmpfs and may fill half of what the kernel leaves, while the archive is in
    memory as well; and below a floor the kernel's own self-tests run out of memory.  Measured with
    Debian's 6.12 cloud kernel: 80 MiB for a tree of 9, 104 for 21, 136 for 34.
    """
    tree = sum(segment.tar.size for segment in system.segments) / _MIB
    unpacking = 48 + 2 * tree + 1.5 * initrd_size / _MIB
    return math.ceil(max(76 + tree, unpacking))
