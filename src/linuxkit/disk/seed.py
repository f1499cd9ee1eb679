"""Small CD-ROM images that tell a machine its settings; equal for equal settings."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from linuxkit.disk import iso
from linuxkit.disk.tools import EPOCH
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

CONFIG = "config"
"""The name that upstream gives to the volume with one file, ``config``."""
NOCLOUD = "cidata"
"""The name by which cloud-init finds its own (datasource NoCloud)."""


def write(volume: str, files: Mapping[str, bytes], out: BinaryIO) -> None:
    """Write a CD-ROM image called ``volume`` with ``files`` to the empty file ``out``."""
    mtime = int(EPOCH)
    entries = [
        Entry(name, Kind.FILE, 0o644, mtime=mtime, content=Bytes(data))
        for name, data in sorted(files.items())
    ]
    content = b"".join(b"%s\0%d\0%s" % (n.encode(), len(d), d) for n, d in sorted(files.items()))
    name = hashlib.sha256(content).hexdigest().upper()
    iso.write(entries, out, iso.Volume(volume, name, mtime))
