"""Disks that firmware starts from: for a BIOS, for UEFI, or for both.

The system is an initramfs on them, so it runs from memory and needs nothing of the disk later.
Raw disks are kept in the store: the containers of other formats are made of the same bytes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.build.check import require
from linuxkit.disk import bios, fat, partitions
from linuxkit.disk import tools as tools_
from linuxkit.disk.partitions import MIB, SECTOR, Label, Partition
from linuxkit.formats import efi, identity, payload, rootfs
from linuxkit.formats.output import copy_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from linuxkit.build.artifact import BootFacts
    from linuxkit.build.system import System
    from linuxkit.disk.partitions import Extent
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.formats.payload import Payload
    from linuxkit.oci.store import Blob
    from linuxkit.tree.entry import Content

    _Write = Callable[[BinaryIO], object]

BIOS, EFI, BOTH = "bios", "uefi", "any"
_LABEL = "LINUXKIT"
_GAP = 34  # the first sector behind the table of GPT


def content(system: System, options: Options) -> Payload:
    """What the disk starts.  Raises LK0745."""
    return payload.whole(system, options)


def disk(system: System, firmware: str, options: Options) -> tuple[Blob, BootFacts]:
    """The raw disk for ``firmware``, and how it boots.

    Raises LK0742 to LK0746 and what the tools raise.
    """
    found = content(system, options)

    def write(out: BinaryIO) -> None:
        make(system, firmware, found, out, options, extent=options.extent)

    blob = rootfs.kept(system, f"disk.{firmware}", options.identity, write)
    return blob, efi.facts(system, found, firmware)


def make(
    system: System,
    firmware: str,
    found: Payload,
    out: BinaryIO,
    options: Options,
    *,
    extent: Extent,
) -> int:
    """Write a raw disk to the empty file ``out``.

    Returns its size in bytes.  Raises LK0742 to LK0746, LK0785 and what the tools raise.
    """
    require(system, firmware, options.compression.name)
    with events.task("pack", f"disk ({firmware})", unit=""):
        {BIOS: _bios, EFI: _efi, BOTH: _both}[firmware](system, found, out, options, extent)
    return out.seek(0, 2)


def for_any(system: System) -> str:
    """The firmware of a disk that shall start wherever machines of this architecture do."""
    return BOTH if system.plan.arch == "amd64" else EFI


def _efi(
    system: System, found: Payload, out: BinaryIO, options: Options, extent: Extent
) -> None:
    with system.store.temporary() as scratch:
        size = efi.write_esp(system, found, scratch, options)
        uuid = identity.uuid(system, "esp")
        esp = Partition(partitions.ESP, size, scratch, "esp", uuid)
        label = Label("gpt", identity.uuid(system, "disk"))
        partitions.write(out, [esp], label, options.tools, extent)


def _bios(
    system: System, found: Payload, out: BinaryIO, options: Options, extent: Extent
) -> None:
    with system.store.temporary() as scratch:
        size = _files(system, _payload_files(found), scratch, options)
        part = Partition(partitions.MBR_FAT, size, scratch, active=True)
        label = Label("dos", f"0x{identity.serial(system, 'disk'):08x}")
        partitions.write(out, [part], label, options.tools, extent)
    _install(found, out, "msdos1", 1, options)


def _both(
    system: System, found: Payload, out: BinaryIO, options: Options, extent: Extent
) -> None:
    """For a BIOS GRUB, and for UEFI systemd-boot, which both start the same kernel and initramfs.

    Whoever signs means all of it, so UEFI gets a unified kernel image of its own instead.
    """
    files = _payload_files(found)
    if options.signer:
        files[efi.loader_path(system)] = lambda file: efi.write_uki(system, found, file, options)
    else:
        loader = options.tools.data("loader", system.plan.arch)
        initrd = "initrd /initrd.img\n" if found.initrd.size else ""
        entry = f"title linuxkit\nlinux /kernel\n{initrd}options {found.cmdline}\n".encode()
        files[efi.loader_path(system)] = lambda file: file.write(loader.read_bytes())
        files["loader/loader.conf"] = lambda file: file.write(b"timeout 0\n")
        files["loader/entries/linuxkit.conf"] = lambda file: file.write(entry)
    with system.store.temporary() as scratch:
        size = _files(system, files, scratch, options)
        table = [
            Partition(
                partitions.BIOS_BOOT, MIB - _GAP * SECTOR, None, "bios",
                identity.uuid(system, "bios"), at=_GAP * SECTOR,
            ),
            Partition(partitions.ESP, size, scratch, "esp", identity.uuid(system, "esp")),
        ]  # fmt: skip
        label = Label("gpt", identity.uuid(system, "disk"))
        partitions.write(out, table, label, options.tools, extent)
    _install(found, out, "gpt2", _GAP, options)


def _payload_files(found: Payload) -> dict[str, _Write]:
    """The kernel and the initramfs, as files that loaders find."""
    parts = {"kernel": found.kernel, "initrd.img": found.initrd}
    return {path: _writing(part) for path, part in parts.items() if part.size}


def _writing(part: Content) -> _Write:
    return lambda file: file.writelines(part.chunks())


def _files(
    system: System, files: Mapping[str, _Write], out: BinaryIO, options: Options
) -> int:
    """The file system with what each of these writes; its size in bytes."""
    with contextlib.ExitStack() as stack:
        content = {}
        for path, write in files.items():
            file = stack.enter_context(system.store.temporary())
            write(file)
            file.flush()
            content[path] = (file, file.seek(0, 2))
        return fat.make(content, out, _LABEL, identity.serial(system, "esp"), options.tools)


def _install(
    found: Payload, out: BinaryIO, partition: str, sector: int, options: Options
) -> None:
    paths = bios.Paths("/kernel", "/initrd.img" if found.initrd.size else "")
    core = bios.core(partition, bios.config(paths, found.cmdline), options.tools)
    out.flush()
    out.seek(0)
    start = bytearray(out.read(MIB))
    bios.install(start, core, sector, options.tools)
    out.seek(0)
    out.write(start)


class _Raw:
    firmware = ""
    suffix = ""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0742 to LK0746 and what the tools raise."""
        blob, facts = disk(system, self.firmware or for_any(system), options)
        copy_blob(system.store, blob, out.file("disk", self.suffix))
        return facts


class RawBios(_Raw):
    """``NAME-bios.img``."""

    firmware = BIOS
    suffix = "-bios.img"


class RawEfi(_Raw):
    """``NAME-efi.img``."""

    firmware = EFI
    suffix = "-efi.img"


class _Qcow2:
    firmware = ""
    suffix = ""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0742 to LK0746, LK0902 and what the tools raise."""
        blob, facts = disk(system, self.firmware, options)
        file = out.file("disk", self.suffix)
        source = system.store.path(blob.digest)
        tools_.run(
            options.tools, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o",
            "compat=1.1,lazy_refcounts=off", source, tools_.handle(file.fileno()),
            files=[file.fileno()],
        )  # fmt: skip
        return facts


class Qcow2Bios(_Qcow2):
    """``NAME.qcow2``."""

    firmware = BIOS
    suffix = ".qcow2"


class Qcow2Efi(_Qcow2):
    """``NAME-efi.qcow2``."""

    firmware = EFI
    suffix = "-efi.qcow2"
