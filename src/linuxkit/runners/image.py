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
from linuxkit.runners.firmware import DRIVES

_FORMAT = "kernel+initrd"
_ROLES = {
    "kernel": "-kernel", "initrd": "-initrd.img", "cmdline": "-cmdline", "root": "-squashfs.img",
}  # fmt: skip
_CONSOLE = re.compile(r"(?:^|\s)console=([A-Za-z0-9]+)")
_MAX_CMDLINE = 1 << 16
# Of several formats of one system: the one that starts soonest.
_ORDER = ("direct", "bios", "any", "uefi", "rpi")


def locate(wanted: str | Path, arch: str = "", *, cd: bool = False) -> Artifact:
    """The artifact called ``wanted``: ``NAME``, ``DIR/NAME``, a file of it, or its sidecar.

    ``arch`` is an OCI name and ``cd`` says that a file is a CD-ROM image, for files without a
    sidecar; "" means the host's.  Raises LK0801 when nothing of that name was built, LK0102,
    LK0702, and LK0813 when the sidecar disagrees.
    """
    path = Path(wanted)
    if path.suffix == ".json" and path.is_file():
        return _of_arch(artifacts.load(path), arch)
    folder, name = path.parent, path.name
    if not name:
        raise _missing(path)
    if path.is_file():
        found = _owner(path)
        return _of_arch(found, arch) if found else _from_image(path, arch, cd=cd)
    found = _best(folder, name)
    if found:
        return _of_arch(found, arch)
    if (folder / (name + _ROLES["kernel"])).is_file():
        return _from_files(folder, name, arch or platform.host().oci)
    raise _missing(path)


def need_kernel(found: Artifact) -> None:
    """Raise LK0814 where the YAML names no kernel, so that only the rest was written."""
    if found.boot is None and found.path("initrd") and not found.path("kernel"):
        raise Error(
            "LK0814",
            f'the system "{found.name}" has no kernel, so no machine can start it',
            hint='name one in its YAML, such as kernel: {image: "@pkg:kernel"}, and build it again',
        )


def _best(folder: Path, name: str) -> Artifact | None:
    """Of the formats that were built of ``name``, the usual one, else the quickest to start."""
    usual = folder / f"{name}.{_FORMAT}.json"
    if usual.is_file():
        return artifacts.load(usual)
    try:
        listed = sorted(p for p in folder.iterdir() if _is_sidecar(p.name, name))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.os_error(error, "read", folder) from error
    found = [artifacts.load(path) for path in listed]
    ready = [each for each in found if each.boot]
    return min(ready or found, key=_rank, default=None)


def _is_sidecar(file: str, name: str) -> bool:
    return file.startswith(f"{name}.") and file.endswith(".json")


def _rank(found: Artifact) -> int:
    return _ORDER.index(found.boot.firmware) if found.boot else len(_ORDER)


def _owner(path: Path) -> Artifact | None:
    """The artifact that the file ``path`` belongs to."""
    for sidecar in sorted(path.parent.glob("*.json")):
        if not path.name.startswith(sidecar.name.partition(".")[0]):
            continue
        try:
            found = artifacts.load(sidecar)
        except Error:
            continue  # some other JSON file
        if path.name in [file.name for file in found.files]:
            return found
    return None


def _of_arch(found: Artifact, arch: str) -> Artifact:
    if arch and found.arch != platform.arch(arch).oci:
        raise Error(
            "LK0813",
            f"{found.name} was built for {found.arch}, not for {arch}",
            hint="leave --arch out, or build it for the other architecture",
        )
    return found


def _from_image(path: Path, arch: str, *, cd: bool) -> Artifact:
    """A disk or CD-ROM image that nothing is known of but its name."""
    cd = cd or path.suffix == ".iso"
    if not cd and path.suffix not in DRIVES:
        raise _missing(path)
    file = OutFile("cd" if cd else "disk", path.name, path.stat().st_size)
    arch = platform.arch(arch).oci if arch else platform.host().oci
    # What it prints on is its own affair; nobody is to be warned of what is not known.
    facts = BootFacts("any", "unknown", "", platform.arch(arch).console, 0)
    return Artifact("", path.stem, path.parent, arch, Digest(""), (file,), facts)


def _from_files(folder: Path, name: str, arch: str) -> Artifact:
    found: list[OutFile] = []
    for role, ending in _ROLES.items():
        path = folder / (name + ending)
        if path.is_file() and not (role == "root" and any(f.role == "initrd" for f in found)):
            found.append(OutFile(role, path.name, path.stat().st_size))
    cmdline = _read(folder / (name + _ROLES["cmdline"]))
    consoles = _CONSOLE.findall(cmdline)
    on_disk = any(file.role == "root" for file in found)
    if on_disk and "root=" not in cmdline:
        cmdline = f"{cmdline} root=/dev/vda".strip()
    # "ttyS0" of "console=ttyS0,115200"; the last one named is the one programs get.
    root = "squashfs" if on_disk else "initramfs"
    boot = BootFacts("direct", root, cmdline, consoles[-1] if consoles else "", 0)
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
