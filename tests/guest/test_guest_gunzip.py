"""The reader of gzip in the metadata program, against zlib's writer, and against whoever means harm."""

from __future__ import annotations

import gzip
import io
import random
import struct
import subprocess
import zlib

import pytest

from support.guest_world import GUEST
from support.tools import need

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]  # fmt: skip
MOST = 1 << 20


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What is made of each case: its text, or None."""
    program = tmp_path_factory.mktemp("gunzip") / "gunzip"
    sources = [GUEST / "tests/gunzip.c", GUEST / "metadata/gunzip.c"]
    subprocess.run([need("gcc"), *FLAGS, f"-I{GUEST}/metadata", *sources, "-o", program], check=True)

    def run(*cases: bytes) -> list[bytes | None]:
        said = b"".join(struct.pack("=I", len(case)) + case for case in cases)
        done = subprocess.run([program], input=said, capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        answer, found = io.BytesIO(done.stdout), []
        for _ in cases:
            (length,) = struct.unpack("=i", answer.read(4))
            found.append(None if length < 0 else answer.read(length))
        assert answer.read() == b""
        return found

    return run


def texts() -> list[bytes]:
    dice = random.Random(3)
    words = [dice.randbytes(dice.randrange(1, 9)) for _ in range(50)]
    return [
        b"", b"a", b"\0" * 700, b"#cloud-config\nhostname: vm\n", bytes(range(256)) * 3, dice.randbytes(70_000),
        b"".join(dice.choice(words) for _ in range(20_000)), b"x" * MOST, dice.randbytes(40_000) * 3,
    ]  # fmt: skip


def made(text: bytes, level: int, strategy: int, window: int = 15) -> bytes:
    squeezer = zlib.compressobj(level, zlib.DEFLATED, 16 + window, 9, strategy)
    return squeezer.compress(text) + squeezer.flush()


def test_what_zlib_writes_is_read(read):
    """Stored, fixed and dynamic blocks, runs, and distances up to the longest."""
    kinds = [(0, zlib.Z_DEFAULT_STRATEGY, 15), (1, zlib.Z_DEFAULT_STRATEGY, 9), (6, zlib.Z_DEFAULT_STRATEGY, 15),
             (9, zlib.Z_FIXED, 15), (9, zlib.Z_HUFFMAN_ONLY, 15), (9, zlib.Z_RLE, 15), (9, zlib.Z_FILTERED, 15)]  # fmt: skip
    cases = [(text, made(text, *kind)) for text in texts() for kind in kinds]
    found = read(*(packed for _, packed in cases))
    assert [each == text for each, (text, _) in zip(found, cases, strict=True)] == [True] * len(cases)


def test_heads_and_several_in_a_row(read):
    body = made(b"hello", 9, 0)[10:]
    head = lambda flags: b"\x1f\x8b\x08" + bytes([flags]) + b"\1\2\3\4\0\3"  # noqa: E731
    whole = head(0x1F) + b"\3\0ext" + b"name\0" + b"comment\0" + b"\7\7" + body
    assert read(head(0) + body, whole, head(8) + b"\0" + body, head(0) + body + whole) == [b"hello", b"hello", b"hello", b"hellohello"]
    assert gzip.decompress(head(8) + b"\0" + body) == b"hello"
    bad = [head(0x20) + body, head(0x80) + body, b"\x1f\x8b\x07" + head(0)[3:] + body, head(0) + body + b"\0", head(8) + body]
    assert read(b"", b"\x1f", *bad) == [None] * 7


def test_nothing_is_larger_than_allowed(read):
    assert read(gzip.compress(b"x" * MOST), gzip.compress(b"x" * (MOST + 1)), gzip.compress(b"\0" * (50 << 20))) == [b"x" * MOST, None, None]
    assert read(gzip.compress(b"x" * (MOST // 2)) * 3) == [None]


def test_cut_off_anywhere_it_is_none(read):
    for packed in (made(b"hello, hello, hello", 9, zlib.Z_FIXED), made(bytes(range(200)) * 4, 9, 0), made(b"abc", 0, 0)):
        assert read(*(packed[:size] for size in range(len(packed)))) == [None] * len(packed)


def test_damage_is_seen(read):
    """The sum over the text finds what the form lets through; time and origin in the head mean nothing."""
    text = b"".join(b"key%d: value\n" % n for n in range(40))
    for packed in (made(text, 9, 0), made(text, 9, zlib.Z_FIXED), made(text, 0, 0)):
        cases = [packed[:at] + bytes([packed[at] ^ 1 << bit]) + packed[at + 1 :] for at in range(len(packed)) for bit in range(8)]
        found = read(*cases)
        assert set(found) <= {None, text}
        assert found[10 * 8 :].count(text) <= 14  # bits between a block's end and the next byte


def test_rubbish_is_none(read):
    """Anything behind a good head: no reading or writing past an end (the sanitizers watch)."""
    dice = random.Random(11)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\3"
    cases = [head + bytes([dice.randrange(8)]) + dice.randbytes(dice.randrange(300)) for _ in range(4000)]
    assert set(read(*cases)) == {None}


@pytest.mark.parametrize(
    "bits",
    [
        "1 11",  # a kind of block that is none
        "1 10 11111 00000 0000",  # 288 literals
        "1 10 00000 11111 0000",  # 32 distances
        "1 10 00000 00000 0000 001 001 001 000",  # three codes of one bit
        "1 10 00000 00000 0000 010 000 000 000",  # codes that nobody has
    ],
)
def test_codes_that_cannot_be(read, bits):
    """Numbers have their lowest bit first, as they lie in the stream."""
    flat = bits.replace(" ", "").ljust(64, "0")
    data = bytes(int(flat[at : at + 8][::-1], 2) for at in range(0, 64, 8))
    assert read(b"\x1f\x8b\x08\0\0\0\0\0\0\3" + data * 4) == [None]
