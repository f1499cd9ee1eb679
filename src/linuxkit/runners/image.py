"""Finds what a user wants to run: by its sidecar, or by the file names upstream's tool leaves.

Reads the few facts that a runner needs; starts nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

from linuxkit.base import files, platform
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error, suggestion
from linuxkit.build import artifact as artifacts
from linuxkit.build.artifact import Artifact, BootFacts, OutFile

_FORMAT = "kernel+initrd"
_ROLES = {"kernel": "-kernel", "initrd": "-initrd.img", "cmdline": "-cmdline"}
_CONSOLE = re.compile(r"(?:^|\s)console=([A-Za-z0-9]+)")
_MAX_CMDLINE = 1 << 16


def locate(wanted: str | Path, arch: str = "") -> Artifact:
    """The artifact called ``wanted``: ``NAME``, ``DIR/NAME`` or the path of a sidecar.

    ``arch`` is an OCI name, for files without a sidecar; "" means the host's.  Raises LK0801 when
    nothing of that name was built, LK0102, LK0702, and LK0813 when the sidecar disagrees.
    """
    path = Path(wanted)
    if path.suffix == ".json" and path.is_file():
        return _of_arch(artifacts.load(path), arch)
    folder, name = path.parent, path.name
    sidecar = folder / f"{name}.{_FORMAT}.json"
    if name and sidecar.is_file():
        return _of_arch(artifacts.load(sidecar), arch)
    if name and (folder / (name + _ROLES["kernel"])).is_file():
        return _from_files(folder, name, arch or platform.host().oci)
    raise _missing(path)


def _of_arch(found: Artifact, arch: str) -> Artifact:
    if arch and found.arch != platform.arch(arch).oci:
        raise Error(
            "LK0813",
            f"{found.name} was built for {found.arch}, not for {arch}",
            hint="leave --arch out, or build it for the other architecture",
        )
    return found


def _from_files(folder: Path, name: str, arch: str) -> Artifact:
    found = []
    for role, ending in _ROLES.items():
        path = folder / (name + ending)
        if path.is_file():
            found.append(OutFile(role, path.name, path.stat().st_size))
    cmdline = _read(folder / (name + _ROLES["cmdline"]))
    consoles = _CONSOLE.findall(cmdline)
    # "ttyS0" of "console=ttyS0,115200"; the last one named is the one programs get.
    boot = BootFacts("direct", "initramfs", cmdline, consoles[-1] if consoles else "", 0)
    arch = platform.arch(arch).oci
    return Artifact(_FORMAT, name, folder, arch, Digest(""), tuple(found), boot)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_CMDLINE).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _missing(path: Path) -> Error:
    name = path.name
    if path.suffix in {".yml", ".yaml"} and path.is_file():
        hint = f"build it first: linuxkit build {path} && linuxkit run {path.stem}"
    else:
        built = sorted(
            p.name.removesuffix(f".{_FORMAT}.json") for p in path.parent.glob(f"*.{_FORMAT}.json")
        )
        hint = suggestion(name, built) or f"build it first: linuxkit build {name or 'NAME'}.yml"
    where = "" if str(path.parent) == "." else f" in {path.parent}"
    return Error("LK0801", f'no built system "{name}"{where}', hint=hint)
