"""What a machine starts from: the disk or CD of an artifact, and the firmware that reads it.

``words`` is pure; ``find`` looks for the firmware that the artifact asks for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest, files
from linuxkit.base.errors import Error
from linuxkit.disk import certificates, efivars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.build.artifact import Artifact
    from linuxkit.disk.tools import Tools
    from linuxkit.runners.options import Options

DRIVES = {
    ".img": "raw", ".raw": "raw", ".iso": "raw", ".qcow2": "qcow2", ".vmdk": "vmdk", ".vhd": "vpc",
    ".vhdx": "vhdx",
}  # fmt: skip
"""QEMU's names of what lies in files, by their ending; nothing is ever guessed from content."""


class Firmware(NamedTuple):
    """UEFI: its code, and where it keeps its variables ("" where that is one file).

    On x86 they are guarded by a mode of the processor (SMM), so that only firmware may change those
    of Secure Boot.  What QEMU has of arm64 has no such mode: root in the guest could.
    """

    code: str
    variables: str = ""
    own: bool = False  # the variables are a file of this machine
    guarded: bool = False


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


def find(artifact: Artifact, options: Options, state: Path) -> Firmware | None:
    """The firmware to start ``artifact`` with; None for the machine's own.

    A file of the machine's own is made in ``state``.  Raises LK0830 (the file is not there), LK0870
    (Secure Boot and this image do not go together), LK0770, LK0774, and what the tools raise.
    """
    boot, program = artifact.boot, options.firmware_file
    if options.secure_boot:
        return _secure(artifact, options, options.secure_boot, state)
    needs = options.firmware or (boot.firmware if boot else "")
    if program:
        if not Path(program).is_file():
            raise Error("LK0830", f"there is no firmware {program}", hint="mend --fw")
        return Firmware(program)
    # A machine that could have either gets what is quicker to start; only x86 has a BIOS.
    if needs == "any":
        needs = "bios" if artifact.arch == "amd64" else "uefi"
    if needs != "uefi":
        return None
    found = _tools(options)
    code = found.data("firmware", artifact.arch)
    return Firmware(str(code), str(found.data("firmware-variables", artifact.arch)))


def _secure(artifact: Artifact, options: Options, keys: Path, state: Path) -> Firmware:
    """Firmware that checks signatures, with variables of this machine's own."""
    found = medium(artifact)
    boots = artifact.boot.firmware if artifact.boot else ""
    if found is None or not found.first or found.kind == "uki" or boots == "bios":
        raise Error(
            "LK0870", f'Secure Boot has no say in how "{artifact.format}" starts',
            hint="QEMU or a BIOS would load its kernel; build it with --format raw-efi",
        )  # fmt: skip
    usual = {"amd64": "q35", "arm64": "virt"}.get(artifact.arch, "")
    if options.firmware_file or options.firmware == "bios" or options.machine not in ("", usual):
        raise Error(
            "LK0870", "--secure-boot chooses firmware and machine itself",
            hint="leave --fw and --machine out",
        )  # fmt: skip
    tools = _tools(options)
    code = tools.data("firmware-secure", artifact.arch)
    template = tools.data("firmware-variables", artifact.arch)
    variables = _variables(keys, template)
    path = state / f"variables-{digest.of_bytes(variables).partition(':')[2][:16]}.fd"
    try:
        state.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            files.write(path, variables, mode=0o600, sync=False)
    except OSError as error:
        raise files.os_error(error, "make", path) from error
    return Firmware(str(code), str(path), own=True, guarded=artifact.arch == "amd64")


def _variables(keys: Path, template: Path) -> bytes:
    """A store of variables: the file ``keys``, or one with the keys of that folder."""
    try:
        if not keys.is_dir():
            return keys.read_bytes()
        data = template.read_bytes()
    except OSError as error:
        raise files.os_error(error, "read", error.filename) from error
    return efivars.enabled(data, certificates.of_folder(keys))


def _tools(options: Options) -> Tools:
    from linuxkit.disk.tools import HostTools

    return options.tools or HostTools()


def words(found: Medium | None, firmware: Firmware | None, bus: str) -> Iterator[str]:
    """The arguments of QEMU for them."""
    if firmware:
        yield from ("-drive", f"{_flash(0, firmware.code)},readonly=on")
        if firmware.variables:
            # What a guest writes to them is gone with the machine, unless they are its own.
            more = "" if firmware.own else ",snapshot=on"
            yield from ("-drive", _flash(1, firmware.variables) + more)
        if firmware.guarded:
            yield from ("-global", "driver=cfi.pflash01,property=secure,value=on")
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
