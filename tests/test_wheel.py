"""The wheel: whole, the same from every folder, and of use where there is no checkout."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from linuxkit.base.resources import guest
from support.checkout import ROOT, call, clone, environment, need_modules
from support.machines import cache_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
SHIPPED = ("packages", "examples", "prebuilt", "tools")
OFFLINE = ["--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"]


def build_wheel(checkout: Path, out: Path, **more: str) -> Path:
    env = environment(LINUXKIT_GUEST_ARCHES="amd64", **more)
    call(*PIP, "wheel", *OFFLINE, "-w", out, checkout, env=env)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    need_modules("hatchling", "pip", "ziglang")
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(clone(folder / "checkout"), folder / "out")


@pytest.fixture(scope="module")
def venv(wheel, tmp_path_factory):
    """A fresh environment; what the wheel depends on is borrowed from the tests' own."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    call(*PIP, "--python", folder / "bin" / "python", "install", *OFFLINE, wheel)
    (packages,) = folder.glob("lib/python3*/site-packages")
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # A line here is a folder to import from and no more: the links of editable installs that may
    # be in it stay unread, so that the checkout cannot be imported.
    (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in sorted(borrowed)))
    return folder


def test_what_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        members = {info.filename: info for info in archive.infolist()}
    tracked = call("git", "-C", ROOT, "ls-files", *SHIPPED, "src/linuxkit").split()
    expected = {
        re.sub(rf"^({'|'.join(SHIPPED)})/", r"linuxkit/data/\1/", name).removeprefix("src/")
        for name in tracked if (ROOT / name).exists()
    }  # fmt: skip
    programs = (
        "chainload", "confine", "ctr-runtime", "init", "learn", "logs", "metadata", "secrets", "service", "stage",
        "vmm", "vsudd",
    )  # fmt: skip
    expected |= {f"linuxkit/data/guest/amd64/{name}" for name in programs}
    about = {name for name in members if ".dist-info/" in name}
    assert set(members) - about == expected
    assert {name.split("/", 1)[1] for name in about} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE",
    }  # fmt: skip
    for name, info in members.items():
        mode = stat.S_IMODE(info.external_attr >> 16)
        assert mode == (0o755 if name.startswith("linuxkit/data/guest/") else 0o644), name


def test_the_same_bytes_from_another_folder(wheel, tmp_path):
    checkout = clone(tmp_path / "a folder" / "with another name")
    for path in checkout.rglob("*"):
        os.utime(path, (1, 1))
    leftover = checkout / "src/linuxkit/data/guest/arm64/init"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("of an earlier build")
    again = build_wheel(checkout, tmp_path / "out", TZ="Asia/Tokyo", LC_ALL="C")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_the_checkout_is_not_what_runs(venv, tmp_path):
    script = "import linuxkit.base.resources as r; print(r.__file__, r.packages(), r.examples())"
    for path in call(venv / "bin" / "python", "-c", script, cwd=tmp_path).split():
        assert Path(path).is_relative_to(venv)


def test_commands(venv, tmp_path):
    linuxkit = venv / "bin" / "linuxkit"
    about = call(linuxkit, "version", cwd=tmp_path)
    assert re.match(r"linuxkit \d+\.\d+", about)
    assert call(linuxkit, "new", "web") == (ROOT / "examples" / "web.yml").read_text()
    names = {line.split()[0] for line in call(linuxkit, "pkg", "ls").splitlines()}
    assert names == {path.parent.name for path in ROOT.glob("packages/*/build.yml")}


def test_a_package_from_nothing_but_the_wheel(venv, tmp_path):
    words = ("pkg", "build", "--arch", "amd64", "init", "--cache", tmp_path / "store")
    made = call(venv / "bin" / "linuxkit", *words, cwd=tmp_path)
    assert made.startswith("linuxkit.stock/init:")


@pytest.mark.net
def test_building_gives_what_the_checkout_gives(venv, tmp_path, tmp_path_factory):
    cache = cache_folder(tmp_path_factory.mktemp("cache"))
    if not guest("amd64", "init").exists():
        call(sys.executable, ROOT / "scripts" / "build_guest.py", "amd64")
    here = [sys.executable, "-c", "from linuxkit.cli.main import entry; entry()"]
    outputs = []
    for place, program in (("wheel", [venv / "bin" / "linuxkit"]), ("checkout", here)):
        folder = tmp_path / place
        folder.mkdir()
        env = environment(PYTHONPATH=str(ROOT / "src")) if place == "checkout" else environment()
        (folder / "minimal.yml").write_text(call(*program, "new", "minimal", env=env))
        words = ("build", "--arch", "amd64", "--cache", cache, "minimal.yml")
        call(*program, *words, cwd=folder, env=env)
        outputs.append(
            {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
        )
    assert len(outputs[0]) == 5
    assert outputs[0] == outputs[1]
