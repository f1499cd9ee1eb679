"""Versions of a system, and how one is cut into chunks that the next one shares."""

from __future__ import annotations

import io
import random

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.disk import uki, update
from linuxkit.tree.entry import Bytes
from support.pe import smallest_stub

MIB = 1 << 20


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def cut(data: bytes) -> list[bytes]:
    return list(update.cut(io.BytesIO(data), len(data)))


@pytest.mark.parametrize("word", ["1", "0", "1.2", "10.0.3.999999999"])
def test_a_version_is_read_off_the_command_line(word):
    assert update.version(f"console=ttyS0 linuxkit.version={word} quiet") == word


@pytest.mark.parametrize("word", ["", "01", "1.", "v1", "1-rc1", "1.2.3.4.5", "1/2", "1000000000"])
def test_anything_else_is_no_version(word):
    with pytest.raises(Error, match="is no version") as caught:
        update.version(f"linuxkit.version={word}")
    assert caught.value.code == "LK0762"


def test_no_version_is_none():
    assert not update.version("console=ttyS0")


@pytest.mark.parametrize("size", [0, 1, 65536, 3 * MIB, 40 * MIB])
def test_chunks_are_the_whole_and_bounded(size):
    data = noise(size, size)
    chunks = cut(data)
    assert b"".join(chunks) == data
    assert len(chunks) <= update.COUNT_LIMIT
    assert max(map(len, chunks), default=0) <= 1 * MIB


def test_bytes_without_any_mark_are_cut_too():
    chunks = cut(bytes(5 * MIB))
    assert {len(each) for each in chunks} == {MIB // 4}


def test_what_is_inserted_changes_few_chunks():
    data = noise(1, 20 * MIB)
    before, after = cut(data), cut(data[: 7 * MIB] + b"something new" + data[7 * MIB :])
    new = set(after) - set(before)
    assert 0 < sum(map(len, new)) < MIB


def test_a_table_lists_the_file():
    data = noise(2, 2 * MIB)
    table = update.read(io.BytesIO(data), "1.2", "amd64")
    lines = table.encode().decode().splitlines()
    assert lines[:4] == ["linuxkit-update 1", "version 1.2", "arch amd64", f"size {len(data)}"]
    assert lines[4] == f"digest {digests.hex_of(digests.of_bytes(data))}"
    sizes = [int(line.split()[2]) for line in lines[5:]]
    assert sum(sizes) == len(data)
    assert lines[5:] == [
        f"chunk {digests.hex_of(digests.of_bytes(each))} {len(each)}" for each in cut(data)
    ]


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(update, "LIMIT", MIB)
    with pytest.raises(Error, match="too large") as caught:
        update.read(io.BytesIO(bytes(MIB + 1)), "1", "amd64")
    assert caught.value.code == "LK0763"


class TestReadingAnImage:
    @pytest.fixture
    def image(self):
        out = io.BytesIO()
        kernel, initrd = Bytes(b"kernel"), Bytes(b"initrd")
        sections = uki.parts(kernel=kernel, initrd=initrd, cmdline="a b", release="ID=x\n")
        uki.write(smallest_stub(), sections, out)
        return out.getvalue()

    def test_its_sections(self, image):
        assert uki.read(io.BytesIO(image), ".cmdline") == ("amd64", b"a b")
        assert uki.read(io.BytesIO(image), ".osrel") == ("amd64", b"ID=x\n")

    def test_what_is_none(self, image):
        for data in (b"", b"MZ", bytes(512) + image[512:], image[:200], noise(3, 4096)):
            with pytest.raises(Error) as caught:
                uki.read(io.BytesIO(data), ".osrel")
            assert caught.value.code == "LK0764"
        with pytest.raises(Error):
            uki.read(io.BytesIO(image), ".pcrsig")
