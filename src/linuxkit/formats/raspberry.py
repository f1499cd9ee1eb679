"""What both formats for Raspberry Pis have: the firmware, device trees, and what cannot start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build import drivers
from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import console, least_ram_mib, require
from linuxkit.formats import payload
from linuxkit.tree import tar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.payload import Payload

FIRMWARE = "rpi"
"""What boot facts call the firmware."""
MACHINE = "raspi3b"
"""The board that runners take, in QEMU's words."""
KERNEL_HINT = 'take the kernel "@pkg:kernel-rpi"'
_ARCH = "arm64"
_TREE = re.compile(r"boot/dtb/broadcom/(bcm2[78]\d\d-(?:[a-z0-9]+-)?rpi-[a-z0-9-]+\.dtb)")
_CONSOLE = "ttyS1"  # the device trees of the Pi 3 and 4 say so, where the command line says nothing
_LICENCE = "LICENCE.broadcom"
_MIB = 1 << 20
_LOADED = 700  # MiB; kernel and initramfs lie in the first GiB, beside what graphics have of it
_SMALL = 896  # MiB that a Pi with 1 GiB leaves to the system


def files(names: Iterable[str], options: Options) -> dict[str, bytes]:
    """These files of the firmware, and its licence, which has to go with them.

    Raises LK0904, and what fetching raises.
    """
    folder = options.tools.data("raspberry-pi", _ARCH)
    licence = options.tools.data("raspberry-pi-licence", _ARCH).read_bytes()
    return {**{name: (folder / name).read_bytes() for name in names}, _LICENCE: licence}


def content(system: System, options: Options) -> Payload:
    """What the Pi starts.

    Raises LK0745, LK0749, and LK0788 where no Pi would start it; warns (LK0789) where those with
    less memory would not.
    """
    if system.plan.arch != _ARCH:
        raise no_pi(f"it is built for {system.plan.arch}", "build it with --arch arm64")
    found = payload.whole(system, options)
    require(system, FIRMWARE, options.compression.name)
    loaded = (found.kernel.size + found.initrd.size) // _MIB
    if loaded > _LOADED:
        raise no_pi(
            f"its kernel and initramfs have {loaded} MiB, and the firmware loads {_LOADED} at most",
            "make it smaller: linuxkit build --size shows its parts",
        )
    least = least_ram_mib(system, found.initrd.size)
    if least > _SMALL:
        events.note(
            f"the system needs about {least} MiB of memory: a Raspberry Pi with 1 GiB, such as "
            "the Pi 3, will not start it",
            level="warning", code="LK0789",
        )  # fmt: skip
    return found


def facts(system: System, found: Payload) -> BootFacts:
    """How it boots."""
    return BootFacts(
        firmware=FIRMWARE,
        root="initramfs",
        cmdline=found.cmdline,
        console=console(found.cmdline) or _CONSOLE,
        least_ram_mib=least_ram_mib(system, found.initrd.size),
        machine=MACHINE,
    )


def trees(system: System) -> dict[str, bytes]:
    """The kernel's device trees of Raspberry Pis, by name.  Raises LK0788 where it has none."""
    found = {}
    for segment in system.segments:
        if segment.name == drivers.SEGMENT:
            with system.store.open(segment.tar.digest, segment.tar.size) as source:
                for entry in tar.read(source.fileno()):
                    match = _TREE.fullmatch(entry.path)
                    if match:
                        found[match[1]] = b"".join(entry.content.chunks())
    if not found:
        raise no_pi(
            "its kernel has no device trees of Raspberry Pis", KERNEL_HINT
        )
    return found


def no_pi(why: str, hint: str) -> Error:
    """The error for a system that cannot start there."""
    return Error("LK0788", f"no Raspberry Pi would start this system: {why}", hint=hint)
