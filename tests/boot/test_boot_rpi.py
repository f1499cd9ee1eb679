"""Cards start on QEMU's Raspberry Pi 3: what lies on them, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from linuxkit import runners
from linuxkit.runners.options import Forward
from support.foreign import run
from support.machines import fetch_page, free_port
from support.proofs import BOOTED, PI

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "rpi.yml"
LOOK = """\
onboot:
  - name: board
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "tr '\\\\0' '\\\\n' < /host/sys/firmware/devicetree/base/model && grep mmcblk0p1 /host/proc/partitions"]
    binds: ["/:/host:ro"]
    profile: compat
"""
BOOT_S = 400


def test_a_card_starts_a_raspberry_pi_3(need, workshop, tmp_path, prove):
    need("qemu-system-aarch64", "mcopy")
    yml = EXAMPLE.read_text()
    assert yml.count("\nonboot:\n") == 1
    artifact = workshop.build(yml.replace("onboot:\n", LOOK, 1), arch="arm64", form="rpi")
    card = tmp_path / "alone.img"  # nothing beside it says what it is
    shutil.copy(artifact.path("disk"), card)
    before = card.read_bytes()
    port = free_port()
    found = runners.locate(card, "arm64")
    chosen = {"machine": "raspi3b", "memory_mib": 1024, "forwards": (Forward(port, 80),)}
    with workshop.boot(found, state=tmp_path / "state", **chosen) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        assert b"It works" in fetch_page(f"http://127.0.0.1:{port}/", BOOT_S)
        machine.poweroff()
        result = machine.wait(120)
    assert (result.status, result.power, result.failed) == (0, "poweroff", ()), result
    console = machine.console
    assert b"Raspberry Pi 3 Model B" in console
    assert b"mmcblk0p1" in console
    assert b"linuxkit: going down: poweroff" in console
    told = {(record.name, record.state) for record in result.records}
    assert {("onboot/000-board", "exited"), ("services/dhcpcd", "running"), ("services/nginx", "running")} <= told
    assert card.read_bytes() == before
    prove("rpi", BOOTED, f"{PI}, in QEMU without its firmware", arch="arm64")


SMALL = """\
kernel: {image: "@pkg:kernel-rpi", cmdline: "loglevel=1 panic=10"}
init: ["@pkg:init", "@pkg:crun"]
onboot:
  - {name: one, image: "@pkg:busybox", command: [/bin/echo, here I am]}
"""
MIB = 1 << 20


def write_card(files: Path, card: Path) -> None:
    """What a user does with upstream's archive: a card with one FAT partition, and the files on it."""
    with card.open("wb") as out:
        out.truncate(128 * MIB)
    run("sfdisk", "--quiet", card, input=b"start=2048, type=c\n")
    run("mkfs.vfat", "-F", "32", "--offset", "2048", card, str(127 * 1024))
    run("mcopy", "-s", "-i", f"{card}@@{MIB}", *sorted(files.iterdir()), "::")


def test_u_boot_starts_upstreams_card(need, workshop, tmp_path, prove):
    """U-Boot finds its script on the card; init tells of its units on the serial line."""
    need("qemu-system-aarch64", "mcopy", "sfdisk", "mkfs.vfat", "tar")
    artifact = workshop.build(SMALL, arch="arm64", form="rpi3")
    files, card, console = tmp_path / "files", tmp_path / "card.img", tmp_path / "console"
    files.mkdir()
    run("tar", "-xf", artifact.path("tar"), "-C", files)
    write_card(files, card)
    argv = [
        "qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
        "-machine", "raspi3b", "-kernel", files / "u-boot.bin",  # the firmware would load these two
        "-dtb", files / "dtb" / "broadcom" / "bcm2837-rpi-3-b.dtb",
        "-drive", f"if=sd,format=raw,file={card}", "-serial", "null", "-serial", f"file:{console}",
    ]  # fmt: skip
    machine = subprocess.Popen(argv)
    try:
        deadline = time.monotonic() + 2 * BOOT_S
        while b"linuxkit: up after" not in (console.read_bytes() if console.exists() else b""):
            assert machine.poll() is None
            assert time.monotonic() < deadline, console.read_bytes()[-2000:]
            time.sleep(0.5)
    finally:
        machine.kill()
        machine.wait()
    said = console.read_bytes()
    for line in (b"with script", b"Starting kernel", b"[000-one] here I am", b"linuxkit: onboot/000-one exited"):
        assert line in said
    prove("rpi3", BOOTED, f"{PI}, in QEMU without its firmware", arch="arm64")
