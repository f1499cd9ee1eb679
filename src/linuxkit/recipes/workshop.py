"""The folders beside the store in which packages are built: their sizes, and emptying them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.recipes import commands

if TYPE_CHECKING:
    from pathlib import Path

    from linuxkit.oci.store import Store

_NAMES = ("roots", "builds", "logs", "buildah")


def sizes(store: Store) -> dict[str, int]:
    """Bytes on disk by folder; what cannot be looked at counts nothing."""
    return {name: _size(store.root / "linuxkit" / name) for name in _NAMES}


def _size(folder: Path) -> int:
    total = 0
    for path, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{path}/{name}").st_blocks * 512
    return total


def prune(store: Store) -> None:
    """Remove everything in them.  Builds that run at this time fail.  Raises LK0102."""
    for name in _NAMES:
        folder = store.root / "linuxkit" / name
        if folder.exists():
            commands.remove(folder)
        if folder.exists():
            raise files.os_error(OSError(), "remove all of", folder)
