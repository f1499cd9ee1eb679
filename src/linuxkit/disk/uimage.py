"""Images as U-Boot's ``bootm`` and ``source`` take them, in the older of its two forms.

64 bytes of header with checksums before the data (U-Boot, include/image.h, "legacy image").
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.disk.tools import EPOCH
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.tree.entry import Content

_HEADER = struct.Struct(">7I4B32s")  # numbers are big-endian
_MAGIC = 0x27051956
_LINUX, _ARM64 = 5, 22
KERNEL, RAMDISK, SCRIPT = 2, 3, 6
PLAIN, GZIP = 0, 1


class Image(NamedTuple):
    """``content`` with a header; itself a content of files and archives."""

    kind: int
    content: Content
    name: str  # what U-Boot shows; 31 characters at most
    packing: int = PLAIN  # GZIP: U-Boot unpacks it
    load: int = 0  # where it unpacks a kernel to, and begins it

    @property
    def size(self) -> int:
        """Length in bytes."""
        return _HEADER.size + self.content.size

    def chunks(self) -> Iterator[bytes]:
        """The header and the content, which is read twice."""
        yield self._header()
        yield from self.content.chunks()

    def _header(self) -> bytes:
        checksum = 0
        for chunk in self.content.chunks():
            checksum = zlib.crc32(chunk, checksum)

        def pack(own: int) -> bytes:
            return _HEADER.pack(
                _MAGIC, own, int(EPOCH), self.content.size, self.load, self.load, checksum,
                _LINUX, _ARM64, self.kind, self.packing, self.name.encode(),
            )  # fmt: skip

        return pack(zlib.crc32(pack(0)))


def script(text: str, name: str) -> Image:
    """Commands for U-Boot: the lengths of all texts, ended by 0, before them."""
    data = text.encode()
    return Image(SCRIPT, Bytes(struct.pack(">2I", len(data), 0) + data), name)
