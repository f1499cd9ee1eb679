"""CD-ROM images: the tree itself as a CD, and with what firmware needs to start from it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.build import needs
from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import console, least_ram_mib, least_ram_of_disk_root, require
from linuxkit.build.plan import EPOCH
from linuxkit.disk import bios, iso, isorecord, partitions
from linuxkit.disk.filesystem import Mark
from linuxkit.disk.iso import Boot, Volume
from linuxkit.disk.partitions import SECTOR, Label, Partition
from linuxkit.formats import efi, identity, payload, rootfs
from linuxkit.formats.stage import Root
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.disk.iso import Place
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.formats.payload import Payload
    from linuxkit.tree.entry import Content

NAME = "LINUXKIT"
_SET_NAME_AT = 16 * isorecord.SECTOR + 190  # in the volume descriptor (ECMA-119, 8.4)
_KERNEL, _INITRD = "boot/kernel", "boot/initrd.img"
_BIOS_LOADER, _ESP = "boot/grub.img", "boot/efi.img"


def _volume(system: System) -> Volume:
    return Volume(NAME, identity.raw(system, "cd").hex().upper(), EPOCH)


def cd_mark(system: System) -> Mark:
    """What tells this system's CD from every other: the name of its volume set."""
    return Mark(_SET_NAME_AT, _volume(system).set_name.encode().ljust(128))


def write_tree(
    system: System, entries: Iterable[Entry], out: BinaryIO, boots: Sequence[Boot] = ()
) -> Mapping[str, Place]:
    """Write the CD-ROM image of a tree."""
    return iso.write(entries, out, _volume(system), boots)


class _Iso:
    """A CD for some kinds of firmware, whose root is the CD itself or an initramfs on it."""

    suffix = ".iso"
    bios = False
    efi = False
    initramfs = False
    stick = False  # it is meant for one

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0740 to LK0749 and what the tools raise."""
        if self.stick and not needs.drives_sticks(system):
            events.note(
                "this kernel has no driver for USB sticks (usb-storage): the image starts from a "
                "CD or a virtual disk only",
                level="warning", code="LK0787",
            )  # fmt: skip
        firmware = "any" if self.bios and self.efi else "bios" if self.bios else "uefi"
        require(system, firmware, options.compression.name)
        if self.initramfs:
            found = payload.whole(system, options)
        else:
            found = payload.staged(system, Root("iso9660", cd_mark(system), cd=True), options)
        with contextlib.ExitStack() as stack:
            added = tuple(self._added(system, found, options, stack))
            if self.initramfs:
                entries: Iterator[Entry] = iter(added)
            else:
                tree = stack.enter_context(rootfs.merged(system))
                tree.apply(added, whiteouts=False)
                entries = tree.entries()
            boots = [Boot(_BIOS_LOADER, iso.BIOS, info=True)] if self.bios else []
            boots += [Boot(_ESP, iso.EFI)] if self.efi else []
            file = out.file("cd", self.suffix)
            places = write_tree(system, entries, file, boots)
            self._as_disk(system, file, places, options)
        if self.initramfs:
            least = least_ram_mib(system, found.initrd.size)
        else:
            least = least_ram_of_disk_root(system, found.initrd.size)
        return BootFacts(
            firmware=firmware,
            root="initramfs" if self.initramfs else "iso9660",
            cmdline=found.cmdline,
            console=console(found.cmdline),
            least_ram_mib=efi.least_ram(found, least) if self.efi else least,
        )

    def _added(
        self, system: System, found: Payload, options: Options, stack: contextlib.ExitStack
    ) -> Iterator[Entry]:
        """What firmware and boot loaders read."""
        files: dict[str, Content] = {}
        if self.bios:
            files |= {_KERNEL: found.kernel, _INITRD: found.initrd}
            paths = bios.Paths(f"/{_KERNEL}", f"/{_INITRD}" if found.initrd.size else "")
            settings = bios.config(paths, found.cmdline)
            files[_BIOS_LOADER] = Bytes(bios.cd_core(settings, options.tools))
        if self.efi:
            scratch = stack.enter_context(system.store.temporary())
            size = efi.write_esp(system, found, scratch, options)
            files[_ESP] = Slice(scratch.fileno(), 0, size)
        yield Entry("boot", Kind.DIR, 0o755, mtime=EPOCH)
        for path, content in sorted(files.items()):
            yield Entry(path, Kind.FILE, 0o644, mtime=EPOCH, content=content)

    def _as_disk(
        self, system: System, file: BinaryIO, places: Mapping[str, Place], options: Options
    ) -> None:
        """Make it start from a stick as well: a partition table in the room before the CD."""
        file.flush()
        size = file.seek(0, 2)
        file.truncate(size + -size % partitions.MIB)
        esp = places.get(_ESP)
        if esp:
            table = [Partition("ef", esp.size, None, at=esp.offset, active=True)]
        else:
            table = [Partition("17", size, None, at=SECTOR, active=True)]
        label = Label("dos", f"0x{identity.serial(system, 'cd'):08x}")
        partitions.table(file, table, label, options.tools)
        if self.bios:
            core = places[_BIOS_LOADER].offset // SECTOR
            file.seek(0)
            file.write(bios.hybrid_sector(core, options.tools))


class IsoBios(_Iso):
    """``NAME.iso``: for a BIOS; the root is the CD."""

    bios = True


class IsoEfi(_Iso):
    """``NAME-efi.iso``: for UEFI; the root is the CD."""

    suffix = "-efi.iso"
    efi = True


class IsoEfiInitrd(IsoEfi):
    """``NAME-efi-initrd.iso``: for UEFI; the system is in memory, and the CD can be taken out."""

    suffix = "-efi-initrd.iso"
    initramfs = True


class IsoHybrid(_Iso):
    """``NAME-hybrid.iso``: for a BIOS and UEFI, from a CD or a stick; the root is the CD."""

    suffix = "-hybrid.iso"
    bios = True
    efi = True
    stick = True
