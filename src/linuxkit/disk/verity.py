"""Hash trees of dm-verity: each block of a file system vouched for up to one root hash.

Format 1 as veritysetup(8) writes it, described in Linux' admin-guide/device-mapper/verity.rst: a
superblock, then the levels from the top down, blocks of 4096 bytes, SHA-256 of salt and block.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.tree.entry import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

BLOCK = 4096
_SUPERBLOCK = struct.Struct("<8sII16s32sIIQH6x256s168x")
_DIGEST = 32


class Tree(NamedTuple):
    """A written tree: its root hash, the salt, and how many blocks it vouches for."""

    root: bytes
    salt: bytes
    blocks: int

    def parameters(self, key: str = "") -> str:
        """What the device mapper's target is told behind the two devices.

        ``key`` names the key of the kernel that holds a signature of the root hash.
        """
        options = ["panic_on_corruption", *(["root_hash_sig_key_desc", key] if key else [])]
        return (
            f"{BLOCK} {BLOCK} {self.blocks} 1 sha256 {self.root.hex()} {self.salt.hex()} "
            f"{len(options)} {' '.join(options)}"
        )


def write(source: BinaryIO, size: int, out: BinaryIO, *, salt: bytes, uuid: bytes) -> Tree:
    """Write the tree of the first ``size`` bytes of ``source``, to ``out``.

    ``size`` is a multiple of 4096 and more than that.  ``salt`` has 32 bytes and ``uuid`` 16;
    ``out`` is an empty file.  About 700 MB/s.
    """
    levels = [_level(_blocks(source, size), salt)]
    while len(levels[-1]) > BLOCK:
        below = levels[-1]
        levels.append(_level((below[i : i + BLOCK] for i in range(0, len(below), BLOCK)), salt))
    count = size // BLOCK
    out.write(
        _SUPERBLOCK.pack(
            b"verity\0\0", 1, 1, uuid, b"sha256", BLOCK, BLOCK, count, len(salt), salt
        ).ljust(BLOCK, b"\0")
    )
    out.writelines(reversed(levels))
    out.flush()
    return Tree(hashlib.sha256(salt + levels[-1]).digest(), salt, count)


def _blocks(source: BinaryIO, size: int) -> Iterator[bytes]:
    source.seek(0)
    left = size
    while left:
        data = source.read(min(CHUNK, left))
        if not data:
            raise EOFError(f"the file ended {left} bytes early")
        left -= len(data)
        for at in range(0, len(data), BLOCK):
            yield data[at : at + BLOCK]


def _level(blocks: Iterable[bytes], salt: bytes) -> bytes:
    """The digests of all blocks, filled up to whole blocks."""
    start = hashlib.sha256(salt)
    found = bytearray()
    for block in blocks:
        digest = start.copy()
        digest.update(block)
        found += digest.digest()
    return bytes(found) + bytes(-len(found) % BLOCK)
