"""Machines whose emulator is a script: what a real one does only when things go wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time

import pytest

from linuxkit.base import events
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact, BootFacts, OutFile
from linuxkit.runners import Options, run, start
from linuxkit.runners.qemu import emulator

PROLOGUE = """#!{python} -IS
import json, os, socket, sys, time
words = dict(w.split(",fd=") for w in sys.argv if ",fd=" in w)
report = socket.socket(fileno=int(words["socket,id=report"]))
control = socket.socket(fileno=int(words["socket,id=control"]))
orders = control.makefile("r")
def up():
    control.sendall(b'{{"QMP": {{}}}}\\n')
    assert "qmp_capabilities" in orders.readline()
    control.sendall(b'{{"return": {{}}}}\\n')
def say(**record):
    report.sendall(json.dumps({{"t": 1, **record}}).encode() + b"\\n")
def boot(state): say(event="boot", state=state)
def unit(name, state, **more): say(event="unit", unit=name, state=state, **more)
def linger():
    while "quit" not in orders.readline(): pass
    off("host-qmp-quit")
def off(reason="guest-shutdown"):
    event = {{"event": "SHUTDOWN", "data": {{"guest": True, "reason": reason}}}}
    control.sendall(json.dumps(event).encode() + b"\\n")
    sys.exit(0)
"""


@pytest.fixture
def machine(tmp_path):
    """Makes an artifact and options whose emulator runs the given lines."""

    def make(script: str, **more: object) -> tuple[Artifact, Options]:
        program = tmp_path / "emulator"
        program.write_text(PROLOGUE.format(python=sys.executable) + script)
        program.chmod(0o755)
        files = (OutFile("kernel", "k", 1),)
        facts = BootFacts("direct", "initramfs", "", "ttyS0", 0)
        artifact = Artifact("kernel+initrd", "m", tmp_path, "amd64", Digest(""), files, facts)
        return artifact, Options(program=str(program), accel="tcg", **more)

    return make


WELL = 'up(); boot("started"); unit("services/a", "running"); boot("ready")\n'
ORDERLY = 'order = report.makefile("r").readline().strip()\nsay(event="power", action=order); off()\n'


def test_a_machine_that_is_well(machine):
    with start(*machine(WELL + 'print("hello", flush=True)\n' + ORDERLY)) as vm:
        assert vm.wait_unit("services/a", timeout_s=60).state == "running"
        assert vm.wait_ready(timeout_s=60).host_ms > 0
        vm.poweroff()
        result = vm.wait(60)
        assert vm.console == b"hello\n"
    assert (result.status, result.power, result.reason) == (0, "poweroff", "guest-shutdown")
    assert [r.state for r in result.records] == ["started", "running", "ready", ""]
    assert vm.ended


def test_reboot_is_an_order(machine):
    with start(*machine(WELL + ORDERLY)) as vm:
        vm.wait_ready(timeout_s=60)
        vm.reboot()
        assert vm.wait(60).power == "reboot"


def test_what_is_typed_arrives(machine):
    with start(*machine("up()\nprint(input()[::-1], flush=True)\noff()\n")) as vm:
        vm.write("drawer\n")
        vm.wait(60)
        assert vm.console == b"reward\n"


def test_a_failed_unit_ends_the_wait_at_once(machine):
    script = 'up(); unit("onboot/a", "failed", detail="no such device")\nlinger()\n'
    began = time.monotonic()
    with start(*machine(script)) as vm, pytest.raises(Error) as caught:
        vm.wait_unit("onboot/a", "exited", timeout_s=60)
    assert caught.value.code == "LK0804"
    assert "no such device" in caught.value.message
    assert time.monotonic() - began < 20


def test_a_failed_boot_ends_the_wait_at_once(machine):
    with start(*machine('up(); boot("failed")\nlinger()\n')) as vm, pytest.raises(Error) as caught:
        vm.wait_ready(timeout_s=60)
    assert caught.value.code == "LK0804"


def test_an_early_end_shows_the_console(machine):
    script = 'up(); print("Kernel panic \\x1b[31m", flush=True); off("guest-panic")\n'
    with start(*machine(script)) as vm, pytest.raises(Error) as caught:
        vm.wait_ready(timeout_s=60)
    assert caught.value.code == "LK0804"
    assert "console: Kernel panic \\x1b[31m" in caught.value.detail


def test_waiting_has_an_end(machine):
    # this one does not listen to "quit" either
    with start(*machine("up()\ntime.sleep(60)\n")) as vm:
        with pytest.raises(Error) as caught:
            vm.wait_ready(timeout_s=0.2)
        assert caught.value.code == "LK0805"
        with pytest.raises(Error) as caught:
            vm.wait(0.1)
        assert caught.value.code == "LK0805"
        pid = vm.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_garbage_is_counted(machine):
    script = 'up()\nreport.sendall(b"login: \\xff\\n" + b"x" * 100000 + b"\\n[[[\\n")\n' + WELL.removeprefix("up(); ") + "off()\n"
    with start(*machine(script)) as vm:
        result = vm.wait(60)
    assert result.dropped == 3
    assert result.ready


def test_much_output_neither_blocks_nor_stays(machine):
    script = 'up()\nfor _ in range(400): sys.stdout.write("x" * 65536)\nprint("end", flush=True)\noff()\n'
    with start(*machine(script)) as vm:
        vm.wait(60)
        assert len(vm.console) == 8 << 20
        assert vm.console.endswith(b"end\n")


def test_a_refusing_emulator(machine):
    script = 'print("qemu: no such option", file=sys.stderr)\nsys.exit(1)\n'
    with start(*machine(script)) as vm, pytest.raises(Error) as caught:
        vm.wait(60)
    assert caught.value.code == "LK0802"
    assert "qemu: no such option" in caught.value.detail
    assert "command: " in caught.value.detail


def test_a_killed_emulator(machine):
    with start(*machine(WELL + "linger()\n")) as vm:
        vm.wait_ready(timeout_s=60)
        os.kill(vm.pid, signal.SIGSEGV)
        with pytest.raises(Error) as caught:
            vm.wait(60)
    assert caught.value.message == "QEMU was ended by SIGSEGV"


def test_a_helper_that_outlives_the_emulator_delays_nothing(machine):
    script = WELL + 'if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)\nsay(event="power", action="poweroff"); off()\n'
    began = time.monotonic()
    with start(*machine(script)) as vm:
        assert vm.wait(60).status == 0
    assert time.monotonic() - began < 50


def test_run_tells_events_and_keeps_time(machine, capfd):
    told: list[events.Event] = []
    with events.reporting(told.append):
        result = run(*machine(WELL + "linger()\n", timeout_s=3.0))
    assert (result.status, result.timed_out) == (124, True)
    assert told[-1] == events.Unit("boot", "ready", 1)
    assert [(e.unit, e.state) for e in told if isinstance(e, events.Unit)] == [
        ("boot", "started"), ("services/a", "running"), ("boot", "ready")
    ]  # fmt: skip


def test_run_ends_the_machine_on_an_interrupt(machine):
    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Unit) and event.state == "ready":
            raise KeyboardInterrupt

    artifact, options = machine('open("pid", "w").write(str(os.getpid()))\n' + WELL + "linger()\n")
    here = contextlib.chdir(artifact.directory)
    with here, events.reporting(interrupt), pytest.raises(KeyboardInterrupt):
        run(artifact, options)
    with pytest.raises(ProcessLookupError):
        os.kill(int((artifact.directory / "pid").read_text()), 0)


@pytest.mark.parametrize("console", ["", "ttyAMA0"])
def test_too_little_memory_and_no_console_are_warned_of(machine, console):
    artifact, options = machine("off()\n", memory_mib=64)
    facts = BootFacts("direct", "initramfs", "", console, 200)
    poor = Artifact("kernel+initrd", "m", artifact.directory, "amd64", Digest(""), artifact.files, facts)
    told: list[events.Event] = []
    with events.reporting(told.append), start(poor, options) as vm:
        vm.wait(60)
    assert [e.code for e in told if isinstance(e, events.Note)] == ["LK0820", "LK0821"]


@pytest.mark.boot
def test_a_busy_port_is_named(machine):
    from linuxkit.runners import Forward

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        artifact, _ = machine("")
        options = Options(accel="tcg", forwards=(Forward(port, 80),))
        (artifact.directory / "k").write_bytes(b"no kernel")
        emulator("amd64", "")
        with start(artifact, options) as vm, pytest.raises(Error) as caught:
            vm.wait(60)
    assert caught.value.code == "LK0803"
