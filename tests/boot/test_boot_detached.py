"""A machine in the background, with all that reaches it; and one that hangs and is reset."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from linuxkit.base import files
from linuxkit.runners import control
from support import probe
from support.machines import HEAD, step
from support.tools import need_user_mode

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 420
PID1_KIB = 4096


def service(name: str, script: str, *keys: str) -> str:
    lines = "".join(f"    {key}\n" for key in keys)
    return f'  - name: {name}\n    image: "@pkg:busybox"\n    command: [/bin/sh, -c, {script!r}]\n{lines}'


YML = (
    HEAD
    + "onboot:\n"
    + service("once", "echo done once")
    + "services:\n"
    + service("counter", "i=0; while :; do echo count $i; i=$((i+1)); sleep 1; done", "pid: host")
    + "  - {name: gabbles, image: test/probe:1, command: [/probe, listen],"
    + " binds: ['/run/linuxkit:/run/linuxkit']}\n"
    + service(
        "notifies",
        "sleep 1; /host/usr/bin/service list > /dev/null && touch /tmp/up; sleep 10000",
        "ready: {file: /tmp/up, interval: 200ms}",
        "binds: ['/:/host', '/run/linuxkit:/run/linuxkit']",
        "tmpfs: ['/tmp']",
        "stop: {grace: 1s}",
    )
    + service("broken", "echo no way; exit 9", "backoff: {first: 100ms, limit: 2}")
)


# PID 1 in a control group of its own, which is stopped.  By then the watchdog was fed for twice its time.
FREEZES = (
    "set -e; sleep 20; echo it was fed so far; sleep 1; cd /host/sys/fs/cgroup; mkdir still; "
    "echo 1 > still/cgroup.procs; echo 1 > still/cgroup.freeze; sleep 10000"
)


def until(true, timeout_s: float = BOOT_S) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.5)


@contextlib.contextmanager
def gabbling(folder: Path):
    """Somebody says nonsense at a control port of the machine until the block ends; the sizes of it."""
    over, sent, chance = threading.Event(), [], random.Random(11)
    number = control.PORTS - 1
    handle = os.open(folder / f"control{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    assert files.lock(handle, wait=False)

    def say() -> None:
        while not over.is_set():
            with socket.socket(socket.AF_UNIX) as wire, control.address(folder, number) as short:
                wire.settimeout(0.5)  # nobody here reads the answers, so it may come to a halt
                # BlockingIOError: the one before may be on the line still
                with contextlib.suppress(TimeoutError, BlockingIOError, ConnectionError):
                    wire.connect(short)
                    for _ in range(20):
                        said = chance.randbytes(chance.randrange(50_000)) + b"\na list\nb exec counter wa"
                        wire.sendall(said)
                        sent.append(len(said))

    speaker = threading.Thread(target=say)
    speaker.start()
    try:
        yield sent
    finally:
        over.set()
        speaker.join(30)
        os.close(handle)
    assert not speaker.is_alive()


@pytest.mark.parametrize("runner", ["qemu", "uml"])
def test_a_machine_in_the_background(workshop, linuxkit, tmp_path, runner):
    if runner == "uml":
        need_user_mode()
    pytest.importorskip("ziglang")
    probe.install(workshop, tmp_path)
    artifact = workshop.build(YML, name="box")
    where = str(artifact.directory / "box")
    cache = ("--cache", str(workshop.cache))
    assert linuxkit("run", "--detach", runner, where, "--mem", "384", *cache).stdout == "box\n"

    def machine(name="box") -> dict:
        return {m["name"]: m for m in json.loads(linuxkit("ps", "--json").stdout)}[name]

    until(lambda: machine()["state"] == "ready")
    pid = machine()["pid"]
    assert "runs already" in linuxkit("run", "--detach", runner, where, *cache, status=2).stderr
    units = {u["name"]: u for u in json.loads(linuxkit("ps", "box", "--json").stdout)}
    assert units["onboot/000-once"]["state"] == "exited"
    assert units["services/notifies"]["state"] == "ready"
    until(lambda: "failed" in linuxkit("ps", "box").stdout)
    broken = next(u for u in json.loads(linuxkit("ps", "box", "--json").stdout) if u["name"].endswith("broken"))
    assert (broken["state"], broken["starts"], broken["status"], broken["detail"]) == ("failed", 2, 9, "no way")

    # what it says
    assert "count 0\n" in linuxkit("logs", "box", "counter").stdout
    assert "done once" in linuxkit("logs", "box", "once").stdout
    assert "services/broken failed: status 9" in linuxkit("logs", "box").stdout
    with subprocess.Popen(
        [*linuxkit.program, "logs", "-f", "box", "counter"], env=linuxkit.env, stdout=subprocess.PIPE, text=True
    ) as follower:
        first = [follower.stdout.readline() for _ in range(3)]
        assert all(line.startswith("count ") for line in first)
        # commands while somebody follows: there are lines for several callers
        inside = linuxkit("exec", "box", "counter", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7", status=7)
        assert (inside.stdout, inside.stderr) == ("out\n", "err\n")
        follower.send_signal(signal.SIGINT)
    big = linuxkit("exec", "box", "counter", "--", "/bin/sh", "-c", "head -c 300000 /dev/zero").stdout
    assert len(big) == 300_000
    assert "it does not run" in linuxkit("exec", "box", "broken", "--", "true", status=126).stderr
    assert 'no machine is called "bax"' in linuxkit("exec", "bax", "counter", "--", "true", status=2).stderr
    assert "no such unit" in linuxkit("logs", "box", "nothing", status=2).stderr

    # what it is told by those who mean harm, in it and from here
    def kept() -> dict:
        units = json.loads(linuxkit("ps", "box", "--json").stdout)
        up = [unit for unit in units if unit["state"] in {"running", "ready"}]
        return {unit["name"]: (unit["state"], unit["pid"], unit["starts"]) for unit in up}

    def counted() -> list[int]:
        return [int(line.split()[1]) for line in linuxkit("logs", "box", "counter").stdout.splitlines()]

    before, first = kept(), counted()[-1]
    asked = 0
    gabble = ("exec", "box", "gabbles", "--", "/probe", "gabble", "/run/linuxkit/control.sock", "15")
    speaker = subprocess.Popen(
        [*linuxkit.program, *gabble], env=linuxkit.env, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    with speaker, gabbling(tmp_path / "linuxkit/machines/box") as sent:
        while speaker.poll() is None or sum(sent) < 1 << 20:
            assert kept() == before
            asked += 1
        assert speaker.returncode == 0
        assert int(speaker.stdout.read().split()[1]) > 20
    assert asked > 1
    until(lambda: counted()[-1] > first + 5)
    numbers = counted()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))  # not a line is missing
    inside = linuxkit("exec", "box", "counter", "--", "/bin/sh", "-c", "grep VmHWM /proc/1/status")
    assert int(inside.stdout.split()[1]) <= PID1_KIB

    # what it does
    linuxkit("stop", "box", "counter")
    assert "stopped" in next(
        line for line in linuxkit("ps", "box").stdout.splitlines() if "counter" in line
    )
    rows = linuxkit("boot-report", "--svg", str(tmp_path / "boot.svg")).stdout.splitlines()
    names = [row.split("  ")[0] for row in rows]
    assert names[:3] == ["what", "kernel", "phase mounts"]
    assert "services/notifies" in names
    drawing = ET.parse(tmp_path / "boot.svg").getroot()  # noqa: S314 - our own
    assert len(drawing.findall(".//{http://www.w3.org/2000/svg}text")) > len(rows)
    linuxkit("stop", "box")
    ended = machine()
    assert (ended["pid"], ended["result"]["power"]) == (None, "poweroff")
    gone_by = time.monotonic() + 60  # its last act was to say so
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < gone_by
        time.sleep(0.1)
    assert "does not run" in linuxkit("stop", "box", status=2).stderr
    assert "counter" in linuxkit("boot-report", "box").stdout


def test_a_machine_that_hangs_is_reset(workshop, boot):
    """PID 1 is frozen: it cannot feed the watchdog any more."""
    freezes = step("freezes", FREEZES, capabilities="[all]", restart='"no"')
    yml = HEAD + "watchdog: {timeout: 10s}\nservices:\n" + freezes
    machine = boot(workshop.build(yml), devices=("i6300esb",))
    machine.wait_unit("services/freezes", timeout_s=BOOT_S)
    result = machine.wait(240)  # a reset ends it, as the machine may not reboot
    assert b"/dev/watchdog watches this machine" in machine.console
    assert b"[freezes] it was fed so far" in machine.console
    assert (result.reason, result.power) == ("guest-reset", "")
