"""Builds of systems and of packages, all at once on one cache that has nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linuxkit.base import digest as digests
from linuxkit.cli.main import main

SOURCE = Path(__file__).resolve().parents[2] / "src"
PROCESSES = 8
YAML = """
init: ["@pkg:init", "@pkg:crun"]
onboot: [{name: one, image: "@pkg:getty"}]
"""


def started(cache: Path, *words: str) -> subprocess.Popen[bytes]:
    program = "import sys; from linuxkit.cli.main import main; sys.exit(main(sys.argv[1:]))"
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "LINUXKIT_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.net
@pytest.mark.slow
def test_eight_builds_and_eight_packages_at_once(tmp_path):
    cache = tmp_path / "cache"
    (tmp_path / "x.yml").write_text(YAML)
    many = []
    for n in range(PROCESSES):
        folder = tmp_path / str(n)
        folder.mkdir()
        words = ["build", "-f", "tar", "--dir", str(folder), str(tmp_path / "x.yml")]
        many.append(started(cache, *words))
        many.append(started(cache, "pkg", "build", "init", "crun", "getty", "busybox"))
    outputs = [each.communicate()[0].decode() for each in many]
    assert [each.returncode for each in many] == [0] * len(many), "\n".join(outputs)
    made = {digests.of_bytes((tmp_path / str(n) / "x.tar").read_bytes()) for n in range(PROCESSES)}
    assert len(made) == 1
    assert main(["cache", "--cache", str(cache), "fsck"]) == 0
    for word in (["gc", "--keep", "0", "--grace", "0"], ["fsck"]):
        assert main(["cache", "--cache", str(cache), *word]) == 0
