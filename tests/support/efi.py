"""Programs for UEFI made for tests, and a store of firmware's variables; read by nobody's code but this."""

from __future__ import annotations

import contextlib
import struct
import uuid

from linuxkit.disk import uki
from linuxkit.tree.entry import Bytes

VOLUME = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")


def stub(*, sbat: bytes = b"") -> bytes:
    """The smallest PE32+ program with the sixteen directories, one section, and one called .sbat."""
    room = 1536
    head = bytearray(room)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3C, 0x40)
    head[0x40:0x44] = b"PE\0\0"
    count = 2 if sbat else 1
    struct.pack_into("<HHIIIHH", head, 0x44, 0x8664, count, 0, 0, 0, 240, 0x22)
    struct.pack_into("<H", head, 0x58, 0x20B)
    struct.pack_into("<II", head, 0x58 + 32, 4096, 512)
    struct.pack_into("<II", head, 0x58 + 56, 8192, room)
    struct.pack_into("<H", head, 0x58 + 68, 10)  # a program for EFI
    struct.pack_into("<I", head, 0x58 + 108, 16)
    table = 0x58 + 240
    struct.pack_into("<8sIIIIIIHHI", head, table, b".text", 512, 4096, 512, room, 0, 0, 0, 0, 0x60000020)
    body = b"\xc3" * 512
    if sbat:
        place = (len(sbat), 8192, 512, room + 512)
        struct.pack_into("<8sIIIIIIHHI", head, table + 40, b".sbat", *place, 0, 0, 0, 0, 0x40000040)
        body += sbat.ljust(512, b"\0")
    return bytes(head) + body


def linux(size: int = 5000) -> bytes:
    """What is taken for a kernel: a program with something behind its sections."""
    return stub() + bytes(index * 7 % 251 for index in range(size))


def image(path, *, cmdline: str = "console=ttyS0", initrd: bytes = b"I" * 99, sbat: bytes = b"", size: int = 5000):
    """A unified kernel image as a file."""
    kernel = linux(size)
    made = uki.parts(
        kernel=Bytes(kernel), initrd=Bytes(initrd), cmdline=cmdline, release="ID=x\nNAME=y\n"
    )
    with path.open("w+b") as out:
        uki.write(stub(sbat=sbat), made, out)
    return path


@contextlib.contextmanager
def flipped(path, at: int, bits: int):
    """The file with other ``bits`` at one place, inside the block."""
    with path.open("r+b", buffering=0) as file:
        file.seek(at)
        (before,) = file.read(1)
        for step, value in enumerate((before ^ bits, before)):
            file.seek(at)
            file.write(bytes([value]))
            if step == 0:
                yield


def variables(*, room: int = 1 << 16, held: bytes = b"") -> bytes:
    """An empty store of variables as edk2 lays it out, in a volume of two of its blocks."""
    header = 72
    volume = bytes(16) + VOLUME.bytes_le + struct.pack("<Q4sIHHHBB", 2 * room, b"_FVH", 0, header, 0, 0, 0, 2)
    volume = volume.ljust(header, b"\0")
    store = STORE.bytes_le + struct.pack("<IBBHI", room - header, 0x5A, 0xFE, 0, 0)
    return (volume + store + held).ljust(room, b"\xff") + b"\xff" * room


def held(store: bytes) -> dict[str, tuple[uuid.UUID, int, bytes]]:
    """The variables in a store: name → vendor, attributes, data."""
    (header,) = struct.unpack_from("<H", store, 48)
    at, found = header + 28, {}
    while store[at : at + 2] == b"\xaa\x55":
        state, attributes = store[at + 2], struct.unpack_from("<I", store, at + 4)[0]
        name_size, size = struct.unpack_from("<II", store, at + 36)
        vendor = uuid.UUID(bytes_le=store[at + 44 : at + 60])
        name = store[at + 60 : at + 60 + name_size].decode("utf-16-le").rstrip("\0")
        data = store[at + 60 + name_size : at + 60 + name_size + size]
        if state == 0x3F:  # added, and not deleted since
            found[name] = vendor, attributes, data
        at += -(-(60 + name_size + size) // 4) * 4
    return found
