"""What a machine starts from: the disk or CD of an artifact, and the firmware that reads it.

``words`` is pure; ``find`` looks for the firmware that the artifact asks for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.build.artifact import Artifact
    from linuxkit.disk.tools import Tools

DRIVES = {
    ".img": "raw", ".raw": "raw", ".iso": "raw", ".qcow2": "qcow2", ".vmdk": "vmdk", ".vhd": "vpc",
    ".vhdx": "vhdx",
}  # fmt: skip
"""QEMU's names of what lies in files, by their ending; nothing is ever guessed from content."""


class Firmware(NamedTuple):
    """UEFI: its code, and where it keeps its variables ("" where that is one file)."""

    code: str
    variables: str = ""


class Medium(NamedTuple):
    """The disk, CD or program that an artifact consists of."""

    path: Path
    kind: str  # "disk", "cd", "root" (a disk that is only read) or "uki"
    format: str = "raw"
    first: bool = True  # firmware starts from it; False: QEMU loads a kernel, which needs it later


def medium(artifact: Artifact) -> Medium | None:
    """What the machine gets besides kernel and initramfs; None when that is all."""
    for role in ("disk", "cd", "root", "uki"):
        path = artifact.path(role)
        if path:
            first = artifact.path("kernel") is None
            return Medium(path, role, DRIVES.get(path.suffix, "raw"), first)
    return None


def find(artifact: Artifact, wanted: str, program: str, tools: Tools | None) -> Firmware | None:
    """The firmware to start ``artifact`` with; None for the machine's own.

    ``wanted`` is "uefi" or "bios" where the user says so, ``program`` a firmware file.  Raises
    LK0830 (the file is not there), and what ``tools`` raise.
    """
    boot = artifact.boot
    needs = wanted or (boot.firmware if boot else "")
    if program:
        if not Path(program).is_file():
            raise Error("LK0830", f"there is no firmware {program}", hint="mend --fw")
        return Firmware(program)
    # A machine that could have either gets what is quicker to start; only x86 has a BIOS.
    if needs == "any":
        needs = "bios" if artifact.arch == "amd64" else "uefi"
    if needs != "uefi":
        return None
    from linuxkit.disk.tools import HostTools

    found = tools or HostTools()
    parts = (found.data(name, artifact.arch) for name in ("firmware", "firmware-variables"))
    return Firmware(*map(str, parts))


def words(found: Medium | None, firmware: Firmware | None, bus: str) -> Iterator[str]:
    """The arguments of QEMU for them."""
    if firmware:
        yield from ("-drive", f"{_flash(0, firmware.code)},readonly=on")
        if firmware.variables:
            # What a guest writes to them is gone with the machine.
            yield from ("-drive", f"{_flash(1, firmware.variables)},snapshot=on")
    if found is None or found.kind == "uki":
        return
    drive = f"id=boot,if=none,format={found.format},file={_plain(str(found.path))}"
    order = ",bootindex=0" if found.first else ""
    if found.kind == "cd":
        yield from ("-drive", f"{drive},readonly=on,media=cdrom")
        yield from ("-device", f"virtio-scsi-{bus},id=scsi0")
        yield from ("-device", f"scsi-cd,bus=scsi0.0,drive=boot{order}")
        return
    yield from ("-drive", drive + (",readonly=on" if found.kind == "root" else ""))
    yield from ("-device", f"virtio-blk-{bus},drive=boot,serial=boot{order}")


def seed(path: Path | None, bus: str) -> Iterator[str]:
    """The arguments of QEMU for a CD with the machine's settings."""
    if path is None:
        return
    file = _plain(str(path))
    yield from ("-drive", f"id=seed,if=none,format=raw,file={file},readonly=on,media=cdrom")
    yield from ("-device", f"virtio-scsi-{bus},id=scsi1")
    yield from ("-device", "scsi-cd,bus=scsi1.0,drive=seed")


def _flash(unit: int, path: str) -> str:
    return f"if=pflash,unit={unit},format=raw,file={_plain(path)}"


def _plain(path: str) -> str:
    return path.replace(",", ",,")
