"""What a format leaves behind: its files, how to boot them, and the sidecar that records both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, cast

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from pathlib import Path

    from linuxkit.base.digest import Digest

_VERSION = 1


class OutFile(NamedTuple):
    """One file of an artifact; ``role`` is what it is for ("kernel", "initrd", "cmdline" …)."""

    role: str
    name: str
    size: int


class BootFacts(NamedTuple):
    """What a runner must know, so that users need give no hints."""

    firmware: str  # "bios", "uefi", "any"; "direct": the machine loads kernel and initrd itself
    root: str  # "initramfs", or the kind of file system on the disk
    cmdline: str
    console: str  # device name without /dev/, or ""
    least_ram_mib: int
    machine: str = ""  # the only kind of machine that the kernel runs on; "": any


class Artifact(NamedTuple):
    """The output of one format."""

    format: str
    name: str
    directory: Path
    arch: str
    plan: Digest
    files: tuple[OutFile, ...]
    boot: BootFacts | None
    signer: str = ""  # certificate (PEM) of who has signed what firmware starts

    def path(self, role: str) -> Path | None:
        """Where the file with this role lies; None when the artifact has none."""
        for file in self.files:
            if file.role == role:
                return self.directory / file.name
        return None

    @property
    def sidecar(self) -> Path:
        """The JSON file that describes this artifact."""
        return self.directory / f"{self.name}.{self.format}.json"

    def to_json(self) -> dict[str, object]:
        """The sidecar's content."""
        boot = self.boot
        return {
            "version": _VERSION,
            "format": self.format,
            "name": self.name,
            "arch": self.arch,
            "plan": self.plan,
            "files": [
                {"role": f.role, "name": f.name, "size": f.size} for f in self.files
            ],
            "boot": None
            if boot is None
            else {
                "firmware": boot.firmware,
                "root": boot.root,
                "cmdline": boot.cmdline,
                "console": boot.console,
                "leastRamMiB": boot.least_ram_mib,
                "machine": boot.machine,
            },
            **({"signer": self.signer} if self.signer else {}),
        }

    def save(self) -> None:
        """Write the sidecar.  Raises LK0102."""
        text = json.dumps(self.to_json(), indent=2) + "\n"
        files.write(self.sidecar, text.encode(), sync=False)


def load(path: Path) -> Artifact:
    """Read a sidecar.  Raises LK0102 (unreadable) and LK0702 (not an artifact of this version)."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    try:
        return _decode(json.loads(text), path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Error(
            "LK0702",
            f"{path} does not describe an artifact",
            hint="build it again with this version of linuxkit",
        ) from error


def _decode(value: dict[str, object], path: Path) -> Artifact:
    if value["version"] != _VERSION:
        raise ValueError("version")
    boot = cast("dict[str, object] | None", value["boot"])
    listed = cast("list[dict[str, object]]", value["files"])
    return Artifact(
        format=str(value["format"]),
        name=str(value["name"]),
        directory=path.parent,
        arch=str(value["arch"]),
        plan=digests.parse(value["plan"]),
        files=tuple(_decode_file(item) for item in listed),
        boot=None
        if boot is None
        else BootFacts(
            firmware=str(boot["firmware"]),
            root=str(boot["root"]),
            cmdline=str(boot["cmdline"]),
            console=str(boot["console"]),
            least_ram_mib=int(cast("int", boot["leastRamMiB"])),
            machine=str(boot.get("machine", "")),
        ),
        signer=str(value.get("signer", "")),
    )


def _decode_file(item: dict[str, object]) -> OutFile:
    name = str(item["name"])
    if "/" in name or name in {"", ".", ".."}:
        raise ValueError("name")
    return OutFile(str(item["role"]), name, int(cast("int", item["size"])))
