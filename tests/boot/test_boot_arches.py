"""Built here for riscv64 and s390x, booted by emulators of them, which load the kernel themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from linuxkit.runners.options import Forward
from support.machines import exited, fetch_page, free_port

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
BOOT_S = 400
# The kernel and the runtime that mirrors have for s390x: docs/decisions/0043.
ON_S390X = """\
kernel: {image: "@pkg:kernel", cmdline: "console=ttysclp0 quiet panic=-1"}
init: ["@pkg:init", "@pkg:runc"]
onboot:
  - {name: sysctl, image: "@pkg:sysctl"}
  - {name: dhcp, image: "@pkg:udhcpc", command: ["/usr/bin/udhcpc.sh", "-1"]}
services:
  - {name: nginx, image: "@pkg:nginx"}
  - name: fetch
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "until wget -q -T 5 -O - http://127.0.0.1/ | grep nginx; do sleep 0.2; done"]
    net: host
"""


def test_web_example_answers_on_riscv64(need, workshop):
    need("qemu-system-riscv64")
    yml = (EXAMPLES / "web.yml").read_text()
    artifact = workshop.build(yml, arch="riscv64", name="web-riscv64")
    port = free_port()
    with workshop.boot(artifact, forwards=(Forward(port, 80),)) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        assert b"It works" in fetch_page(f"http://127.0.0.1:{port}/", 90)
        machine.poweroff()
        result = machine.wait(180)
        assert (result.status, result.power) == (0, "poweroff"), result
        assert b"riscv" in machine.console


def test_steps_run_and_a_page_is_served_on_s390x(need, workshop):
    """To a client in the machine: from outside no TCP gets through QEMU 7.2 (docs/decisions/0043)."""
    need("qemu-system-s390x")
    artifact = workshop.build(ON_S390X, arch="s390x", name="system-s390x")
    with workshop.boot(artifact) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        assert exited(machine) == ["sysctl", "dhcp"]  # the second one has a lease
        assert machine.wait_unit("services/fetch", "exited", timeout_s=180).status == 0
        machine.poweroff()
        result = machine.wait(180)
        assert b"] <p>This page comes from nginx" in machine.console
        assert (result.status, result.power) == (0, "poweroff"), result
