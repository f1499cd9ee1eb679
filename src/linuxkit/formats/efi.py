"""For machines with UEFI: a unified kernel image, and the partition that firmware reads it from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events, platform
from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import console, least_ram_mib, least_ram_of_uefi, require
from linuxkit.disk import authenticode, fat, pcrpolicy, uki, update
from linuxkit.formats import identity, payload
from linuxkit.version import __version__

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.formats.payload import Payload

_LABEL = "LINUXKIT"
_USUAL = 256 << 20
"""Bytes.  kairos-io/kairos, issues 2608, 2630 and 2941, tell of firmware that cannot load large
ones; that project went down to 200 to 300 MB."""


class Uki:
    """``NAME.efi``: kernel, initramfs and command line as one program for UEFI."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0742, LK0745 and what the tools raise."""
        found = payload.whole(system, options)
        write_uki(system, found, out.file("uki", ".efi"), options)
        return facts(system, found, "uefi")


def facts(system: System, found: Payload, firmware: str) -> BootFacts:
    """How a system whose root is an initramfs boots."""
    least = least_ram_mib(system, found.initrd.size)
    return BootFacts(
        firmware=firmware,
        root="initramfs",
        cmdline=found.cmdline,
        console=console(found.cmdline),
        least_ram_mib=least if firmware == "bios" else least_ram(found, least),
    )


def least_ram(found: Payload, least: int) -> int:
    """MiB of memory with which firmware can load it, or ``least`` where that is more."""
    return least_ram_of_uefi(least, found.kernel.size + found.initrd.size)


def write_uki(system: System, found: Payload, out: BinaryIO, options: Options) -> None:
    """Write a unified kernel image to an empty file that can be read too, signed if wished.

    Raises LK0742, LK0749, LK0904.
    """
    require(system, "uefi", options.compression.name)
    stub = options.tools.data("stub", system.plan.arch).read_bytes()
    about = release(found.cmdline)
    sections = uki.parts(
        kernel=found.kernel, initrd=found.initrd, cmdline=found.cmdline, release=about
    )
    if options.signer:
        sections = (*pcrpolicy.sections(options.signer), *sections)
    uki.write(stub, sections, out)
    if options.signer:
        pcrpolicy.sign(out, options.signer)
        authenticode.sign(out, options.signer)
    size = out.seek(0, 2)
    if size > _USUAL:
        events.note(
            f"the unified kernel image has {size >> 20} MiB; many machines' firmware cannot load "
            f"more than {_USUAL >> 20}",
            level="warning", code="LK0786",
        )  # fmt: skip


def release(cmdline: str) -> str:
    """What boot loaders show, and sort by (os-release(5)).  Raises LK0762."""
    text = f"ID=linuxkit\nNAME=linuxkit\nPRETTY_NAME=linuxkit\nVERSION_ID={__version__}\n"
    number = update.version(cmdline)
    return text + (f"IMAGE_ID=linuxkit\nIMAGE_VERSION={number}\n" if number else "")


def loader_path(system: System) -> str:
    """Where firmware looks for a program without being told (UEFI, 3.5.1.1)."""
    return f"EFI/BOOT/BOOT{platform.arch(system.plan.arch).efi}.EFI"


def write_esp(system: System, found: Payload, out: BinaryIO, options: Options) -> int:
    """Write the file system that firmware reads, with the image as the program it starts.

    Returns its size in bytes.  Raises LK0742, LK0743, LK0904.
    """
    with system.store.temporary() as scratch:
        write_uki(system, found, scratch, options)
        scratch.flush()
        content = {loader_path(system): (scratch, scratch.tell())}
        return fat.make(content, out, _LABEL, identity.serial(system, "esp"), options.tools)
