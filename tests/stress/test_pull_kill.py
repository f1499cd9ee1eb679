"""Pulls that are killed at any moment, and many at once: nothing lost, nothing damaged."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci.image import closure, is_whole
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.images import image
from support.registry import running

SOURCE = Path(__file__).resolve().parents[2] / "src"
AMD = Platform("linux", "amd64")
ROUNDS = 40


@pytest.fixture
def site(tmp_path):
    origin = Store(tmp_path / "origin", sync=False)
    image(origin, "it", *[{f"f{n}": os.urandom(2 << 20)} for n in range(6)])
    with running(tmp_path / "registry") as made:
        made.push(origin, "it", "it:1")
        yield made


def puller(tmp_path, site) -> subprocess.Popen[bytes]:
    program = "import sys; from linuxkit.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "cache", "pull", f"{site.host}/it:1"]
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "LINUXKIT_CACHE": str(tmp_path / "cache"),
           "HOME": str(tmp_path)}  # fmt: skip
    return subprocess.Popen(
        [*words, "--arch", "amd64"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def check(store: Store, name: str) -> None:
    """What the store has under its name is whole and undamaged."""
    found = store.find(name)
    if found is not None:
        assert is_whole(store, found, AMD)
        for blob in closure(store, found, (AMD,)):
            with store.open(blob.digest, blob.size) as file:
                assert digests.of_file(file) == blob.digest


def test_killed_at_any_moment(tmp_path, site):
    dice = random.Random(7)
    store, name = Store(tmp_path / "cache"), f"{site.host}/it:1"
    begun = time.monotonic()
    first = puller(tmp_path, site)
    output, _ = first.communicate()
    assert first.returncode == 0, output
    took_s = time.monotonic() - begun
    for _ in range(ROUNDS):
        store.remove_name(name)
        for blob in (tmp_path / "cache/blobs/sha256").iterdir():
            if dice.random() < 0.5:
                blob.unlink()
        one = puller(tmp_path, site)
        time.sleep(dice.uniform(0.3, 1.1) * took_s)
        one.kill()
        one.communicate()
        check(store, name)
    last = puller(tmp_path, site)
    output, _ = last.communicate()
    assert last.returncode == 0, output
    assert store.find(name) is not None
    check(store, name)


def test_many_on_one_cold_cache(tmp_path, site):
    many = [puller(tmp_path, site) for _ in range(8)]
    outputs = [each.communicate()[0] for each in many]
    assert [each.returncode for each in many] == [0] * 8, outputs
    store = Store(tmp_path / "cache")
    assert store.find(f"{site.host}/it:1") is not None
    check(store, f"{site.host}/it:1")
    assert not list((tmp_path / "cache/linuxkit/tmp").iterdir())
