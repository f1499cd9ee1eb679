"""Will it boot?  Facts computed from a system, before anybody has to find out the slow way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.build import kconfig

if TYPE_CHECKING:
    from linuxkit.build.kconfig import Config
    from linuxkit.build.system import System

_MIB = 1 << 20
_INIT_SIZE = 0x260
_CLOUD_KERNEL_MIB = 56
_FLOOR_MIB = 26  # what every kernel wants beyond that


def console(cmdline: str) -> str:
    """The device of the last ``console=``, which is the one /dev/console stands for."""
    found = ""
    for word in cmdline.split():
        if word.startswith("console="):
            found = word[len("console=") :].split(",")[0]
    return found


def machine(system: System) -> str:
    """The only kind of machine that the kernel runs on; "" where it is none in particular.

    A kernel without PCI finds virtio devices where the command line says (Linux,
    drivers/virtio/virtio_mmio.c), as QEMU's "microvm" does.
    """
    config = configuration(system)
    if config is None or system.plan.arch != "amd64" or config.get("VIRTIO_PCI") != "n":
        return ""
    return "microvm" if config.get("VIRTIO_MMIO_CMDLINE_DEVICES") == "y" else ""


def configuration(system: System) -> Config | None:
    """What the kernel was built with, where its image tells.  Raises LK0760, LK030x."""
    kernel = system.kernel
    if kernel is None or kernel.config is None:
        return None
    data = system.store.read(kernel.config.digest, kconfig.LIMIT)
    return kconfig.parse(data.decode(errors="replace"))


_DECOMPRESSORS = {"gzip": "RD_GZIP", "xz": "RD_XZ", "lz4": "RD_LZ4", "zstd": "RD_ZSTD"}


def require(system: System, firmware: str, compression: str) -> None:
    """Refuse what cannot start: LK0746 for a BIOS that the architecture does not have, and LK0749
    for what the kernel cannot do, where its image tells its configuration.

    ``firmware`` is who starts it, as in ``BootFacts``; ``compression`` that of its initramfs.
    """  # noqa: D205
    if firmware in ("bios", "any") and system.plan.arch != "amd64":
        raise Error(
            "LK0746", f"machines with {system.plan.arch} have no BIOS",
            hint="take the format for UEFI, such as raw-efi or iso-efi",
        )  # fmt: skip
    config = configuration(system)
    if config is None:
        return
    wanted = {"BLK_DEV_INITRD": "takes no initramfs"}
    if firmware in ("uefi", "any"):
        wanted["EFI_STUB"] = "cannot be started by UEFI"
    if compression in _DECOMPRESSORS:
        wanted[_DECOMPRESSORS[compression]] = f"cannot unpack an initramfs of {compression}"
    lacks = [why for symbol, why in wanted.items() if config.get(symbol) != "y"]
    if lacks:
        raise Error(
            "LK0749", f"this kernel {' and '.join(lacks)}",
            hint="take another kernel, another format or another --compress",
        )  # fmt: skip


def least_ram_mib(system: System, initrd_size: int) -> int:
    """An estimate, on the safe side, of the memory below which the kernel does not get to init.

    The initramfs is a tmpfs and may fill half of what the kernel leaves, while the archive is in
    memory as well; and below a floor the kernel's own self-tests run out of memory.  Measured with
    Debian's 6.12 cloud kernel, which takes 56 itself: 80 MiB for a tree of 9, 104 for 21, 136 for
    34; with kernel-microvm, which takes 19, 44 for a tree of 7; with kernel-hardened, which takes
    30, 57 for a tree of 4, 62 for 7, 318 for 113.
    """
    tree = sum(segment.tar.size for segment in system.segments) / _MIB
    unpacking = 2 * tree + 1.5 * initrd_size / _MIB - 8
    return math.ceil(_kernel_mib(system) + max(_FLOOR_MIB + tree, unpacking))


def least_ram_of_disk_root(system: System, initrd_size: int) -> int:
    """The same for a system whose root stays on a disk, with a small initramfs that finds it.

    Measured with Debian's 6.12 cloud kernel: 80 MiB for an initramfs of 2; with kernel-microvm 36
    for one of next to nothing.
    """
    return math.ceil(_kernel_mib(system) + _FLOOR_MIB + 4 * initrd_size / _MIB)


def _kernel_mib(system: System) -> float:
    """What the kernel itself takes while it starts (Linux, arch/x86/boot.rst: init_size).

    Other architectures do not say; they are taken to be as Debian's cloud kernel for amd64.
    """
    head = b""
    if system.kernel:
        blob = system.kernel.binary.blob
        with system.store.open(blob.digest, blob.size) as source:
            head = source.read(_INIT_SIZE + 4)
    if len(head) < _INIT_SIZE + 4 or head[0x202:0x206] != b"HdrS":
        return _CLOUD_KERNEL_MIB
    return int.from_bytes(head[_INIT_SIZE:], "little") / _MIB


def least_ram_of_uefi(least: int, loaded: int) -> int:
    """The same where UEFI loads a kernel and an initramfs of ``loaded`` bytes together.

    ``least`` is what the system needs without it.  Firmware, stub and kernel each hold a copy
    before the first of them is gone.  Measured with OVMF 2025.02: between 153 and 160 MiB for 16,
    between 256 and 268 for 38, between 376 and 401 for 80, less than 535 for 114; a CD whose root
    stays on it does not start with 150, and every format does with 192.  With less firmware shows
    an exception, or finds nothing to start.
    """
    return max(least, 192, math.ceil(124 + 3.8 * loaded / _MIB))
