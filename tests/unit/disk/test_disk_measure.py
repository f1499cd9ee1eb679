"""Predicted measurements; tests/boot/test_boot_secure.py compares them with those of a TPM."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.disk import certificates, measure
from support import efi

MEASURE = "/lib/systemd/systemd-measure"


def registers(path, keys=None) -> dict[int, str]:
    with path.open("rb") as file:
        return {each.number: each.value for each in measure.predict(file, keys)}


def test_systemd_agrees_about_the_parts(tmp_path, need):
    need(MEASURE)
    image = efi.image(tmp_path / "a.efi")
    parts = {"linux": efi.linux(), "osrel": b"ID=x\nNAME=y\n", "cmdline": b"console=ttyS0", "initrd": b"I" * 99}
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    words = [f"--{name}={tmp_path / name}" for name in parts]
    done = subprocess.run([MEASURE, "calculate", *words, "--bank=sha256", "--phase="], capture_output=True, check=True, text=True)
    (value,) = re.findall(r"11:sha256=([0-9a-f]{64})", done.stdout)
    assert registers(image)[11] == value


def test_the_command_line_moves_what_it_should(tmp_path):
    first = registers(efi.image(tmp_path / "a.efi"))
    again = registers(efi.image(tmp_path / "b.efi"))
    other = registers(efi.image(tmp_path / "c.efi", cmdline="console=ttyS0 init=/bin/sh"))
    assert first == again
    assert {number for number in first if first[number] != other[number]} == {4, 9, 11}
    assert first[12] == "0" * 64


def test_the_stubs_own_mark_is_measured_too(tmp_path):
    first = registers(efi.image(tmp_path / "a.efi", sbat=b"sbat,1\n"))
    other = registers(efi.image(tmp_path / "b.efi", sbat=b"sbat,2\n"))
    assert first[11] != other[11]
    assert first[9] == other[9]


def test_a_machines_keys(tmp_path):
    image = efi.image(tmp_path / "a.efi")
    for name in "kl":
        certificates.create(tmp_path / name)
    first, other = (registers(image, certificates.of_folder(tmp_path / name)) for name in "kl")
    assert {number for number in first if first[number] != other[number]} == {7}


def test_a_signature_moves_nothing(tmp_path):
    from linuxkit.disk import authenticode

    image = efi.image(tmp_path / "a.efi")
    certificates.create(tmp_path / "k")
    keys = certificates.of_folder(tmp_path / "k")
    before = registers(image), registers(image, keys)
    with image.open("r+b") as file:
        authenticode.sign(file, certificates.signer(tmp_path / "k", "db"))
    assert (registers(image), registers(image, keys)) == before
    assert before[0][4] != before[1][4]


def test_what_is_no_image(tmp_path):
    for data in (b"", b"MZ" + bytes(100), efi.stub()):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(Error) as caught:
            registers(tmp_path / "x")
        assert caught.value.code == "LK0764"


A, B = "0a" * 32, "0b" * 32


@pytest.mark.parametrize(
    "text",
    [
        f"  sha256:\n    4 : 0x{A.upper()}\n    11: 0x{B.upper()}\n", f'{{"4": "{A}", "11": "{B}"}}',
        f"4: {A}\n11: {B}", f"pcr 4: {A}\npcr 11: {B}\n",
    ],
)  # fmt: skip
def test_what_guests_report(text):
    assert measure.reported(text) == {4: A, 11: B}


def test_what_is_no_report():
    with pytest.raises(Error) as caught:
        measure.reported(f"sha1:\n 11: 0x{'0a' * 20}\n")
    assert caught.value.code == "LK0778"


class TestCommand:
    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        efi.image(tmp_path / "a.efi")

    def run(self, *words: str) -> int:
        from linuxkit.cli.main import main

        return main(["measure", "a.efi", *words])

    def test_a_table(self, capsys):
        assert self.run() == 0
        lines = capsys.readouterr().out.splitlines()
        expected = registers(Path("a.efi"))
        assert [line.split()[:2] for line in lines[1:]] == [[str(n), v] for n, v in expected.items()]

    def test_compared(self, tmp_path, capsys):
        assert self.run("--json") == 0
        good = capsys.readouterr().out
        (tmp_path / "good").write_text(good)
        (tmp_path / "bad").write_text(good.replace(registers(tmp_path / "a.efi")[11], A))
        (tmp_path / "other").write_text(f"1: {A}")
        assert self.run("--check", "good") == 0
        assert self.run("--check", "bad") == 1
        said = capsys.readouterr().err
        assert "LK0780" in said
        assert "register 11" in said
        assert "register 9" not in said
        assert self.run("--check", "other") == 2
        assert self.run("--check", "none") == 2
