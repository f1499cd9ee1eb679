"""The card of the example starts on QEMU's Raspberry Pi 3, all of it taken from its image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from linuxkit import runners
from linuxkit.runners.options import Forward
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
