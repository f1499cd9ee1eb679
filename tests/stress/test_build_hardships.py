"""Builds that are killed, starved of disk or memory, or run many at a time."""

from __future__ import annotations

import itertools
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import linuxkit
from linuxkit.tree.entry import Entry, Kind
from support.images import archive, image

pytestmark = pytest.mark.timeout(300)

PROGRAM = "from linuxkit.cli.main import entry; raise SystemExit(entry())"
# The process's own peak; what wait4(2) tells includes its parent's memory before exec.
MEASURED = """
import atexit, sys
from linuxkit.cli.main import entry
atexit.register(lambda: sys.stderr.write(open("/proc/self/status").read()))
raise SystemExit(entry())
"""
YML = """\
kernel: {image: "lk/kernel:1", cmdline: "console=ttyS0"}
init: ["lk/init:1"]
files: [{path: etc/x, contents: "x"}]
"""


class Zeros:
    """Content that is large and costs nothing to keep."""

    def __init__(self, size: int) -> None:
        self.size = size

    def chunks(self):
        left = self.size
        rng = random.Random(0)
        block = rng.randbytes(1 << 19) + bytes(1 << 19)
        while left:
            yield block[: min(left, 1 << 20)]
            left -= min(left, 1 << 20)


@pytest.fixture
def cache(tmp_path):
    root = tmp_path / "cache"
    store = linuxkit.open_store(root)
    kernel = {"kernel": os.urandom(3_000_000), "kernel.tar": archive({"lib/": "", "lib/m": "m"})}
    image(store, "docker.io/lk/kernel:1", kernel)
    files = {f"d{n}/": "" for n in range(20)}
    files |= {f"d{n % 20}/f{n}": os.urandom(5000) for n in range(600)}
    image(store, "docker.io/lk/init:1", {"init": "#!/bin/sh", **files})
    return root


def command(cache: Path, out: Path, *words: str) -> list[str]:
    yml = out / "in.yml"
    yml.write_text(YML)
    return [sys.executable, "-c", PROGRAM, "--cache", str(cache), "build", "--arch", "amd64",
            "--dir", str(out), "--name", "t", *words, str(yml)]  # fmt: skip


def outputs(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name.startswith(("t.", "t-"))}


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def test_a_killed_build_harms_no_later_one(cache, tmp_path):
    reference = tmp_path / "reference"
    shutil.copytree(cache, reference)
    good = folder(tmp_path, "good")
    began = time.monotonic()
    subprocess.run(command(reference, good), check=True, capture_output=True)
    length = time.monotonic() - began
    rng = random.Random(1)
    killed = 0
    for number in itertools.count():
        if number >= 25 and killed > 5:
            break
        out = folder(tmp_path, f"out{number}")
        if number % 5 == 0:  # from the beginning now and then
            shutil.rmtree(cache / "linuxkit" / "derived", ignore_errors=True)
        child = subprocess.Popen(command(cache, out), stderr=subprocess.DEVNULL)
        try:
            child.wait(rng.uniform(0.05, length))
            length *= 0.8  # the machine has become quicker, or there was less to do
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            killed += 1
        child.wait()
        for name, data in outputs(out).items():  # a name that is there is a whole file
            assert data == outputs(good)[name], name
    last = folder(tmp_path, "last")
    subprocess.run(command(cache, last), check=True, capture_output=True)
    assert outputs(last) == outputs(good)


def test_eight_builds_at_once(cache, tmp_path):
    folders = [folder(tmp_path, f"at-once{n}") for n in range(8)]
    children = [
        subprocess.Popen(command(cache, out), stderr=subprocess.PIPE, text=True) for out in folders
    ]
    for child in children:
        _, said = child.communicate(timeout=120)
        assert child.returncode == 0, said
    first, *others = map(outputs, folders)
    assert all(other == first for other in others)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(cache, tmp_path):
    small = folder(tmp_path, "small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        done = subprocess.run(command(cache, small), capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.count("error:") == 1
        assert "LK0102" in done.stderr
        assert "No space left" in done.stderr
        assert "the disk is full" in done.stderr
        assert outputs(small) == {}
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.root
@pytest.mark.net
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_disk_that_packages_fill_is_no_defect(tmp_path):
    small, yml = folder(tmp_path, "small"), tmp_path / "in.yml"
    yml.write_text('init: ["@pkg:crun"]\n')
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], check=True)
    try:
        words = [sys.executable, "-c", PROGRAM, "--cache", str(small / "cache"), "fetch", str(yml)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"LK0102 {yml}:1:8: cannot make crun in {small}/cache: No space left" in done.stderr
        assert "hint: the disk is full" in done.stderr
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount read-only")
def test_a_read_only_cache_serves_and_says_when_it_cannot(cache, tmp_path):
    out = folder(tmp_path, "out")
    view = folder(tmp_path, "view")
    subprocess.run(["mount", "--bind", cache, view], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", view], check=True)
        done = subprocess.run(command(view, out), capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "LK0102" in done.stderr
        assert "LINUXKIT_CACHE" in done.stderr
        assert outputs(out) == {}
        subprocess.run(command(cache, out), check=True, capture_output=True)  # now it is warm
        first = outputs(out)
        subprocess.run(command(view, out), check=True, capture_output=True)
        assert outputs(out) == first
    finally:
        subprocess.run(["umount", view], check=True)


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_size(cache, tmp_path):
    store = linuxkit.open_store(cache)
    big = Entry("big", Kind.FILE, 0o644, content=Zeros(400 << 20))
    write_large(store, tmp_path, big)
    out = folder(tmp_path, "out")
    python, flag, _, *words = command(cache, out, "-f", "tar,kernel+initrd")
    done = subprocess.run(
        [python, flag, MEASURED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (out / "t.tar").stat().st_size > 400 << 20
    peak_kib = int(re.search(r"VmHWM:\s+(\d+) kB", done.stderr)[1])
    assert peak_kib < 256 * 1024


def write_large(store, tmp_path, entry) -> None:
    from linuxkit.base import digest
    from linuxkit.oci.image import Layer, write_image
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.tree import tar

    plain = tmp_path / "layer.tar"
    with plain.open("wb") as out:
        tar.write([entry], out)
    with plain.open("rb") as source, store.writer() as blob:
        while chunk := source.read(1 << 20):
            blob.write(chunk)
    layer = Descriptor("application/vnd.oci.image.layer.v1.tar", blob.digest, blob.size)
    made = write_image(
        store, platform=Platform("linux", "amd64"), layers=[Layer(layer, digest.Digest(blob.digest))]
    )
    store.set_name("docker.io/lk/init:1", made)


def test_a_process_that_may_open_few_files(cache, tmp_path):
    out = folder(tmp_path, "out")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    done = subprocess.run(command(cache, out), capture_output=True, check=False, preexec_fn=limit)
    assert done.returncode == 0, done.stderr
