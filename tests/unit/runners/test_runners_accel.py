from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from linuxkit.base import events
from linuxkit.runners import accel

QEMU = shutil.which("qemu-system-x86_64")


@pytest.fixture
def program(tmp_path):
    """A trial runs this instead of QEMU; the test says how it ends."""

    def make(script: str) -> Path:
        path = tmp_path / "emulator"
        path.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def kvm(tmp_path, monkeypatch):
    """A host on which the KVM device can be opened."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accel, "_KVM", device)
    monkeypatch.delenv("LINUXKIT_QEMU_ACCEL", raising=False)
    monkeypatch.setattr(accel, "host_arch", lambda: accel.find_arch("amd64"))
    return device


def test_the_user_is_believed(tmp_path, monkeypatch):
    nothing = tmp_path / "nothing"
    monkeypatch.setenv("LINUXKIT_QEMU_ACCEL", "kvm")
    assert accel.choose(nothing, "amd64", "tcg", tmp_path) == "tcg"
    assert accel.choose(nothing, "amd64", "", tmp_path) == "kvm"


@pytest.mark.parametrize(("script", "chosen"), [("exit 33", "kvm"), ("exit 1", "tcg"), ("kill -6 $$", "tcg")])
def test_the_trial_decides_and_is_remembered(program, kvm, tmp_path, script, chosen):
    told: list[events.Event] = []
    emulator = program(script)
    with events.reporting(told.append):
        for _ in range(3):
            assert accel.choose(emulator, "amd64", "", tmp_path / "cache") == chosen
    assert (tmp_path / "runs").read_text().count("run") == 1
    assert len(told) == (chosen == "tcg")


def test_a_hanging_guest_is_given_up(program, kvm, tmp_path, monkeypatch):
    monkeypatch.setattr(accel, "_LIMIT_S", 0.3)
    assert accel.choose(program("sleep 30"), "amd64", "", tmp_path / "cache") == "tcg"


def test_another_qemu_is_tried_anew(program, kvm, tmp_path):
    assert accel.choose(program("exit 1"), "amd64", "", tmp_path) == "tcg"
    assert accel.choose(program("exit 33 # newer"), "amd64", "", tmp_path) == "kvm"


def test_a_damaged_memory_is_no_memory(program, kvm, tmp_path):
    emulator = program("exit 33")
    for content in ("", "[]", "{}", json.dumps({"key": accel._key(emulator), "kvm": "yes"})):
        (tmp_path / "linuxkit").mkdir(exist_ok=True)
        (tmp_path / "linuxkit" / "acceleration.json").write_text(content)
        assert accel.choose(emulator, "amd64", "", tmp_path) == "kvm"


def test_a_cache_that_cannot_be_written_is_no_obstacle(program, kvm, tmp_path):
    (tmp_path / "cache").touch()
    assert accel.choose(program("exit 33"), "amd64", "", tmp_path / "cache") == "kvm"


def test_no_kvm_for_strangers(program, kvm, tmp_path, monkeypatch):
    assert accel.choose(program("exit 33"), "arm64", "", tmp_path) == "tcg"
    kvm.unlink()
    assert accel.choose(program("exit 33"), "amd64", "", tmp_path) == "tcg"
    assert not (tmp_path / "runs").exists()


@pytest.mark.boot
@pytest.mark.skipif(not QEMU, reason="QEMU is not installed")
def test_the_trial_guest_ends_itself_under_emulation():
    assert QEMU
    assert accel.works(Path(QEMU), "amd64", "tcg")


@pytest.mark.boot
@pytest.mark.skipif(not QEMU, reason="QEMU is not installed")
def test_a_guest_that_does_not_end_is_no_success(monkeypatch):
    assert QEMU
    loop = accel.TRIALS["amd64"]._replace(guest=bytes.fromhex("ebfe").ljust(510, b"\0") + b"\x55\xaa")
    monkeypatch.setitem(accel.TRIALS, "amd64", loop)
    assert not accel.works(Path(QEMU), "amd64", "tcg")


@pytest.mark.boot
@pytest.mark.skipif(not QEMU or not os.access("/dev/kvm", os.R_OK), reason="there is no KVM device")
def test_the_real_choice_is_one_that_works(tmp_path, monkeypatch):
    monkeypatch.delenv("LINUXKIT_QEMU_ACCEL", raising=False)
    assert QEMU
    chosen = accel.choose(Path(QEMU), "amd64", "", tmp_path)
    assert accel.works(Path(QEMU), "amd64", chosen)
