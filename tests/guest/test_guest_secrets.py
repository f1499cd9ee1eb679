"""The program that hands secrets to a container, in a root of its own."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from linuxkit.base import platform
from support.tools import need

METADATA = "run/config/credentials"
FIRMWARE = "sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials"


@pytest.fixture
def root(build_guest, tmp_path):
    arch = platform.host().oci
    build_guest.build(arch)
    (tmp_path / "secrets").write_bytes((build_guest.DATA / arch / "secrets").read_bytes())
    (tmp_path / "secrets").chmod(0o755)
    (tmp_path / "own").mkdir()
    (tmp_path / METADATA).mkdir(parents=True)
    return tmp_path


def give(root, *names, folder="/own"):
    argv = [need("unshare"), "-r", "chroot", root, "/secrets", folder, str(0), str(0), *names]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def firmware(root, name, data):
    (root / FIRMWARE / name).mkdir(parents=True)
    (root / FIRMWARE / name / "raw").write_bytes(data)


def test_from_either_place_for_its_user_alone(root):
    (root / METADATA / "a").write_bytes(b"told\0\n")
    firmware(root, "a", b"not this one")
    firmware(root, "b.key", bytes(range(256)) * 100)
    done = give(root, "a", "b.key")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (root / "own/a").read_bytes() == b"told\0\n"
    assert (root / "own/b.key").read_bytes() == bytes(range(256)) * 100
    assert stat.S_IMODE((root / "own/a").stat().st_mode) == 0o400


def test_all_that_are_missing_are_told(root):
    (root / METADATA / "a").write_text("x")
    done = give(root, "one", "a", "two")
    assert done.returncode == 1
    assert done.stderr == "".join(f'the secret "{name}" was not given to this machine\n' for name in ("one", "two"))


def test_no_link_is_followed_and_nothing_is_replaced(root):
    (root / "shadow").write_text("x")
    (root / METADATA / "link").symlink_to("/shadow")
    assert "was not given" in give(root, "link").stderr
    (root / METADATA / "a").write_text("x")
    (root / "own/a").symlink_to("/shadow")
    assert "File exists" in give(root, "a").stderr
    (root / "own/a").unlink()
    (root / METADATA / "a").write_bytes(bytes(300_000))
    assert "File too large" in give(root, "a").stderr
    assert give(root, "a", folder="/nowhere").returncode == 1
    assert give(root).returncode == 1
    assert os.listdir(root / METADATA)
