"""What scripts/demo and scripts/test do before anything else, here without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from support.checkout import clone, environment, need_modules

pytestmark = pytest.mark.slow

HEAD = "set -euo pipefail; . scripts/setup.sh; "


def bash(folder, script: str, path: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run with standard input closed, from another folder."""
    env = environment(PIP_NO_INDEX="1", LINUXKIT_GUEST_ARCHES="amd64", **more)
    where = {"PATH": path or env["PATH"]}
    return subprocess.run(
        ["/bin/bash", "-c", f"cd {folder}; exec <&-; {HEAD}{script}"], cwd="/", env=env | where,
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path, need):
    need("git", "bash")
    need_modules("editables", "hatchling", "ziglang")
    return clone(tmp_path / "checkout")


def test_the_second_run_installs_nothing(checkout):
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdin=subprocess.DEVNULL)
    (packages,) = venv.glob("lib/python3*/site-packages")
    # Everything but our own package is there already: borrowed from the tests' environment.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = "make_venv lz4; command -v linuxkit; linuxkit version; python -c 'import linuxkit as l; print(l.__file__)'"

    first = bash(checkout, script)
    assert first.returncode == 0, first.stderr
    assert "making the virtual environment" in first.stderr
    program, _version, module = first.stdout.splitlines()[-3:]
    assert program == str(venv / "bin" / "linuxkit")
    assert module == str(checkout / "src" / "linuxkit" / "__init__.py")

    def installed() -> list[tuple[str, int]]:
        return [(p.name, p.stat().st_mtime_ns) for p in sorted(packages.iterdir())]

    before = installed()
    second = bash(checkout, script)
    assert (second.returncode, second.stderr) == (0, "")
    assert "amd64: up to date" in second.stdout
    assert installed() == before

    os.utime(checkout / "pyproject.toml")  # as after a change of it
    assert bash(checkout, "make_venv lz4").returncode == 0
    assert installed() != before

    (venv / "bin" / "python").unlink()  # a first run that was interrupted early
    os.utime(checkout / "pyproject.toml")
    assert bash(checkout, script).returncode == 0


@pytest.fixture
def host(tmp_path, need):
    """A search path of a few programs, where apt-get says what it is told, and id who we are."""
    need("dpkg-query")
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(user: int, sudo: str = ""):
        for name in ("bash", "dirname", "dpkg-query", "grep", "env"):
            (folder / name).symlink_to(shutil.which(name))
        programs = {"id": f"echo {user}", "apt-get": 'echo "$DEBIAN_FRONTEND apt-get $*" >&2'}
        if sudo:
            programs["sudo"] = 'echo "sudo $1" >&2; "$@"'
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)
        return str(folder)

    return make


NEW = "linuxkit-no-such-package"
UPDATE = "noninteractive apt-get update -qq"
INSTALL = f"noninteractive apt-get install -y -qq --no-install-recommends {NEW}"


@pytest.mark.parametrize(
    ("who", "status", "told"),
    [
        ((0,), 0, [f"installing: {NEW}", UPDATE, INSTALL]),
        ((1000, "sudo"), 0, [f"installing: {NEW}", "sudo env", UPDATE, "sudo env", INSTALL]),
        ((1000,), 1, [f"installing: {NEW}", "this needs root or sudo: env DEBIAN_FRONTEND=noninteractive apt-get update -qq"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_installed(checkout, host, who, status, told):
    done = bash(checkout, f"install_missing dpkg {NEW} bash", host(*who))
    assert (done.returncode, done.stderr.splitlines()) == (status, told)


def test_what_is_there_needs_no_root(checkout, host):
    done = bash(checkout, "install_missing dpkg bash; echo well", host(1000))
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")
