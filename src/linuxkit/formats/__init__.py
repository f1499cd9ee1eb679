"""L5: what a system is written as.  The protocol, and the table of formats.

A format's module is imported when it is chosen.  Adding one takes a module, a line here, a test
and a page.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from linuxkit.base.errors import Error, suggestion
from linuxkit.disk.partitions import Extent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from linuxkit.build.artifact import Artifact, BootFacts
    from linuxkit.build.system import System
    from linuxkit.disk.certificates import Signer
    from linuxkit.disk.tools import Tools
    from linuxkit.formats.output import Output
    from linuxkit.tree.compress import Compression

DEFAULT = "kernel+initrd"

_TABLE = {
    "kernel+initrd": ("initrd", "KernelInitrd", "kernel, initramfs and command line, three files"),
    "tar": ("tar", "Tar", "the root file system as a tar archive"),
    "tar-kernel-initrd": ("initrd", "TarKernelInitrd", "the same three files in one tar archive"),
    "docker": ("tar", "Docker", "a build context: the root file system and a Dockerfile"),
    "kernel+squashfs": ("diskroot", "KernelSquashfs", "kernel, and the root as a squashfs disk"),
    "kernel+erofs": ("diskroot", "KernelErofs", "kernel, and the root as an erofs disk"),
    "kernel+iso": ("diskroot", "KernelIso", "kernel, and the root as a CD-ROM"),
    "iso-bios": ("cd", "IsoBios", "a CD-ROM for a BIOS; the root is the CD"),
    "iso-efi": ("cd", "IsoEfi", "a CD-ROM for UEFI; the root is the CD"),
    "iso-efi-initrd": ("cd", "IsoEfiInitrd", "a CD-ROM for UEFI; the system runs from memory"),
    "iso-hybrid": ("cd", "IsoHybrid", "a CD-ROM or USB stick for a BIOS and UEFI"),
    "raw-bios": ("disk", "RawBios", "a disk for a BIOS"),
    "raw-efi": ("disk", "RawEfi", "a disk for UEFI, with a unified kernel image"),
    "qcow2-bios": ("disk", "Qcow2Bios", "the same as raw-bios, for QEMU"),
    "qcow2-efi": ("disk", "Qcow2Efi", "the same as raw-efi, for QEMU"),
    "vmdk": ("containers", "Vmdk", "a disk for VMware, compressed for transport"),
    "vhd": ("containers", "Vhd", "a disk of fixed size, for Azure"),
    "dynamic-vhd": ("containers", "DynamicVhd", "a disk for Hyper-V and VirtualBox"),
    "vhdx": ("containers", "Vhdx", "a disk for Hyper-V"),
    "aws": ("containers", "Aws", "a raw disk to import into AWS"),
    "gcp": ("containers", "Gcp", "a raw disk in an archive, as Google Cloud wants it"),
    "ova": ("containers", "Ova", "a virtual machine with its disk, for VMware and others"),
    "raw-verity": ("verity", "RawVerity", "a disk for UEFI whose read-only root is checked"),
    "raw-ab": ("slots", "RawAb", "a disk for UEFI that can be updated and falls back"),
    "rpi": ("rpi", "Rpi", "a card for the Raspberry Pi 3, 4 and 5"),
    "rpi3": ("rpi3", "Rpi3", "the files of a card for the Raspberry Pi 3, as upstream has them"),
    "microvm": ("microvm", "Microvm", "unpacked kernel and erofs root, for Firecracker and others"),
    "oci": ("oci", "Oci", "kernel, initramfs and command line as an artifact for registries"),
    "uki": ("efi", "Uki", "a unified kernel image: one program for UEFI"),
}  # fmt: skip


_SAME_FILE = ({"kernel+iso", "iso-bios"}, {"vhd", "dynamic-vhd"}, {"tar", "rpi3"})
"""Formats that upstream has given one file name."""


SIGNED = (
    "kernel+initrd", "iso-efi", "iso-efi-initrd", "iso-hybrid", "raw-efi", "qcow2-efi", "vmdk",
    "vhd", "dynamic-vhd", "vhdx", "aws", "gcp", "ova", "raw-verity", "raw-ab", "uki",
)  # fmt: skip
"""Formats with a program that firmware starts, so that there is something to sign."""

DISKS = (
    "raw-bios", "raw-efi", "qcow2-bios", "qcow2-efi", "vmdk", "vhd", "dynamic-vhd", "vhdx", "aws",
    "gcp", "ova", "raw-verity", "raw-ab", "rpi",
)  # fmt: skip
"""Formats with a disk, which may be made larger than what is on it."""


_GUARDED = ("raw-verity",)
"""Formats whose machines can be held to run signed programs only."""


class Options(NamedTuple):
    """What a user may choose of a format's making."""

    compression: Compression
    tools: Tools
    signer: Signer | None = None  # who signs the programs that firmware starts
    only_signed: bool = False  # the machine runs nothing else; takes a signer
    extent: Extent = Extent()  # of disks

    @property
    def identity(self) -> list[str]:
        """Changes when the bytes of a format with such programs may change."""
        who = self.signer.certificate.fingerprint if self.signer else ""
        only = "only" if self.only_signed else ""
        size = [f"size {self.extent.wanted}"] if self.extent.wanted else []
        return [self.compression.form, self.tools.identity, who, only, *size]


class Format(Protocol):
    """Writes a system's files."""

    def emit(self, system: System, out: Output, options: Options, /) -> BootFacts | None:
        """Write the files to ``out``; returns how to boot them, where they can be."""


class Streamable(Format, Protocol):
    """A format that is one stream of bytes."""

    def write(self, system: System, out: BinaryIO, /) -> None:
        """Write it to ``out``, which may be a pipe."""


def summaries() -> tuple[tuple[str, str], ...]:
    """Every format's name and what it is, for help texts."""
    return tuple((name, row[2]) for name, row in _TABLE.items())


def find(name: str) -> Format:
    """The format called ``name``.  Raises LK0701."""
    if name not in _TABLE:
        hint = suggestion(name, _TABLE) or f"known: {', '.join(_TABLE)}"
        raise Error("LK0701", f'there is no output format "{name}"', hint=hint)
    module, kind, _ = _TABLE[name]
    loaded = importlib.import_module(f"linuxkit.formats.{module}")
    return cast("Format", getattr(loaded, kind)())


def find_streamable(name: str) -> Streamable:
    """The format called ``name``, when it is one stream.  Raises LK0701 and LK0709."""
    found = find(name)
    if not hasattr(found, "write"):
        raise Error(
            "LK0709",
            f'the format "{name}" is several files and cannot be one stream',
            hint="use --dir and --name instead of --o, or the format tar",
        )
    return cast("Streamable", found)


def check(
    names: Sequence[str], *, signing: bool = False, only_signed: bool = False
) -> None:
    """Whether all of these can be written side by side, and signed where they shall be.

    Raises LK0701, LK0747, LK0775, LK0781.
    """
    if only_signed and not signing:
        raise Error(
            "LK0781", "a machine is held to signed programs by keys, and none are given",
            hint="add --sign KEYDIR",
        )  # fmt: skip
    for name in names:
        find(name)
        if only_signed and name not in _GUARDED:
            raise Error(
                "LK0781", f'the format "{name}" cannot hold a machine to signed programs',
                hint=f"take {' or '.join(_GUARDED)}",
            )  # fmt: skip
        if signing and name not in SIGNED:
            raise Error(
                "LK0775", f'nothing in the format "{name}" can be signed',
                hint=f"take one of {', '.join(SIGNED)}",
            )  # fmt: skip
    for group in _SAME_FILE:
        if len(group.intersection(names)) > 1:
            both = " and ".join(sorted(group))
            raise Error(
                "LK0747", f"{both} write a file of the same name",
                hint="build one of them with another --name or --dir",
            )  # fmt: skip


def emit(
    system: System, names: Sequence[str], *, directory: Path, name: str, options: Options
) -> tuple[Artifact, ...]:
    """Write the system in each format called for; on an error no file of it is left.

    Raises LK0701, LK0747, LK0775 and LK0781 before any work, LK0102 when the files cannot be
    written.
    """
    from linuxkit.formats.output import write_artifact  # help texts need the table only

    check(names, signing=options.signer is not None, only_signed=options.only_signed)
    chosen = [(wanted, find(wanted)) for wanted in dict.fromkeys(names)]
    return tuple(
        write_artifact(system, wanted, found, directory=directory, name=name, options=options)
        for wanted, found in chosen
    )
