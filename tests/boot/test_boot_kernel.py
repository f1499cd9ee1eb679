"""Our own kernels: they boot, they are lean, and attacks on them are refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import linuxkit
from linuxkit.recipes import hardening, prebuilt
from linuxkit.recipes.stock import Shelf
from linuxkit.runners.options import Forward
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import image
from support.machines import fetch_page, free_port

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
LEAN = HERE.parents[1] / "examples" / "lean.yml"
BOOT_S = 420
DEVICES = (
    "[{path: /dev/mem, type: c, major: 1, minor: 1, mode: '0600'},"
    " {path: /dev/port, type: c, major: 1, minor: 4, mode: '0600'}]"
)
YML = """\
kernel:
  image: "@pkg:KERNEL"
  cmdline: "console=ttyS0 CMDLINE"
init: ["@pkg:init", "@pkg:crun-static"]
onboot:
"""
DRILLS = (
    YML
    + f"""\
  - {{name: sysctl, image: "@pkg:sysctl"}}
  - name: root
    image: "lk/drills:1"
    command: [/drills, root]
    capabilities: [all]
    pid: host
    net: host
    ipc: host
    devices: {DEVICES}
  - {{name: service, image: "lk/drills:1", command: [/drills, service], readonly: true}}
"""
)
MINIMAL = YML.replace("onboot:\n", "") + (
    'services: [{name: first, image: "@pkg:busybox", command: [/bin/sh, -c, sleep 1000]}]\n'
)


def text(yml: str, kernel: str) -> str:
    return yml.replace("KERNEL", kernel).replace("CMDLINE", hardening.cmdline())


# Another lock than ours means other kernels, which nobody waits for here.
KERNELS = [
    kernel for kernel in ("kernel-microvm", "kernel-hardened")
    if prebuilt.path(Shelf().reference(kernel, "amd64"), "amd64").is_file()
]  # fmt: skip


@pytest.fixture
def drills(tmp_path, workshop, need):
    """The image of the program that attacks."""
    need("gcc")
    flags = ["-std=c17", "-static", "-Os", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    subprocess.run(
        [shutil.which("gcc"), *flags, "-o", tmp_path / "drills", HERE / "drills.c"], check=True
    )
    data = (tmp_path / "drills").read_bytes()
    program = Entry("drills", Kind.FILE, 0o755, content=Bytes(data))
    image(
        linuxkit.open_store(workshop.cache), "docker.io/lk/drills:1",
        {"drills": program, "drill-target/": "", "dev/": "", "proc/": "", "sys/": ""},
        cmd=["/drills"],
    )  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_attacks_are_refused(kernel, workshop, boot, drills):
    machine = boot(workshop.build(text(DRILLS, kernel)))
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    result = machine.wait(90)
    console = machine.console.decode(errors="replace")  # whole, now that it has ended
    done = {record.name for record in machine.records if record.state == "exited"}
    assert {"onboot/001-root", "onboot/002-service"} <= done, console
    told = re.findall(r"drill (\S+) (\w+)", console)
    assert len(told) == 33
    assert {verdict for _, verdict in told} == {"refused"}
    # What the kernel does not know it hands to PID 1, and protects nobody.
    assert "Unknown kernel command line parameters" not in console
    assert "gnoring unknown" not in console
    assert "landlock: Up and running" in console
    assert "Kernel is locked down from Kernel configuration" in console
    assert result.status == 0, result
    assert result.power == "poweroff"


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_lean(kernel, workshop, boot):
    """Little memory, most of which is free; kernel and initramfs together fit on a few floppies."""
    artifact = workshop.build(text(MINIMAL, kernel), compression="zstd:19")
    size = sum(file.size for file in artifact.files if file.role in {"kernel", "initrd"})
    assert size <= (9 if kernel == "kernel-microvm" else 12) << 20
    facts = json.loads(artifact.sidecar.read_text())["boot"]
    assert facts["machine"] == ("microvm" if kernel == "kernel-microvm" else "")
    machine = boot(artifact, memory_mib=64)
    ready = machine.wait_ready(timeout_s=BOOT_S)
    assert ready.mem_total_kib - ready.mem_available_kib <= 36 << 10
    machine.poweroff()
    assert machine.wait(90).status == 0


def test_the_lean_example_answers(workshop, boot):
    """As its first lines say: in 64 MB, and with the usual compression."""
    if "kernel-microvm" not in KERNELS:
        pytest.skip("not recorded")
    artifact = workshop.build(LEAN.read_text())
    assert sum(file.size for file in artifact.files if file.role in {"kernel", "initrd"}) <= 9 << 20
    port = free_port()
    machine = boot(artifact, memory_mib=64, forwards=(Forward(port, 8080),))
    ready = machine.wait_ready(timeout_s=BOOT_S)
    assert ready.mem_total_kib - ready.mem_available_kib <= 24 << 10
    assert b"It works" in fetch_page(f"http://127.0.0.1:{port}/", 60)
    machine.poweroff()
    assert machine.wait(90).status == 0
