"""A USB stick to start from, which `linuxkit run` has no word for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Stands between us and QEMU: it puts the disk that the machine starts from onto a USB bus.
_WRAPPER = """#!{python}
import os, sys
words = sys.argv[1:]
(at,) = (at for at, word in enumerate(words) if word.startswith("virtio-blk-pci,drive=boot,"))
words[at - 1 : at + 1] = ["-device", "qemu-xhci", "-device", "usb-storage,drive=boot,bootindex=0"]
os.execvp("qemu-system-x86_64", ["qemu-system-x86_64", *words])
"""


def program(folder: Path) -> str:
    """A program to be used as QEMU."""
    path = folder / "qemu-with-stick"
    path.write_text(_WRAPPER.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)
