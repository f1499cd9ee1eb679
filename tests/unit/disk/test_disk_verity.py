"""Hash trees, as veritysetup checks them."""

from __future__ import annotations

import random
import subprocess

import pytest

from linuxkit.disk import verity


def write(tmp_path, blocks: int):
    data = random.Random(1).randbytes(blocks * verity.BLOCK)
    source, hashes = tmp_path / "data", tmp_path / "hashes"
    source.write_bytes(data)
    with source.open("rb") as given, hashes.open("w+b") as out:
        tree = verity.write(given, len(data), out, salt=bytes(range(32)), uuid=bytes(range(16)))
    return source, hashes, tree


def check(source, hashes, root: bytes) -> int:
    words = ["veritysetup", "verify", source, hashes, root.hex()]
    return subprocess.run(words, capture_output=True, check=False).returncode


@pytest.mark.parametrize("blocks", [2, 128, 129, 300, 16_385])
def test_veritysetup_agrees(tmp_path, blocks, need):
    need("veritysetup")
    source, hashes, tree = write(tmp_path, blocks)
    assert tree.blocks == blocks
    assert check(source, hashes, tree.root) == 0


def test_one_bit_is_noticed(tmp_path, need):
    need("veritysetup")
    source, hashes, tree = write(tmp_path, 300)
    data = bytearray(source.read_bytes())
    data[123_456] ^= 1
    source.write_bytes(data)
    assert check(source, hashes, tree.root) != 0
    assert check(source, hashes, bytes(32)) != 0


def test_what_the_kernel_is_told(tmp_path):
    _, _, tree = write(tmp_path, 5)
    words = tree.parameters().split()
    assert words[:5] == ["4096", "4096", "5", "1", "sha256"]
    assert words[5:7] == [tree.root.hex(), bytes(range(32)).hex()]
    assert words[7:] == ["1", "panic_on_corruption"]
