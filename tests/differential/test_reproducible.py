"""The same build in another folder, as another user, at another date: the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from linuxkit.build import artifact
from support import formats, nobody
from support.proofs import MADE, SAME

pytestmark = [pytest.mark.net, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
_CHECKED = "raw-verity"


class Command(NamedTuple):
    """One call of the tool: a system's name, its formats and architecture."""

    name: str
    formats: tuple[str, ...]
    arch: str = "amd64"


def _portable(names, without=()) -> tuple[str, ...]:
    return tuple(name for name in names if name not in formats.ONLY_AMD64 and name not in without)


# All formats, in as many commands as file names make it; the checked root wants another kernel.
BUILDS = (
    Command("web", tuple(name for name in formats.GROUPS[0] if name != _CHECKED)),
    Command("other", formats.GROUPS[1]),
    Command("full", (_CHECKED,)),
    Command("web64", _portable(formats.GROUPS[0], {_CHECKED}), "arm64"),
    Command("other64", _portable(formats.GROUPS[1]), "arm64"),
    Command("full64", (_CHECKED,), "arm64"),
    Command("card", formats.CARDS, "arm64"),
)
KERNELS = {(_CHECKED,): "@pkg:kernel-full", formats.CARDS: "@pkg:kernel-rpi"}
ENTRY = "from linuxkit.cli.main import entry; raise SystemExit(entry())"
# The tools get an environment of their own, so they are told of the other date there.
CLOCK = """
import os, time
from linuxkit.base import proc
plain, clock = proc._environment, {k: os.environ[k] for k in ("LD_PRELOAD", "FAKETIME", "DONT_FAKE_MONOTONIC")}
proc._environment = lambda env: {**plain(env), **clock}
assert time.gmtime().tm_year == 2031, time.gmtime()
assert proc.run(["date", "+%Y"]).stdout.strip() == b"2031"
"""


def write_files(folder: Path, yml: str) -> None:
    """The example under the name of each build."""
    text = (ROOT / "examples" / yml).read_text()
    text = text.replace("console=ttyS0", "console=ttyS0 linuxkit.version=1")  # raw-ab wants one
    for each in BUILDS:
        kernel = KERNELS.get(each.formats, "@pkg:kernel")
        (folder / f"{each.name}.yml").write_text(text.replace('"@pkg:kernel"', f'"{kernel}"'))


def words_of(each: Command, folder: Path, out: Path) -> list[str]:
    return ["build", "-f", ",".join(each.formats), "--arch", each.arch, "--dir", str(out),
            str(folder / f"{each.name}.yml")]  # fmt: skip


def build(cache: Path, out: Path, *, prefix=(), env=None, umask=0o022, words=(), before=""):
    """Run the command line as a user would; returns what came out, by name."""
    out.mkdir(parents=True, exist_ok=True)
    write_files(out.parent, "web.yml")
    full = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(env or {})}
    full.pop("LINUXKIT_CACHE", None)
    for each in BUILDS:
        argv = [*prefix, sys.executable, "-c", before + ENTRY, "--cache", str(cache),
                *words_of(each, out.parent, out), *words]  # fmt: skip
        done = subprocess.run(
            argv, cwd=out, env=full, umask=umask, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return sums(out)


def sums(out: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
    }


def prove_all(prove, by: str) -> None:
    for each in BUILDS:
        prove(each.formats, SAME, by, arch=each.arch)


def wanted(names) -> set[str]:
    return {name for name in names if not name.endswith(".json")}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Where everything was built, and what came out."""
    place = tmp_path_factory.mktemp("a")
    return place, build(place / "cache", place / "out")


def test_another_folder_time_zone_locale_and_umask_at_another_date(once, tmp_path, need, prove):
    need("faketime")
    place, first = once
    assert {
        "web.tar", "web-kernel", "web-initrd.img", "web-cmdline", "web-initrd.tar", "web.docker",
        "web-efi.img", "web-efi.iso", "web.qcow2", "web.vmdk", "web.img.tar.gz", "full-verity.img",
    } <= wanted(first)  # fmt: skip
    made = {name.removesuffix(".json").partition(".")[2] for name in first if name.endswith(".json")}
    assert set(formats.NAMES) <= made
    assert (place / "out" / "web-efi.img").stat().st_size <= 32 << 20
    (clock,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    odd = {
        "TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "HOME": "/",
        "LD_PRELOAD": str(clock), "FAKETIME": "@2031-05-06 07:08:09", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    there = tmp_path / "b b"
    # What was downloaded is handed over, for no server's certificate is good at that date.
    shutil.copytree(place / "cache" / "blobs", there / "cache" / "blobs")
    second = build(there / "cache", there / "out", env=odd, umask=0o077, before=CLOCK)
    assert first == second
    prove_all(prove, "folder")
    prove_all(prove, "date")
    for each in BUILDS:
        for form in each.formats:
            boot = artifact.load(there / "out" / f"{each.name}.{form}.json").boot
            prove(form, MADE, boot.firmware if boot else "", arch=each.arch)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_nobody_builds_the_same_without_any_privilege(once, prove):
    place, first = once
    with nobody.home(blobs=place / "cache" / "blobs") as theirs:
        assert first == build_as_nobody(theirs)
    prove_all(prove, "user")


def build_as_nobody(home: Path):
    write_files(home, "web.yml")
    for each in BUILDS:
        words = words_of(each, home, home / "out")
        nobody.run(home, ENTRY, "--cache", str(home / "cache"), *words)
    return sums(home / "out")


def test_offline_builds_what_was_fetched_and_lists_what_was_not(once, tmp_path):
    place, first = once
    cache = place / "cache"
    no_network = ["unshare", "--net", "--"] if os.geteuid() == 0 else []
    again = build(cache, tmp_path / "two" / "out", words=["--offline"], prefix=no_network)
    assert first == again
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    argv = [*no_network, sys.executable, "-c", ENTRY, "--cache", str(cache), "build",
            "--arch", "amd64", "--offline", "--dir", str(tmp_path),
            str(ROOT / "examples" / "redis.yml")]  # fmt: skip
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "LK0402" in done.stderr
    assert "missing: redis-server" in done.stderr
    assert not list(tmp_path.glob("redis*"))
