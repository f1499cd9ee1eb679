"""The same build in another folder, as another user, in another time zone: the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import formats, nobody

pytestmark = [pytest.mark.net, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
# All formats, in as many commands as file names make it; the checked root wants another kernel.
_CHECKED = "raw-verity"
BUILDS = (
    ("web", [name for name in formats.GROUPS[0] if name != _CHECKED]),
    ("other", list(formats.GROUPS[1])),
    ("full", [_CHECKED]),
)


def write_files(folder: Path, yml: str) -> None:
    """The example under the name of each build."""
    text = (ROOT / "examples" / yml).read_text()
    text = text.replace("console=ttyS0", "console=ttyS0 linuxkit.version=1")  # raw-ab wants one
    for name, _ in BUILDS:
        kernel = "@pkg:kernel-full" if name == "full" else "@pkg:kernel"
        (folder / f"{name}.yml").write_text(text.replace('"@pkg:kernel"', f'"{kernel}"'))


def build(cache: Path, out: Path, *, prefix=(), env=None, umask=0o022, yml="web.yml", words=()):
    """Run the command line as a user would; returns what came out, by name."""
    out.mkdir(parents=True, exist_ok=True)
    write_files(out.parent, yml)
    program = "from linuxkit.cli.main import entry; raise SystemExit(entry())"
    full = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(env or {})}
    full.pop("LINUXKIT_CACHE", None)
    for name, names in BUILDS:
        argv = [*prefix, sys.executable, "-c", program, "--cache", str(cache), "build",
                "-f", ",".join(names), "--arch", "amd64", "--dir", str(out), *words,
                str(out.parent / f"{name}.yml")]  # fmt: skip
        done = subprocess.run(
            argv, cwd=out, env=full, umask=umask, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
    }


def wanted(names) -> set[str]:
    return {name for name in names if not name.endswith(".json")}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Where everything was built, and what came out."""
    place = tmp_path_factory.mktemp("a")
    return place, build(place / "cache", place / "out")


def test_another_folder_time_zone_locale_and_umask(once, tmp_path):
    place, first = once
    assert {
        "web.tar", "web-kernel", "web-initrd.img", "web-cmdline", "web-initrd.tar", "web.docker",
        "web-efi.img", "web-efi.iso", "web.qcow2", "web.vmdk", "web.img.tar.gz", "full-verity.img",
    } <= wanted(first)  # fmt: skip
    made = {name.removesuffix(".json").partition(".")[2] for name in first if name.endswith(".json")}
    assert set(formats.NAMES) <= made
    assert (place / "out" / "web-efi.img").stat().st_size <= 32 << 20
    odd = {"TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "HOME": "/"}
    second = build(
        tmp_path / "b b" / "cache", tmp_path / "b b" / "out", env=odd, umask=0o077
    )
    assert first == second


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_nobody_builds_the_same_without_any_privilege(once):
    place, first = once
    with nobody.home(blobs=place / "cache" / "blobs") as theirs:
        assert first == build_as_nobody(theirs)


def build_as_nobody(home: Path):
    write_files(home, "web.yml")
    for name, names in BUILDS:
        nobody.run(
            home, "from linuxkit.cli.main import entry; raise SystemExit(entry())",
            "--cache", str(home / "cache"), "build", "-f", ",".join(names), "--arch", "amd64",
            "--dir", str(home / "out"), str(home / f"{name}.yml"),
        )  # fmt: skip
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((home / "out").iterdir())
    }


def test_offline_builds_what_was_fetched_and_lists_what_was_not(once, tmp_path):
    place, first = once
    cache = place / "cache"
    no_network = ["unshare", "--net", "--"] if os.geteuid() == 0 else []
    again = build(cache, tmp_path / "two" / "out", words=["--offline"], prefix=no_network)
    assert first == again
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    program = "from linuxkit.cli.main import entry; raise SystemExit(entry())"
    argv = [*no_network, sys.executable, "-c", program, "--cache", str(cache), "build",
            "--arch", "amd64", "--offline", "--dir", str(tmp_path),
            str(ROOT / "examples" / "redis.yml")]  # fmt: skip
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "LK0402" in done.stderr
    assert "missing: redis-server" in done.stderr
    assert not list(tmp_path.glob("redis*"))
