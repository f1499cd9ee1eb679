"""Programs of UEFI, for tests."""

from __future__ import annotations

import struct


def smallest_stub(*, room: int = 1024) -> bytes:
    """The smallest PE32+ program with one section."""
    head = bytearray(room)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3C, 0x40)
    head[0x40:0x44] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", head, 0x44, 0x8664, 1, 0, 0, 0, 112, 0x22)
    struct.pack_into("<H", head, 0x58, 0x20B)
    struct.pack_into("<II", head, 0x58 + 32, 4096, 512)
    struct.pack_into("<II", head, 0x58 + 56, 8192, room)
    struct.pack_into("<8sIIIIIIHHI", head, 0xC8, b".text", 512, 4096, 512, room, 0, 0, 0, 0, 0x60000020)
    return bytes(head) + b"\xc3" * 512
