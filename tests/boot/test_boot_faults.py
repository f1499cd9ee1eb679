"""What a machine lives through with real containers and a real disk, and what a power cut leaves."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from linuxkit.base.errors import Error
from linuxkit.runners.options import Disk
from support import probe
from support.machines import HEAD, exited, step, use

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1800)]

BOOT_S = 420
FAULTS_S = 900
ROUNDS = 100
PID1_KIB = 4096

YML = (
    HEAD
    + "onboot:\n"
    + use("format", "format", '["/usr/bin/format", "-label", "DATA"]')
    + use("mount", "mount", '["/usr/bin/mountie", "-label", "DATA", "/var/lib/data"]')
    + step("last", "cd /host/var/lib/data && touch kept && echo lines $(wc -l < kept) last $(tail -n 1 kept)")
    + """\
services:
  - name: writes
    image: test/probe:1
    command: ["/probe", "write", "/data"]
    binds: ["/var/lib/data:/data"]
  - name: calm
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "while :; do nc -l -p 8080 -e /bin/echo hello; done"]
    ready: {tcp: 8080}
  - name: killed
    image: "@pkg:busybox"
    command: ["/bin/sleep", "100000"]
    backoff: {first: 100ms, most: 100ms}
  - name: crashes
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "exit 3"]
    backoff: {first: 10ms, most: 10ms, limit: 100}
  - name: fills
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "dd if=/dev/zero of=/var/full bs=64k; sleep 100000"]
    binds: ["/var:/var"]
  - name: orphans
    image: test/probe:1
    command: ["/probe", "orphans", "10000"]
    pid: host
    restart: "no"
"""
    + step(
        "kills",
        "sleep 5; kill -9 $(cat /host/run/units/services-killed.pid); sleep 100000",
        capabilities="[CAP_KILL]",
    )
    + step(
        "looks",
        "while sleep 5; do grep VmHWM /proc/1/status; echo zombies $(grep -l State:.Z /proc/[0-9]*/status | wc -l); done",
    )
)


def states(machine, unit: str) -> list[str]:
    return [r.state for r in machine.records if r.event == "unit" and r.name == f"services/{unit}"]


def said(machine, unit: str, key: str) -> list[int]:
    """The numbers that a unit said behind a word."""
    text = machine.console.decode(errors="replace")
    return [int(n) for n in re.findall(rf"^\[{unit}\] {key}\s+(\d+)", text, re.MULTILINE)]


def wait(true, timeout_s: float = FAULTS_S) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.any_kernel
def test_a_machine_lives_through_faults_and_a_power_cut(workshop, boot, tmp_path):
    pytest.importorskip("ziglang")
    probe.install(workshop, tmp_path)
    artifact = workshop.build(YML)
    options = {
        "disks": (Disk(tmp_path / "data.img", 64, "raw"),), "state": tmp_path / "state", "memory_mib": 512,
    }  # fmt: skip
    machine = boot(artifact, **options)
    machine.wait_ready(timeout_s=BOOT_S)
    wait(lambda: states(machine, "killed").count("running") == 2)
    wait(lambda: states(machine, "crashes")[-1:] == ["failed"])
    assert states(machine, "crashes").count("starting") == ROUNDS
    wait(lambda: states(machine, "orphans")[-1:] == ["exited"])
    before = len(said(machine, "looks", "zombies"))
    # one that has just ended may be seen, but none stays
    wait(lambda: len(found := said(machine, "looks", "zombies")) > before + 1 and found[-1] == 0)
    assert b"No space left on device" in machine.console
    # nobody else was disturbed, and PID 1 has its size
    for unit in ("calm", "writes", "fills"):
        assert set(states(machine, unit)) <= {"starting", "running", "ready"}, unit
    assert states(machine, "killed").count("starting") == 2
    assert max(said(machine, "looks", "VmHWM:")) <= PID1_KIB

    known = said(machine, "writes", "kept")[-1]
    wait(lambda: said(machine, "writes", "kept")[-1] > known + 5)
    os.kill(machine.pid, signal.SIGKILL)  # while the disk is written to
    with pytest.raises(Error) as caught:
        machine.wait(60)
    assert caught.value.code == "LK0802"
    kept = said(machine, "writes", "kept")[-1]

    machine = boot(artifact, **options)
    machine.wait_ready(timeout_s=BOOT_S)
    assert exited(machine) == ["format", "mount", "last"]
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"
    assert b"no disk is empty" in machine.console
    lines, last = re.search(rb"\[002-last\] lines (\d+) last (\d+)", machine.console).groups()
    assert int(lines) == int(last) >= kept  # all, in their order, and none in parts
