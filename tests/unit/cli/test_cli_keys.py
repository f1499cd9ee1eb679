"""The verb `keys`, and what `build` and `measure` say of them before they do anything."""

from __future__ import annotations

import json

import pytest

from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates
from support import efi


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


@pytest.mark.parametrize("data", [b"", b"x" * 4096, b"x" * 512 + b"EFI PART" + bytes(5000)])
def test_what_firmware_would_not_start(keys, tmp_path, capsys, data):
    (tmp_path / "x").write_bytes(data)
    assert main(["keys", "check", "keys", "x"]) == 2
    assert "LK0779" in capsys.readouterr().err


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
