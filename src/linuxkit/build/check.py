"""Will it boot?  Facts computed from a system, before anybody has to find out the slow way."""

from __future__ import annotations

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


_KERNEL_MIB = 60
"""What Debian's 6.12 cloud kernel takes before the initramfs, measured as the difference between
the least memory that boots and the size of what was unpacked."""


def least_ram_mib(system: System, initrd_size: int) -> int:
    """An estimate, on the safe side, of the memory below which the kernel cannot start.

    While it unpacks, the kernel holds the archive and the tree, each file rounded up to pages.
    """
    tree = sum(segment.tar.size for segment in system.segments)
    need = initrd_size + tree
    return _KERNEL_MIB + -(-need * 5 // 4 // _MIB)
