"""``NAME-rpi.img``: a card for the Raspberry Pi 3, 4 and 5.

Their firmware reads one FAT partition of an MBR; it starts the kernel there with the board's device
tree, the initramfs and the command line (raspberrypi.com, documentation, "config.txt").
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.disk import fat, partitions
from linuxkit.disk.partitions import Label, Partition
from linuxkit.formats import identity, raspberry
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from linuxkit.build.artifact import BootFacts
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.tree.entry import Content

KERNEL, INITRD, CMDLINE = "kernel8.img", "initrd.img", "cmdline.txt"
_LABEL = "LINUXKIT"
# Of the Pi 3, and of the Pi 4; that of the Pi 5 is on its board.
_FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
_CONFIG = f"""\
# Written by linuxkit.  What may stand here: raspberrypi.com, documentation, config.txt
arm_64bit=1
kernel={KERNEL}
initramfs {INITRD} followkernel
cmdline={CMDLINE}
# Device trees go by the names of Linux, not by those of Raspberry Pi's own kernel.
upstream_kernel=1
enable_uart=1
[pi5]
# This kernel does not tell in the firmware's way that it knows the board.
os_check=0
"""
# What the firmware calls the tree of later boards, where Linux has another name for it.
_ALIASES = {"bcm2712-d-rpi-5-b.dtb": "bcm2712d0-rpi-5-b.dtb"}


class Rpi:
    """``NAME-rpi.img``."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0743, LK0745, LK0749, LK0785, LK0788 and what tools raise."""
        found = raspberry.content(system, options)
        trees = raspberry.trees(system)
        own = {
            **raspberry.files(_FIRMWARE, options),
            **trees,
            **{alias: trees[name] for name, alias in _ALIASES.items() if name in trees},
            "config.txt": _CONFIG.encode(),
            CMDLINE: f"{found.cmdline}\n".encode(),
        }
        content: dict[str, Content] = {name: Bytes(own[name]) for name in sorted(own)}
        content |= {KERNEL: found.kernel, INITRD: found.initrd}
        with events.task("pack", "card (rpi)", unit=""):
            _write(system, content, out.file("disk", "-rpi.img"), options)
        return raspberry.facts(system, found)


def _write(
    system: System, content: Mapping[str, Content], out: BinaryIO, options: Options
) -> None:
    with contextlib.ExitStack() as stack:
        files = {}
        for name, each in content.items():
            file = stack.enter_context(system.store.temporary())
            file.writelines(each.chunks())
            file.flush()
            files[name] = (file, each.size)
        scratch = stack.enter_context(system.store.temporary())
        serial = identity.serial(system, "boot")
        # The first stage of the Pi 3 is in its silicon and knows FAT32 best.
        size = fat.make(files, scratch, _LABEL, serial, options.tools, fat32=True)
        part = Partition(partitions.MBR_FAT, size, scratch, active=True)
        label = Label("dos", f"0x{identity.serial(system, 'disk'):08x}")
        partitions.write(out, [part], label, options.tools, options.extent)
