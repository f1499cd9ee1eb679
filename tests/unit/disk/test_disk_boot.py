"""Unified kernel images, FAT's geometry, and what boot loaders are told."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.disk import bios, fat, uimage, uki
from linuxkit.tree.entry import Bytes
from support.pe import smallest_stub

SECTORS = uki.parts(
    kernel=Bytes(b"K" * 5000), initrd=Bytes(b"I" * 100), cmdline="console=ttyS0", release="ID=x\n"
)


def made(data: bytes) -> dict[str, bytes]:
    """The sections of a PE file, read by nobody's code but this."""
    (at,) = struct.unpack_from("<I", data, 0x3C)
    count, optional = struct.unpack_from("<H", data, at + 6)[0], struct.unpack_from("<H", data, at + 20)[0]
    found = {}
    for index in range(count):
        row = struct.unpack_from("<8sIIII", data, at + 24 + optional + 40 * index)
        name, size, address, _, offset = row
        assert address % 4096 == 0
        found[name.rstrip(b"\0").decode()] = data[offset : offset + size]
    return found


def test_the_stub_gets_the_parts():
    out = io.BytesIO()
    uki.write(smallest_stub(), SECTORS, out)
    found = made(out.getvalue())
    assert list(found) == [".text", ".osrel", ".cmdline", ".initrd", ".linux"]
    assert found[".linux"] == b"K" * 5000
    assert found[".cmdline"] == b"console=ttyS0"
    assert len(out.getvalue()) % 512 == 0


def test_objdump_reads_it(tmp_path, need):
    need("objdump")
    path = tmp_path / "t.efi"
    with path.open("wb") as out:
        uki.write(smallest_stub(), SECTORS, out)
    done = subprocess.run(["objdump", "-h", path], capture_output=True, text=True, check=True)
    assert ".linux" in done.stdout
    assert ".initrd" in done.stdout


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut short"), (b"MZ" + bytes(100), "no PE"), (smallest_stub()[:0x50], "cut short"),
        (smallest_stub(room=0xC8 + 40), "no room"), (smallest_stub().replace(struct.pack("<H", 0x20B), b"\x0b\x01", 1), "64-bit"),
    ],
)  # fmt: skip
def test_what_is_no_stub_is_refused(data, why):
    with pytest.raises(Error, match=why) as caught:
        uki.write(data, SECTORS, io.BytesIO())
    assert caught.value.code == "LK0742"


@given(st.lists(st.integers(0, 3 << 30), max_size=6), st.booleans())
def test_fat_has_room_and_the_kind_that_its_clusters_say(sizes, wide):
    shape = fat.geometry(sizes, fat32=wide)
    assert shape.bits == 32 or not wide
    per_cluster = shape.cluster // 512
    reserved, root = (32, 0) if shape.bits == 32 else (1, 32)
    # The least that a formatter's rounding leaves, and the most without any.
    for loss in (0, 3 * per_cluster):
        table = -(-(shape.sectors // per_cluster + 2) * shape.bits // 4096)
        clusters = (shape.sectors - reserved - root - 2 * table - loss) // per_cluster
        assert clusters >= sum(-(-size // shape.cluster) for size in sizes)
        if shape.bits != 32:
            assert clusters <= {12: 4084, 16: 65524}[shape.bits] + 1024 // per_cluster + 2048
        else:
            assert clusters > 65524
            assert shape.cluster == 512 or sum(sizes) > 31 << 20


def test_headers_for_u_boot():
    """As mkimage(1) writes them; tests/differential has it look at whole ones."""
    made = b"".join(uimage.Image(uimage.KERNEL, Bytes(b"abc"), "Linux", uimage.GZIP, 0x80000).chunks())
    assert (len(made), made[64:]) == (67, b"abc")
    magic, own, time, size, load, entry, checksum, *kinds = struct.unpack(">7I4B32s", made[:64])
    assert (magic, time, size, load, entry) == (0x27051956, 1492533000, 3, 0x80000, 0x80000)
    assert checksum == zlib.crc32(b"abc")
    assert own == zlib.crc32(made[:4] + bytes(4) + made[8:64])
    assert kinds == [5, 22, 2, 1, b"Linux".ljust(32, b"\0")]
    assert b"".join(uimage.script("x\n", "X").chunks())[64:] == b"\0\0\0\2\0\0\0\0x\n"


@pytest.mark.parametrize(
    ("cmdline", "words"),
    [
        ("quiet", " 'quiet'"),
        ("console=ttyS0  quiet panic=-1 ", " 'console=ttyS0' 'quiet' 'panic=-1'"),
        ('dyndbg="file x.c +p" "a b" c="d"', " 'dyndbg=file x.c +p' 'a b' 'c=d'"),
        ('a=$b;{c} d="e f', " 'a=$b;{c}' 'd=e f'"),
        ("", ""),
    ],
)
def test_a_bios_loader_is_told_what_to_start(cmdline, words):
    paths = bios.Paths("/kernel", "/initrd.img")
    assert bios.config(paths, cmdline) == f"linux /kernel{words}\ninitrd /initrd.img\nboot\n".encode()
    assert b"initrd" not in bios.config(bios.Paths("/kernel"), cmdline)


@pytest.mark.parametrize("cmdline", ["x" * 2048, "a\nb", "a\x1b", "a='b'", "a=b\\", 'a=b"c d"', 'a="b"c'])
def test_what_a_bios_cannot_pass_on_is_refused(cmdline):
    with pytest.raises(Error) as caught:
        bios.config(bios.Paths("/kernel"), cmdline)
    assert caught.value.code == "LK0744"
