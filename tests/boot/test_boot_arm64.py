"""Built here for arm64, booted by an emulator of arm64."""

from __future__ import annotations

from pathlib import Path

import pytest

from linuxkit.runners.options import Forward
from support.machines import fetch_page, free_port
from support.proofs import BOOTED, DIRECT

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
BOOT_S = 300


def test_web_example_answers_on_arm64(need, workshop, prove):
    need("qemu-system-aarch64")
    answers(workshop, (EXAMPLES / "web.yml").read_text())
    prove("kernel+initrd", BOOTED, DIRECT, arch="arm64")


def test_web_example_answers_on_our_kernel_for_arm64(need, workshop):
    need("qemu-system-aarch64")
    yml = (EXAMPLES / "web.yml").read_text()
    assert '"@pkg:kernel"' in yml
    answers(workshop, yml.replace('"@pkg:kernel"', '"@pkg:kernel-hardened"'))


def answers(workshop, yml):
    """Boot the web example and fetch its page."""
    yml = yml.replace("console=ttyS0", "console=ttyAMA0")
    assert "ttyAMA0" in yml
    port = free_port()
    artifact = workshop.build(yml, arch="arm64")
    assert artifact.arch == "arm64"
    with workshop.boot(artifact, forwards=(Forward(port, 80),)) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        assert b"It works" in fetch_page(f"http://127.0.0.1:{port}/", 60)
        machine.poweroff()
        result = machine.wait(120)
        assert (result.status, result.power) == (0, "poweroff"), result
        assert b"aarch64" in machine.console or b"Booting Linux on physical CPU" in machine.console
