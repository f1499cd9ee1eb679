"""``NAME.tar``: what upstream lets people unpack onto a card for the Raspberry Pi 3.

The firmware starts U-Boot, whose script starts the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.build.check import console
from linuxkit.build.plan import EPOCH
from linuxkit.disk import uimage
from linuxkit.formats import raspberry
from linuxkit.tree import compress, tar
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.tree.entry import Content

_FIRMWARE = (
    "bootcode.bin", "start.elf", "start_cd.elf", "start_x.elf", "fixup.dat", "fixup_cd.dat",
    "fixup_x.dat",
)  # fmt: skip
_TREES = "dtb/broadcom"
_BOARD = "bcm2837-rpi-3-b"  # and 3-b-plus
_NAME = "RPi3"
_CONFIG = """\
avoid_warnings=2
# 64bit mode, serial and kernel
arm_64bit=1
enable_uart=1
upstream_kernel=1
kernel=u-boot.bin
"""
_GZIP, _LEVEL = b"\x1f\x8b", 6
_MIB = 1 << 20
_START = 0x80000  # where the unpacked kernel lies
_MOST = 64  # MiB that U-Boot unpacks
# As upstream's; the serial one by today's name.  The device tree's own is lost on the way here.
_CONSOLES = "console=tty1 console=ttyS1,115200"
_LINE = 1000  # bytes that one of its commands may have
# Where U-Boot puts what it reads: above the unpacked kernel, and below itself and the firmware's
# own device tree, which QEMU has at 128 MiB.
_TREE_AT, _KERNEL_AT, _END = 112 * _MIB, 160 * _MIB, 736 * _MIB


class Rpi3:
    """``NAME.tar``."""

    def emit(self, system: System, out: Output, options: Options) -> None:
        """Write the file.  Raises LK0745, LK0749, LK0788 and what the tools raise."""
        found = raspberry.content(system, options)
        trees = {
            name: data for name, data in raspberry.trees(system).items() if name.startswith(_BOARD)
        }
        if not trees:
            why = "its kernel has no device tree of the Pi 3"
            raise raspberry.no_pi(why, raspberry.KERNEL_HINT)
        boot = options.tools.data("u-boot-rpi3", system.plan.arch).read_bytes()
        with system.store.temporary() as scratch:
            kernel = _packed(found.kernel, scratch)
            image = uimage.Image(uimage.KERNEL, kernel, "Linux", uimage.GZIP, _START)
            initrd = uimage.Image(uimage.RAMDISK, found.initrd, "initramfs")
            script = _script(found.cmdline, _initrd_at(image.size, initrd.size))
            members: dict[str, Content] = {
                **{name: Bytes(data) for name, data in raspberry.files(_FIRMWARE, options).items()},
                **{f"{_TREES}/{name}": Bytes(data) for name, data in trees.items()},
                "boot.script": Bytes(script.encode()),
                "boot.scr": uimage.script(script, _NAME),
                "config.txt": Bytes(_CONFIG.encode()),
                "initrd.uimg": initrd,
                "kernel.uimg": image,
                "u-boot.bin": Bytes(boot),
            }
            tar.write(_entries(members), out.file("tar", ".tar"))


def _entries(members: Mapping[str, Content]) -> Iterator[Entry]:
    for folder in ("dtb", _TREES):
        yield Entry(folder, Kind.DIR, 0o755, mtime=EPOCH)
    for name, content in sorted(members.items()):
        yield Entry(name, Kind.FILE, 0o644, mtime=EPOCH, content=content)


def _packed(kernel: Content, scratch: BinaryIO) -> Content:
    """The kernel as gzip has it, written to ``scratch`` where it is not; upstream's are.

    Raises LK0788 where it is more than U-Boot unpacks.
    """
    if next(iter(kernel.chunks()), b"")[:2] == _GZIP:
        return kernel
    if kernel.size > _MOST * _MIB:
        raise raspberry.no_pi(
            f"its kernel has {kernel.size // _MIB} MiB, and U-Boot unpacks {_MOST} at most",
            "take the format rpi",
        )
    packer = compress.open_writer("gzip", _LEVEL, scratch)
    for chunk in kernel.chunks():
        packer.write(chunk)
    packer.close()
    scratch.flush()
    return Slice(scratch.fileno(), 0, scratch.tell())


def _initrd_at(kernel: int, initrd: int) -> int:
    """Where the initramfs lies behind the kernel, both of which have this size.  Raises LK0788."""
    at = _KERNEL_AT + kernel + -kernel % _MIB
    if at + initrd > _END:
        most = (_END - at) // _MIB
        raise raspberry.no_pi(
            f"its initramfs has {initrd // _MIB} MiB, and U-Boot has room for {most}",
            "make it smaller, or take the format rpi",
        )
    return at


def _script(cmdline: str, initrd: int) -> str:
    """What U-Boot does; ``initrd`` is where it puts the initramfs.  Raises LK0788."""
    if not console(cmdline):
        cmdline = f"{cmdline} {_CONSOLES}".strip()
    quoted = cmdline.replace("'", "'\\''")
    if len(quoted) > _LINE:
        raise raspberry.no_pi(
            f"its command line has {len(quoted)} bytes, and U-Boot takes {_LINE}",
            "make it shorter, or take the format rpi",
        )
    lines = [
        f"setenv bootargs '{quoted}'",
        f'test -n "${{fdtfile}}" || setenv fdtfile broadcom/{_BOARD}.dtb',
    ]
    for at, name in (
        (_KERNEL_AT, "kernel.uimg"), (_TREE_AT, "dtb/${fdtfile}"), (initrd, "initrd.uimg"),
    ):  # fmt: skip
        lines.append(f"load ${{devtype}} ${{devnum}}:${{distro_bootpart}} {at:#x} {name}")
    lines.append(f"bootm {_KERNEL_AT:#x} {initrd:#x} {_TREE_AT:#x}")
    return "".join(f"{line}\n" for line in lines)
