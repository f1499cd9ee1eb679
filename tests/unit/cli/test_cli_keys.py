"""The verb `keys`, and what `build` and `measure` say of them before they do anything."""

from __future__ import annotations

import functools
import json
import os
import struct
import subprocess

import pytest

from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates
from support import efi
from support.tools import need


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def keys(tmp_path):
    assert main(["keys", "new", "keys"]) == 0
    return tmp_path / "keys"


def test_new_keys_are_listed_and_kept(tmp_path, capsys):
    assert main(["keys", "new", "keys"]) == 0
    listed = capsys.readouterr().out.split()
    assert sorted(listed) == sorted(f"keys/{path.name}" for path in (tmp_path / "keys").iterdir())
    assert main(["keys", "new", "keys"]) == 2
    assert "LK0771" in capsys.readouterr().err


def test_programs_are_checked(keys, tmp_path, capsys):
    program = efi.image(tmp_path / "a.efi")
    assert main(["keys", "check", "keys", "a.efi"]) == 1
    assert "LK0773" in capsys.readouterr().err
    with program.open("r+b") as file:
        authenticode.sign(file, certificates.signer(keys, "db"))
    capsys.readouterr()
    assert main(["--json", "keys", "check", "keys", "a.efi"]) == 0
    assert json.loads(capsys.readouterr().out) == ["a.efi"]


def test_all_programs_of_a_disk_are_checked(keys, tmp_path, capsys):
    """Not the one alone that firmware starts: that starts the others."""
    signed, other = efi.image(tmp_path / "a.efi"), efi.image(tmp_path / "b.efi")
    with signed.open("r+b") as file:
        authenticode.sign(file, certificates.signer(keys, "db"))
    places = {"/EFI/systemd/loader.efi": other, "/EFI/BOOT/BOOTX64.EFI": signed, "/EFI/Linux/one.efi": other}
    disk(tmp_path / "disk.img", places)
    capsys.readouterr()
    assert main(["keys", "check", "keys", "disk.img"]) == 1
    told = capsys.readouterr().err
    assert told.count("LK0773") == 2
    assert all(f"disk.img::{path}: " in told for path, file in places.items() if file == other)
    disk(tmp_path / "disk.img", dict.fromkeys(places, signed))
    assert main(["keys", "check", "keys", "disk.img"]) == 0


def disk(path, files):
    """A disk of one FAT partition, as an MBR names it for UEFI, with these files."""
    first = 2048
    head = bytearray(512)
    struct.pack_into("<B3xB3xII", head, 446, 0, 0xEF, first, 8192)
    head[510:] = b"\x55\xaa"
    path.write_bytes(head)
    os.truncate(path, (first + 8192) * 512)
    image = f"{path}@@{first * 512}"
    run = functools.partial(subprocess.run, check=True, stdin=subprocess.DEVNULL)
    run([need("mformat"), "-i", image, "-T", "8192", "::"])
    for folder in ("EFI", "EFI/BOOT", "EFI/Linux", "EFI/systemd"):
        run([need("mmd"), "-i", image, f"::/{folder}"])
    for place, file in files.items():
        run([need("mcopy"), "-i", image, file, f"::{place}"])


@pytest.mark.parametrize("data", [b"", b"x" * 4096, b"x" * 512 + b"EFI PART" + bytes(5000)])
def test_what_firmware_would_not_start(keys, tmp_path, capsys, data):
    (tmp_path / "x").write_bytes(data)
    assert main(["keys", "check", "keys", "x"]) == 2
    assert "LK0779 x: " in capsys.readouterr().err


def test_without_keys(tmp_path, capsys):
    efi.image(tmp_path / "a.efi")
    assert main(["keys", "check", "none", "a.efi"]) == 2
    assert main(["keys", "enroll", "none"]) == 2
    assert main(["measure", "a.efi", "--keys", "none"]) == 2
    assert capsys.readouterr().err.count("LK0770") == 3
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--format", "tar"], "LK0775"), (["--format", "kernel+initrd,raw-bios"], "LK0775"),
        (["--o", "x.tar"], "LK0114"), (["--sign", "none"], "LK0770"),
    ],
)  # fmt: skip
def test_what_cannot_be_signed_is_said_before_any_work(keys, tmp_path, capsys, flags, code):
    (tmp_path / "a.yml").write_text("onboot: []\n")
    assert main(["build", "a.yml", "--sign", "keys", *flags]) == 2
    assert code in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
