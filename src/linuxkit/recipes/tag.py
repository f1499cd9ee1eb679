"""The tag of a stock package: a short hash of everything its image is made of.

No git and no network: the folder's files, the lock's entries for it, the guest programs it names
and the version of the builder.  Quick, for every build asks for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from linuxkit.base import digest, files, resources
from linuxkit.base.errors import Error, printable
from linuxkit.recipes.debian.lock import ROOT, SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.recipes.debian.lock import Lock

# Raise it whenever the same inputs start to give other bytes.
BUILDER = 1
REGISTRY = "linuxkit.stock"
_LENGTH = 16
_MAX_FILE = 64 << 20
# Read without YAML, for every build asks for every tag: a list on one line.
_EXTRA = re.compile(rb"^extra-sources:\s*\[([^\]\n]*)\]", re.MULTILINE)
_NEIGHBOUR = re.compile(r"(?:\.\./){1,2}[a-z0-9][A-Za-z0-9_-]*(?:/[A-Za-z0-9_-]+)*")
_INSIDE = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_GUEST = re.compile(rb"\bguest:\s*[\"']?([A-Za-z0-9._-]+)")


def compute(folder: Path, lock: Lock, arch: str) -> str:
    """The tag of the package in ``folder`` for the OCI architecture ``arch``.

    Raises LK0534 when the folder holds something that is neither a file nor a folder, LK0102.
    """
    listed = [(path, mode, data) for path, mode, data in contents(folder)]
    recipe = next((data for path, _, data in listed if path == "build.yml"), b"")
    programs = sorted({name.decode() for name in _GUEST.findall(recipe)})
    value: dict[str, object] = {
        "builder": BUILDER,
        "arch": arch,
        "files": [
            (path, mode, hashlib.sha256(data).hexdigest()) for path, mode, data in sorted(listed)
        ],
        "debs": [deb.sha256 for deb in lock.debs_of(folder.name, arch)],
        "guest": [(name, _program(arch, name)) for name in programs],
    }
    for key, suffix in (("root", ROOT), ("source", SOURCE)):
        more = lock.debs_of(folder.name + suffix, arch)
        if more:
            value[key] = [deb.sha256 for deb in more]
    return digest.hex_of(digest.of_value(value))[:_LENGTH]


def reference(name: str, tag: str) -> str:
    """The image reference of the stock package ``name``."""
    return f"{REGISTRY}/{name}:{tag}"


def contents(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    """Path, mode (0644 or 0755) and bytes of each file, without git's own folder; in no order.

    What ``extra-sources`` names of neighbouring packages lies where it says.  Raises LK0534,
    LK0545, LK0102.
    """
    recipe = b""
    for path, mode, data in _walk(folder, ""):
        recipe = data if path == "build.yml" else recipe
        yield path, mode, data
    for line in _EXTRA.findall(recipe):
        for text in line.decode().replace('"', " ").replace(",", " ").split():
            source, _, target = text.partition(":")
            if not _NEIGHBOUR.fullmatch(source) or not _INSIDE.fullmatch(target):
                raise Error(
                    "LK0545", f'`extra-sources` has "{printable(text)}"',
                    hint="name a folder of a neighbouring package and where it lies in this one: "
                    "../NAME/FOLDER:FOLDER",
                )  # fmt: skip
            yield from _walk(folder / source, f"{target}/")


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, int, bytes]]:
    try:
        with os.scandir(folder) as listing:
            for item in listing:
                path = prefix + item.name
                if path == ".git":
                    continue
                if item.is_dir(follow_symlinks=False):
                    yield from _walk(folder / item.name, f"{path}/")
                elif item.is_file(follow_symlinks=False):
                    mode = 0o755 if item.stat().st_mode & 0o100 else 0o644
                    yield path, mode, _read(folder / item.name)
                else:
                    raise Error(
                        "LK0534", f'{folder}: "{printable(item.name)}" is not a plain file',
                        hint="package folders hold files and folders only",
                    )  # fmt: skip
    except OSError as error:
        raise files.os_error(error, "read", folder) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as source:
        data = source.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise Error("LK0534", f"{path} has more than {_MAX_FILE >> 20} MiB")
    return data


def _program(arch: str, name: str) -> str:
    """The hash of a guest program, or empty: the build itself tells when one is not there."""
    try:
        return hashlib.sha256(resources.guest(arch, name).read_bytes()).hexdigest()
    except OSError:
        return ""
