"""Machines that start over the network, which `linuxkit run` has no word for."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

from linuxkit.disk import efivars

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Stands between us and QEMU: it takes away what QEMU would load and the disk, and tells the card's boot ROM
# (iPXE) what to ask for.  Firmware has a driver of its own; for it the card stays without one.
_WRAPPER = """#!{python}
import os, sys
words, url = [], {url!r}
for flag, word in zip(sys.argv[1::2], sys.argv[2::2]):
    if flag in ("-kernel", "-initrd", "-append") or "id=boot," in word or "drive=boot," in word:
        continue
    if url and flag == "-netdev":
        word += ",bootfile=" + url
    words += [flag, word.removesuffix(",romfile=") if url else word]
os.execvp("qemu-system-x86_64", ["qemu-system-x86_64", *words])
"""
_RUNTIME = 0x07  # stored, for firmware and for systems
_ACTIVE = 1
_END = struct.pack("<BBH", 0x7F, 0xFF, 4)


def program(folder: Path, url: str = "") -> str:
    """A program to be used as QEMU: its machines start from the card, whose ROM is told ``url``."""
    path = folder / "qemu-without-disks"
    path.write_text(_WRAPPER.format(python=sys.executable, url=url))
    path.chmod(0o755)
    return str(path)


def asking(variables: bytes, urls: Sequence[str]) -> bytes:
    """A store of firmware's variables that start from these, one after the other (UEFI, 3.1.2)."""
    options = {f"Boot{number:04X}": _option(url) for number, url in enumerate(urls)}
    options["BootOrder"] = struct.pack(f"<{len(urls)}H", *range(len(urls)))
    more = [efivars.Variable(efivars.GLOBAL, *each, _RUNTIME) for each in options.items()]
    return efivars.extended(variables, more)


def _option(url: str) -> bytes:
    """EFI_LOAD_OPTION with nothing but a URI: from whichever card gets there (UEFI, 3.1.3, 10.3.4.23)."""
    uri = url.encode()
    path = struct.pack("<BBH", 3, 24, 4 + len(uri)) + uri + _END
    return struct.pack("<IH", _ACTIVE, len(path)) + "over HTTP\0".encode("utf-16-le") + path
