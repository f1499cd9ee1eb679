"""Compression: fixed bytes, foreign decompressors, limits and damage."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import random
import subprocess
import sys
import zlib

import pytest

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.tree import compress

NAMES = ["gzip", "zstd", "xz", "lz4"]


def sample(size: int) -> bytes:
    """Text-like data that is the same everywhere."""
    source = random.Random(7)
    words = [source.randbytes(source.randrange(2, 12)) for _ in range(3000)]
    out = bytearray()
    while len(out) < size:
        out += source.choice(words)
    return bytes(out[:size])


DATA = sample(3_000_000)


def packed(name: str, data: bytes = DATA, level: int | None = None, pieces: int = 1 << 20) -> bytes:
    out = io.BytesIO()
    writer = compress.open_writer(name, level, out)
    for at in range(0, len(data), pieces):
        assert writer.write(data[at : at + pieces]) == len(data[at : at + pieces])
    writer.close()
    return out.getvalue()


def unpacked(data: bytes, limit: compress.ExpansionLimit = compress.LIMIT) -> bytes:
    out = io.BytesIO()
    assert compress.spool(io.BytesIO(data), out, limit=limit) == len(out.getvalue())
    return out.getvalue()


GOLDEN = {
    ("gzip", 6): "2d8fe01eaacb676a",
    ("gzip", 1): "6d9bb8b6a942588c",
    ("zstd", 3): "ea2c24181037c7be",
    ("zstd", 12): "df160e24d1a978f0",
    ("xz", 6): "b9ba2a4d3730b7f7",
    ("lz4", 1): "e4b5965137f9480d",
    ("lz4", 9): "76aa295744911a76",
    ("none", 0): "ba004947505cbaa1",
}


@pytest.mark.parametrize(("name", "level"), GOLDEN)
def test_bytes_are_fixed(name, level):
    """A change here means that every cached and published artifact changes: say so to users."""
    got = hashlib.sha256(packed(name, level=level)).hexdigest()[:16]
    assert got == GOLDEN[name, level]


@pytest.mark.parametrize("name", ["none", *NAMES])
@pytest.mark.parametrize("level", [1, None])
def test_bytes_do_not_depend_on_the_pieces(name, level):
    if name == "none":
        level = None
    data = DATA[: 1 << 20] if name == "xz" else DATA
    whole = packed(name, data, level, pieces=len(DATA))
    for pieces in (1 << 20, 70_001, 512, 110):
        assert packed(name, data, level, pieces=pieces) == whole


def test_zstd_bytes_do_not_depend_on_the_number_of_processors(monkeypatch):
    got = set()
    for processors in (1, 2, 64):
        monkeypatch.setattr("os.sched_getaffinity", lambda _pid, n=processors: range(n))
        got.add(packed("zstd", DATA * 8))  # several of its jobs
    assert len(got) == 1


@pytest.mark.parametrize("size", [0, 1, 256 << 10, (256 << 10) + 1, 8 << 20])
@pytest.mark.parametrize("name", ["none", "gzip", "zstd", "xz"])
def test_round_trip(name, size):
    data = (DATA * 3)[:size]
    assert unpacked(packed(name, data, 1 if name == "xz" else None)) == data


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("gzip", ["gzip", "-dc"]),
        ("zstd", ["zstd", "-dc"]),
        ("xz", ["xz", "-dc"]),
        ("lz4", ["lz4", "-dc"]),
    ],
)
@pytest.mark.parametrize("data", [b"", b"x", DATA * 3 + b"x"], ids=["0", "1", "9M"])
def test_foreign_programs_unpack_it(name, command, data):
    level = 1 if name == "xz" else None
    done = subprocess.run(command, input=packed(name, data, level), capture_output=True, check=True)
    assert done.stdout == data


def test_gzip_header():
    assert packed("gzip", b"x")[:10] == bytes.fromhex("1f8b08000000000000ff")
    assert packed("gzip", b"x", level=9)[8] == 2
    assert packed("gzip", b"x", level=1)[8] == 4


def test_lz4_is_the_legacy_frame():
    """Linux lib/decompress_unlz4.c: magic, then each block's length; no end mark."""
    data = packed("lz4", DATA * 4)
    assert data[:4] == bytes.fromhex("02214c18")
    at, blocks = 4, 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "little")
        blocks += 1
    assert (at, blocks) == (len(data), 2)
    assert packed("lz4", b"") == data[:4]


def test_xz_has_the_check_that_linux_knows():
    assert packed("xz", b"x")[7] == lzma.CHECK_CRC32


@pytest.mark.parametrize(
    ("text", "name", "level", "form"),
    [
        ("none", "none", 0, "none"),
        ("gzip", "gzip", 6, "gzip.6"),
        ("zstd", "zstd", 3, "zstd.3"),
        ("zstd:19", "zstd", 19, "zstd.19"),
        ("lz4", "lz4", 1, "lz4.1"),
        ("lz4:12", "lz4", 12, "lz4.12"),
        ("xz:0", "xz", 0, "xz.0"),
        ("xz", "xz", 6, "xz.6"),
    ],
)
def test_parse(text, name, level, form):
    got = compress.parse(text)
    assert got == (name, level)
    assert got.form == form
    assert compress.parse(str(got)) == got


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("gzp", 'did you mean "gzip"?'),
        ("zst", 'did you mean "zstd"?'),
        ("", "known: none, gzip, zstd, lz4, xz"),
        ("bzip2:9", 'did you mean "gzip"?'),
        ("zstd:", "write it like zstd:19"),
        ("zstd:x", "write it like zstd:19"),
        ("zstd:-1", "write it like zstd:19"),
        ("zstd:٣", "write it like zstd:19"),
        ("zstd:1:2", "write it like zstd:19"),
        ("zstd:20", "levels go from 1 to 19"),
        ("gzip:0", "levels go from 1 to 9"),
        ("xz:10", "levels go from 0 to 9"),
        ("none:1", "write it without a level: none"),
    ],
)
def test_parse_refuses(text, hint):
    with pytest.raises(Error) as caught:
        compress.parse(text)
    assert (caught.value.code, caught.value.hint) == ("LK0613", hint)


def test_open_writer_refuses():
    for name, level in (("brotli", None), ("gzip", 10)):
        with pytest.raises(Error) as caught:
            compress.open_writer(name, level, io.BytesIO())
        assert caught.value.code == "LK0613"


def test_a_missing_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4.block", None)
    monkeypatch.setitem(sys.modules, "lz4", None)
    with pytest.raises(Error) as caught:
        compress.open_writer("lz4", None, io.BytesIO())
    assert (caught.value.code, caught.value.hint) == ("LK0614", "pip install 'linuxkit[lz4]'")


def test_without_zlib_ng_gzip_works_with_a_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    notes: list[events.Event] = []
    with events.reporting(notes.append):
        data = packed("gzip")
    assert [(e.level, e.code) for e in notes if isinstance(e, events.Note)] == [
        ("warning", "LK0618")
    ]
    assert gzip.decompress(data) == DATA
    assert unpacked(data) == DATA


# Decompression


def zstd_program(data: bytes, *options: str) -> bytes:
    return subprocess.run(
        ["zstd", "-c", *options], input=data, capture_output=True, check=True
    ).stdout


SKIPPABLE = bytes.fromhex("5a2a4d18") + (5).to_bytes(4, "little") + b"hello"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"x", b"x"),
        (b"plain text, longer than any magic number", None),
        (gzip.compress(b"one", mtime=0) + gzip.compress(b"") + gzip.compress(DATA), b"one" + DATA),
        (packed("zstd", b"one") + packed("zstd", DATA), b"one" + DATA),
        (SKIPPABLE + packed("zstd", b"one") + SKIPPABLE * 3 + packed("zstd", b"two"), b"onetwo"),
        (SKIPPABLE, b""),
        (lzma.compress(b"one") + lzma.compress(DATA), b"one" + DATA),
        (lzma.compress(DATA, check=lzma.CHECK_SHA256, preset=9), DATA),
        (zstd_program(DATA, "--long=27", "-1"), DATA),
        (zstd_program(DATA, "--ultra", "-22"), DATA),
    ],
)
def test_spool(data, expected):
    assert unpacked(data) == (data if expected is None else expected)


class Dribble:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, self._step))


@pytest.mark.parametrize("name", ["none", "gzip", "zstd", "xz"])
@pytest.mark.parametrize("step", [1, 5, 7])
def test_spool_takes_what_it_gets(name, step):
    text = DATA[:5000]
    data = packed(name, text)
    out = io.BytesIO()
    copies = 1 if name == "none" else 3
    compress.spool(Dribble(data * copies, step), out)
    assert out.getvalue() == text * copies


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


GZIP, ZSTD, XZ = gzip.compress(DATA, mtime=0), zstd_program(DATA, "--check"), lzma.compress(DATA)


@pytest.mark.parametrize(
    "data",
    [
        *(data[:-cut] for data in (GZIP, ZSTD, XZ) for cut in (1, 4, 9, len(data) - 10)),
        flipped(GZIP, -5),  # check sum
        flipped(GZIP, -1),  # size
        flipped(GZIP, len(GZIP) // 2),
        flipped(ZSTD, -1),
        flipped(ZSTD, len(ZSTD) // 2),
        flipped(XZ, len(XZ) // 2),
        flipped(XZ, -1),
        GZIP + b"garbage",
        GZIP + b"x",
        GZIP + b"\0" * 512,
        GZIP + ZSTD,
        ZSTD + b"garbage",
        ZSTD + GZIP,
        XZ + b"\0\0\0\0garbage",
        SKIPPABLE[:-1],
        SKIPPABLE + b"x",
        zstd_program(DATA * 100, "--long=28", "-1", "--no-check"),  # a window of 256 MiB
        lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}]),
        b"\x1f\x8b\x08\0",
    ],
)
def test_damage(data):
    with pytest.raises(Error) as caught:
        unpacked(data)
    assert caught.value.code == "LK0615"
    assert caught.value.message.isprintable()


def test_limit_of_size():
    limit = compress.ExpansionLimit(total=1000)
    for name in ("none", "gzip", "zstd", "xz"):
        assert len(unpacked(packed(name, bytes(1000)), limit)) == 1000
        with pytest.raises(Error) as caught:
            unpacked(packed(name, bytes(1001)), limit)
        assert caught.value.code == "LK0616"


def test_limit_of_ratio():
    limit = compress.ExpansionLimit(ratio=200, free=1 << 20)
    assert len(unpacked(packed("gzip", bytes(1 << 20)), limit)) == 1 << 20
    with pytest.raises(Error) as caught:
        unpacked(packed("gzip", bytes(4 << 20)), limit)
    assert caught.value.code == "LK0616"
    assert unpacked(bytes(4 << 20), limit)  # what is not compressed cannot be a bomb


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz"])
def test_bombs_are_stopped_early(name):
    """GHSA-6p9p-q6wh-9j89 (apko): gibibytes of zeros in little data."""

    class Null:
        size = 0

        def write(self, data: bytes) -> None:
            self.size += len(data)
            assert len(data) <= 1 << 20

    bomb = io.BytesIO()
    writer = compress.open_writer(name, 1 if name == "xz" else None, bomb)
    zeros = bytes(1 << 20)
    for _ in range(100):
        writer.write(zeros)
    writer.close()
    bomb.seek(0)
    out = Null()
    with pytest.raises(Error) as caught:
        compress.spool(bomb, out)
    assert caught.value.code == "LK0616"
    assert out.size <= 200 * len(bomb.getvalue()) or out.size <= 65 << 20


def test_default_limits_are_those_promised():
    assert compress.LIMIT == (16 << 30, 200, 64 << 20)


def test_many_small_members():
    data = (gzip.compress(b"x", mtime=0) + zlib.compress(b"", wbits=31)) * 3000
    assert unpacked(data) == b"x" * 3000
    assert unpacked(SKIPPABLE * 20_000) == b""


def test_importing_it_imports_no_library():
    code = (
        "import sys, linuxkit.tree.compress;"
        "print(sorted({'lzma', 'zlib', 'zlib_ng', 'backports', 'lz4'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


def test_memory_at_the_highest_level():
    """The largest level has to leave room on a small machine: 64 MiB of input, under 100 MiB."""
    code = (
        "import resource, random, linuxkit.tree.compress as c\n"
        "class Null:\n"
        "    def write(self, data): pass\n"
        "words = [random.Random(n).randbytes(1 << 10) for n in range(100)]\n"
        "w = c.open_writer('zstd', 19, Null())\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for n in range(1 << 16): w.write(words[n * n % 97])\n"
        "w.close()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 100 << 10
