"""Pulls that are killed at any moment, and many at once: nothing lost, nothing damaged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linuxkit.base import digest as digests
from linuxkit.cli.main import main
from linuxkit.oci import fsck
from linuxkit.oci.image import closure, is_whole
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.images import image
from support.registry import running

SOURCE = Path(__file__).resolve().parents[2] / "src"
AMD = Platform("linux", "amd64")
ROUNDS = 200


@pytest.fixture
def site(tmp_path):
    origin = Store(tmp_path / "origin", sync=False)
    image(origin, "it", *[{f"f{n}": os.urandom(1 << 17)} for n in range(6)])
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


def forked(tmp_path, name: str) -> int:
    """A process that pulls, with everything loaded already: most of its life is the pull."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        words = ["cache", "pull", "--cache", str(tmp_path / "cache"), "-q", "--arch", "amd64"]
        status = main([*words, name])
    finally:
        os._exit(status)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path, site):
    dice = random.Random(7)
    name = f"{site.host}/it:1"
    # Here, so that all modules are loaded before a process is forked.
    assert main(["cache", "pull", "--cache", str(tmp_path / "cache"), "--arch", "amd64", name]) == 0
    folder = tmp_path / "cache/blobs/sha256"
    for blob in folder.iterdir():
        blob.unlink()
    begun = time.monotonic()
    assert os.waitpid(forked(tmp_path, name), 0)[1] == 0, (tmp_path / "output").read_text()
    longest_s, killed = time.monotonic() - begun, 0
    for turn in range(ROUNDS):
        store = Store(tmp_path / "cache", sync=False)
        store.remove_name(name)
        for blob in folder.iterdir():
            if dice.random() < 0.5:
                blob.unlink()
        store.release()
        one = forked(tmp_path, name)
        time.sleep(dice.uniform(0, longest_s))
        os.kill(one, signal.SIGKILL)
        was_killed = os.WIFSIGNALED(os.waitpid(one, 0)[1])
        killed += was_killed
        longest_s *= 1.03 if was_killed else 0.95  # how busy the machine is changes on the way: most are killed, not all
        check(store, name)
        if turn % 50 == 49:
            wrong = [each for each in fsck.check(store).findings if each.code != "LK0351"]
            assert wrong == []
    assert killed > ROUNDS / 4, "most pulls were over before"
    store.remove_name(name)
    assert os.waitpid(forked(tmp_path, name), 0)[1] == 0, (tmp_path / "output").read_text()
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
