"""Which program systemd-boot would start, as its manual and the Boot Loader Specification say."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.disk import uki

if TYPE_CHECKING:
    from pathlib import Path

_COUNTER = re.compile(r"\+(\d+)(?:-(\d+))?\.efi$", re.IGNORECASE)


class Entry(NamedTuple):
    """A program in EFI/Linux; ``left`` is None where starts are not counted."""

    name: str
    version: tuple[int, ...]
    left: int | None
    data: bytes


def entries(image: Path, offset: int, folder: Path) -> list[Entry]:
    """The programs in the order in which they would be started."""
    where = f"{image}@@{offset}"
    listed = subprocess.run(
        ["mdir", "-b", "-i", where, "::EFI/Linux"], capture_output=True, text=True, check=True
    )
    found = []
    for path in listed.stdout.split():
        file = folder / "entry"
        copied = subprocess.run(
            ["mcopy", "-n", "-o", "-i", where, path, file], capture_output=True, check=False
        )
        if copied.returncode:
            continue  # its clusters are in disorder: no firmware reads it either
        with file.open("rb") as source:
            try:
                _, release = uki.read(source, ".osrel")
            except Error:
                continue  # no such program: systemd-boot does not show it
            source.seek(0)
            data = source.read()
        counter = _COUNTER.search(path)
        version = re.search(r"^IMAGE_VERSION=(.*)$", release.decode().rstrip("\0"), re.MULTILINE)
        assert version
        numbers = tuple(map(int, version[1].split(".")))
        left = int(counter[1]) if counter else None
        found.append(Entry(path.rpartition("/")[2], numbers, left, data))
    found.sort(key=lambda entry: entry.version, reverse=True)
    return sorted(found, key=lambda entry: entry.left == 0)
