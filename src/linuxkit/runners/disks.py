"""The machine's disk files: making those that are missing, and never guessing a format.

QEMU's own guessing lets a guest turn its raw disk into a qcow2 that names any file of the host as
its backing file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, proc
from linuxkit.base.errors import Error
from linuxkit.disk import seed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from linuxkit.runners.options import Disk

_QCOW2 = b"QFI\xfb"


class Drive(NamedTuple):
    """A disk file that is there."""

    path: Path
    format: str


def prepare(disks: Sequence[Disk], state: Path) -> tuple[Drive, ...]:
    """Make the disks that do not exist, in ``state`` those without a path.

    Raises LK0810 (a disk is missing and has no size, or is not what it is called), LK0102.
    """
    return tuple(_prepare(disk, number, state) for number, disk in enumerate(disks))


def write_seed(data: bytes, state: Path) -> Path:
    """A CD image with one file ``config``, as upstream makes it, in ``state``.  Raises LK0102."""
    path = state / "data.iso"
    try:
        state.mkdir(parents=True, exist_ok=True)
        with files.replacing(path, mode=0o600, sync=False) as out:
            seed.write(seed.CONFIG, {"config": data}, out)
    except OSError as error:
        raise files.os_error(error, "write", path) from error
    return path


def _prepare(disk: Disk, number: int, state: Path) -> Drive:
    path = disk.path or state / f"disk{number}.{disk.format or 'qcow2'}"
    form = disk.format or ("qcow2" if path.suffix == ".qcow2" else "raw")
    try:
        if path.exists():
            _check(path, disk.format, form)
        elif disk.size_mib:
            if disk.path is None:
                state.mkdir(parents=True, exist_ok=True)
            _make(path, form, disk.size_mib)
        else:
            raise Error(
                "LK0810",
                f"there is no disk {path}",
                hint=f"to make one, say how large: --disk {path},size=1G",
            )
    except OSError as error:
        raise files.os_error(error, "use the disk", path) from error
    return Drive(path, form)


def _check(path: Path, said: str, form: str) -> None:
    """A file that looks like qcow2 is used as raw only when the user says that it is raw."""
    if said or form != "raw" or not path.is_file():
        return
    with path.open("rb") as file:
        magic = file.read(len(_QCOW2))
    if magic == _QCOW2:
        raise Error(
            "LK0810",
            f"the disk {path} begins like a qcow2 file but is not called one",
            hint=f"say which it is: --disk {path},format=qcow2 or format=raw",
        )


def _make(path: Path, form: str, size_mib: int) -> None:
    if form == "raw":
        with files.replacing(path, mode=0o600, sync=False) as out:
            os.truncate(out.fileno(), size_mib << 20)
        return
    tool = proc.find("qemu-img", package="qemu-utils")
    proc.run([tool, "create", "-q", "-f", form, path.absolute(), f"{size_mib}M"])
