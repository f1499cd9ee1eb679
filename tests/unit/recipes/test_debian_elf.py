"""The ELF reader: made-up files of all classes and byte orders, damaged ones, and real ones."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian import elf
from linuxkit.tree.entry import Bytes, Slice
from support.elf import module, program

SHAPES = [(64, "<"), (64, ">"), (32, "<"), (32, ">")]


@pytest.mark.parametrize(("bits", "order"), SHAPES)
def test_program(bits, order):
    data = program(["libc.so.6", "libx.so"], "/lib/ld.so.1", "$ORIGIN/../lib:/opt", bits=bits, order=order)
    found = elf.linkage(Bytes(data))
    assert found == elf.Linkage(62, bits, "/lib/ld.so.1", ("libc.so.6", "libx.so"), ("$ORIGIN/../lib", "/opt"))


def test_static_program():
    assert elf.linkage(Bytes(program([], ""))) == elf.Linkage(62, 64, "", (), ())


@pytest.mark.parametrize(("bits", "order"), SHAPES)
def test_sections(bits, order):
    data = module({"depends": "a,b"}, bits=bits, order=order)
    assert elf.section(Bytes(data), ".modinfo") == b"depends=a,b\0"
    assert elf.section(Bytes(data), ".none") == b""
    assert elf.linkage(Bytes(data)) is None


def test_slices_of_a_file(tmp_path):
    data = program(["libc.so.6"], "/lib/ld.so.1")
    path = tmp_path / "f"
    path.write_bytes(b"x" * 7 + data)
    with path.open("rb") as handle:
        content = Slice(handle.fileno(), 7, len(data))
        assert elf.is_elf(content)
        assert elf.linkage(content) == elf.linkage(Bytes(data))
        assert handle.tell() == 0


@pytest.mark.parametrize("data", [b"", b"\x7fEL", b"#!/bin/sh\n"])
def test_others(data):
    assert not elf.is_elf(Bytes(data))


def test_cut_short_at_every_length():
    data = program(["libc.so.6"], "/lib/ld.so.1", "/opt")
    for length in range(4, len(data) - 1, 3):
        try:
            elf.linkage(Bytes(data[:length]))
        except Error as error:
            assert error.code == "LK0520"  # noqa: PT017


def test_any_byte_changed():
    """Whatever is in the headers: an answer or our error, at once."""
    good = program(["libc.so.6"], "/lib/ld.so.1", "/opt")
    chance = random.Random(1)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        for call in (elf.linkage, lambda c: elf.section(c, ".modinfo")):
            try:
                call(Bytes(bytes(data)))
            except Error as error:
                assert error.code == "LK0520"  # noqa: PT017


def test_as_readelf():
    if not shutil.which("readelf"):
        pytest.skip("no readelf")
    for path in (Path(shutil.which("readelf")).resolve(), Path("/bin/sh").resolve()):
        done = subprocess.run(["readelf", "-dl", path], capture_output=True, text=True, check=True)
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout)
        interpreter = re.search(r"interpreter: (.*)\]", done.stdout)
        handle = os.open(path, os.O_RDONLY)
        try:
            found = elf.linkage(Slice(handle, 0, path.stat().st_size))
        finally:
            os.close(handle)
        assert list(found.needed) == needed
        assert found.interpreter == (interpreter[1] if interpreter else "")


def test_a_header_that_asks_for_much():
    data = bytearray(program([], ""))
    struct.pack_into("<H", data, 56, 0xFFFF)  # e_phnum
    with pytest.raises(Error):
        elf.linkage(Bytes(bytes(data)))
