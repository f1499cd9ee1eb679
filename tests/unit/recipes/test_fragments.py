"""The parts of our kernels' configurations: put together alike for people and for the build."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from linuxkit.base import platform
from linuxkit.base.errors import Error
from linuxkit.recipes import fragments

CONFIG = fragments.folder()
FLAVOURS = tuple(fragments.flavours(CONFIG))
BOTH = [(flavour, arch) for flavour in FLAVOURS for arch in platform.names()]


def as_config(line):
    return f"# CONFIG_{line.name} is not set" if line.value == "n" else (
        f"CONFIG_{line.name}={line.value}"
    )  # fmt: skip


@pytest.mark.parametrize(("flavour", "arch"), BOTH)
def test_the_build_merges_as_we_do(flavour, arch, tmp_path):
    """As far as the shared parts go, and with what a package adds by itself as its build.yml does."""
    ours = [as_config(line) for line in fragments.read(CONFIG, arch, flavour)]
    shutil.copytree(CONFIG.parent, tmp_path / "recipe")
    own = CONFIG.parents[2] / f"kernel-{flavour}" / "kernel.config"
    if own.exists():
        with (tmp_path / "recipe" / "config" / arch / f"{flavour}.config").open("a") as last:
            last.write(own.read_text())
    argv = ["sh", tmp_path / "recipe" / "merge.sh", arch, flavour]
    theirs = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert theirs.splitlines() == ours
    assert len(ours) > 300


def test_every_line_of_every_part_has_a_reason_and_is_used():
    """fragments.read refuses lines without one; here: no part that no flavour has."""
    read = {line.place.split(":")[0] for flavour, arch in BOTH
            for line in fragments.read(CONFIG, arch, flavour)}  # fmt: skip
    there = {path.relative_to(CONFIG).as_posix() for path in CONFIG.rglob("*.config")}
    there |= {path.relative_to(CONFIG.parents[2]).as_posix()
              for path in CONFIG.parents[2].glob("*/kernel.config")}  # fmt: skip
    assert there == read


@pytest.fixture
def parts(tmp_path):
    return shutil.copytree(CONFIG, tmp_path / "kernel-any" / "kernel" / "config")


@pytest.mark.parametrize(
    "line", ["CONFIG_A=y", "CONFIG_A=y # ", "CONFIG_A=y #why", "A=y  # why", "CONFIG_A  # why"]
)
def test_a_line_without_a_reason_is_refused(parts, line):
    with (parts / "flavour" / "cloud.config").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(Error) as caught:
        fragments.read(parts, "amd64", "cloud")
    assert caught.value.code == "LK0571"
    assert "flavour/cloud.config:" in caught.value.message


def test_the_last_line_about_a_symbol_counts(parts):
    (parts / "amd64" / "cloud.config").write_text('CONFIG_LSM="x # y"  # why\nCONFIG_PCI=n # no\n')
    found = {line.name: line for line in fragments.read(parts, "amd64", "cloud")}
    assert found["LSM"].value == '"x # y"'
    assert found["PCI"] == ("PCI", "n", "no", "amd64/cloud.config", 2)
    assert found["PCI"].place == "amd64/cloud.config:2"
    argv = ["sh", shutil.copy(CONFIG.parent / "merge.sh", parts.parent), "amd64", "cloud"]
    merged = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert 'CONFIG_LSM="x # y"' in merged
    assert "# CONFIG_PCI is not set" in merged


def test_unknown_flavours_are_refused():
    with pytest.raises(Error) as caught:
        fragments.read(CONFIG, "amd64", "clowd")
    assert caught.value.code == "LK0570"
    assert "cloud" in caught.value.hint


def test_a_request_that_is_not_met_fails_the_build(tmp_path):
    script = CONFIG.parent / "compare.sh"
    asked, final = tmp_path / "asked", tmp_path / "final"
    asked.write_text('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n# CONFIG_GONE is not set\n')
    final.write_text('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\nCONFIG_MORE=y\n')
    subprocess.run(["sh", script, asked, final], check=True)
    final.write_text('CONFIG_AB=y\nCONFIG_B=y\nCONFIG_C="y"\n')
    done = subprocess.run(
        ["sh", script, asked, final], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == [
        "CONFIG_A: asked for y, got n",
        "CONFIG_B: asked for n, got y",
        'CONFIG_C: asked for "x", got "y"',
    ]
