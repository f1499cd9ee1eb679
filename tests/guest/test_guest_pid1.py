"""PID 1 itself, in namespaces: what it starts, reports, survives and how it ends."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.guest_world import memory_kib, unit

REBOOTED = 75
NEVER_READY = [("ready", "20", "5000", "file", "/never")]


def test_a_whole_life(world):
    world.start(
        unit("onboot", "000-one", "touch", "/out/one"),
        unit("onboot", "001-two", "is", "/out/one"),
        unit("services", "web", "polite", "/out/web-gone"),
        unit("services", "side", "polite", "/out/side-gone"),
        unit("onshutdown", "000-bye", "is", "/out/web-gone"),
        unit("onshutdown", "001-more", "touch", "/out/last"),
        head=[("parallel", "2")],
    )
    ready = world.wait(event="boot", state="ready")
    assert (ready["services"], ready["failed"]) == (2, 0)
    assert ready["mem_total_kib"] > ready["mem_available_kib"] > 0
    phases = [r["phase"] for r in world.records if r["event"] == "phase"]
    assert phases == ["mounts", "onboot", "services"]
    up = world.order()
    assert up[:6] == [
        "onboot/000-one starting", "onboot/000-one running", "onboot/000-one exited",
        "onboot/001-two starting", "onboot/001-two running", "onboot/001-two exited",
    ]  # fmt: skip
    assert set(up[6:]) == {
        "services/web starting", "services/web running",
        "services/side starting", "services/side running",
    }  # fmt: skip
    assert not (world.out / "web-gone").exists()
    world.send(b"poweroff\n")
    assert world.ended() == 0
    down = world.order()[len(up) :]
    assert set(down[:2]) == {"services/web stopped", "services/side stopped"}
    assert down[2:] == [
        "onshutdown/000-bye starting", "onshutdown/000-bye running", "onshutdown/000-bye exited",
        "onshutdown/001-more starting", "onshutdown/001-more running", "onshutdown/001-more exited",
    ]  # fmt: skip
    assert (world.out / "last").exists()
    for path, mode in (("var/tmp", 0o1777), ("run/units", 0o700), ("out/one", 0o644)):
        assert (world.root / path).stat().st_mode & 0o7777 == mode, path
    assert (world.root / "var/run").readlink() == Path("/run")
    assert world.records[-1]["action"] == "poweroff"
    times = [r["t"] for r in world.records]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("policy", "result"), [("stop", None), ("continue", None), ("reboot", REBOOTED), ("poweroff", 0)]
)
def test_a_failing_onboot(world, policy, result):
    world.start(
        unit("onboot", "000-bad", "fail", "out of cheese", policy=policy),
        unit("services", "web", "wait"),
        unit("onshutdown", "000-bye", "touch", "/out/bye"),
    )
    failed = world.wait(unit="onboot/000-bad", state="failed")
    assert (failed["status"], failed["detail"]) == (5, "out of cheese")
    if policy == "stop":
        assert "000-bad" in world.wait(event="boot", state="failed")["detail"]
        assert "the boot stops here" in world.console
    if policy == "continue":
        assert world.wait(event="boot", state="ready")["failed"] == 1
    if result is None:
        world.send(b"poweroff\n")
    assert world.ended() == (result or 0)
    assert ("running" in world.states("services/web")) == (policy == "continue")
    assert "onboot/000-bad failed: status 5" in world.console
    assert "    | out of cheese" in world.console
    assert (world.out / "bye").exists()


def test_volumes_come_first(world):
    world.start(
        [
            ("unit", "volumes", "data"), ("start",), ("mkdir", "/out/deep/er", "0750"),
            ("mount", "x", "/out/deep", "tmpfs", "0", "size=64k"), ("mkdir", "/out/deep/in", "0700"),
        ],
        unit("onboot", "000-x", "is", "/out/deep/in", policy="continue"),
    )  # fmt: skip
    assert world.wait(event="boot", state="ready")["failed"] == 0
    assert world.order()[:3] == [
        "volumes/data starting", "volumes/data running", "volumes/data exited",
    ]  # fmt: skip
    assert not (world.out / "deep/in").exists()  # it was made on the mount
    assert (world.out / "deep/er").stat().st_mode & 0o777 == 0o750


def test_a_failing_mount_says_which(world):
    world.start([("unit", "volumes", "v"), ("start",), ("mount", "x", "/out", "nofs", "0", "")])
    failed = world.wait(unit="volumes/v", state="failed")
    assert failed["status"] == 126
    assert failed["detail"] == "cannot mount /out: No such device"
    world.wait(event="boot", state="failed")


def test_crashes_are_reported(world):
    world.start(
        unit("services", "segv", "crash"),
        unit("services", "quits", "exit", "3"),
        unit("services", "done", "exit", "0"),
        unit("services", "missing", runtime=False, policy="continue"),
        unit("services", "web", "wait"),
    )
    assert world.wait(event="boot", state="ready")["services"] == 5
    assert world.wait(unit="services/segv", state="failed")["signal"] == signal.SIGSEGV
    assert world.wait(unit="services/quits", state="failed")["status"] == 3
    assert world.wait(unit="services/done", state="exited")["status"] == 0
    assert world.wait(unit="services/missing", state="failed")["detail"] == 'act: no verb ""'
    assert world.states("services/web") == ["starting", "running"]


def test_a_program_that_is_not_there(world):
    world.start([("unit", "services", "x"), ("pidfile", "/run/x"), ("start",), ("exec", "/no/such")])
    failed = world.wait(unit="services/x", state="failed")
    assert failed["status"] == 127
    assert failed["detail"] == "cannot start /no/such: No such file or directory"


def test_ten_thousand_orphans(world):
    world.start(
        unit("services", "parent", "orphans", "10000"),
        unit("services", "web", "polite", "/out/gone"),
    )
    world.wait(unit="services/parent", state="exited", timeout_s=60)
    world.wait_children(1)
    assert memory_kib(world.pid) <= 4096
    world.send(b"poweroff\n")
    assert world.ended() == 0
    assert (world.out / "gone").exists()


def test_who_does_not_listen_is_killed_after_its_grace(world):
    world.start(
        unit("services", "deaf", "deaf", grace=700),
        unit("services", "polite", "polite", "/out/gone", grace=60000),
        unit("onshutdown", "000-bye", "touch", "/out/bye"),
    )
    world.wait(event="boot", state="ready")
    world.until(lambda: world.said("deaf"))  # it will not listen from now on
    world.signal(signal.SIGUSR2)
    assert world.ended() == 0
    stopping = world.wait(event="boot", state="stopping")["t"]
    killed = world.wait(unit="services/deaf", state="stopped")
    assert killed["signal"] == signal.SIGKILL
    assert 690 <= killed["t"] - stopping < 30_000  # by its own grace, not the other's
    assert world.wait(unit="services/polite", state="stopped")["status"] == 0
    assert world.wait(unit="onshutdown/000-bye", state="starting")["t"] >= killed["t"]


def test_the_signal_that_asks_is_the_units_own(world):
    world.start(unit("services", "web", "wait", more=[("stop-signal", str(int(signal.SIGINT)))]))
    world.wait(event="boot", state="ready")
    world.send(b"poweroff\n")
    assert world.ended() == 0
    assert world.wait(unit="services/web", state="stopped")["signal"] == signal.SIGINT


def test_the_console_sums_the_boot_up(world):
    """With the host listening, only what failed and why."""
    world.start(
        unit("onboot", "000-net", "exit", "0"),
        unit("onboot", "001-bad", "fail", "out of cheese", policy="continue"),
        unit("services", "web", "wait"),
        unit("services", "quits", "exit", "3", more=NEVER_READY),  # the machine is not up before it has ended
    )
    world.wait(event="boot", state="ready")
    world.send(b"poweroff\n")
    assert world.ended() == 0
    summed = world.console[world.console.index("linuxkit: up after ") :].splitlines()
    assert re.fullmatch(r"linuxkit: up after \d+ ms; services: 2, failed units: 2", summed[0])
    assert summed[1:3] == ["linuxkit:   onboot/001-bad: failed, status 5", "linuxkit:   services/quits: failed, status 3"]


def test_leftovers_end_too(world):
    """A process outside of any unit's main process is asked, then killed."""
    world.start(
        unit("services", "web", "wait", clean=("run", "/out/pid", "deaf")), unit("onboot", "0", "exit", "0")
    )
    world.wait(event="boot", state="ready")
    world.send(b"halt\n")
    assert world.ended() == 0
    assert world.records[-1]["action"] == "halt"
    assert (world.out / "pid").exists()


def test_a_start_that_hangs(world):
    world.start(
        unit("onboot", "000-slow", "wait", timeout=300, grace=300, policy="continue"),
        unit("services", "stuck", "deaf", runtime=False, timeout=300),
        [("unit", "services", "hung"), ("pidfile", "/run/x"), ("timeout", "300"), ("start",),
         ("exec", "/act", "deaf")],
    )  # fmt: skip
    assert world.wait(unit="onboot/000-slow", state="failed")["detail"] == "took too long"
    assert world.wait(unit="services/hung", state="failed")["detail"] == "took too long"
    assert world.wait(event="boot", state="ready")["failed"] == 2
    assert world.states("services/stuck") == ["starting", "running"]  # it runs, which is all we asked


@pytest.mark.parametrize(
    ("number", "result", "action"),
    [
        (signal.SIGUSR2, 0, "poweroff"), (signal.SIGTERM, REBOOTED, "reboot"),
        (signal.SIGINT, REBOOTED, "reboot"), (signal.SIGUSR1, 0, "halt"),
    ],
)  # fmt: skip
def test_signals_are_buttons(world, number, result, action):
    world.start(unit("services", "web", "wait"))
    world.wait(event="boot", state="ready")
    for harmless in (signal.SIGHUP, signal.SIGPIPE, signal.SIGALRM, signal.SIGCONT):
        world.signal(harmless)
    world.signal(number)
    assert world.ended() == result
    assert world.records[-1]["action"] == action


def test_a_flood_of_output(world):
    world.start(
        unit("services", "flood", "flood", "60000"),
        unit("services", "web", "polite", "/out/gone"),
        head=[("log-file", "65536"), ("console-rate", "1000"), ("parallel", "2")],
    )
    assert world.wait(unit="services/flood", state="exited", timeout_s=60)["status"] == 0
    pid = world.pid
    assert memory_kib(pid) <= 4096
    assert (world.out / "flood.log").stat().st_size <= 65536
    assert (world.out / "flood.log.1").stat().st_size <= 65536
    assert (world.out / "flood.log").read_text().splitlines()[-1].startswith("line 59999 ")
    shown = [line for line in world.console.splitlines() if line.startswith("[flood]")]
    assert 20 < len(shown) < 2000
    world.send(b"poweroff\n")
    assert world.ended() == 0


def test_half_a_minute_of_flood(world):
    """A unit says as much as it can: others start and end in their time, and nothing grows."""
    world.start(
        unit("services", "flood", "flood", str(1 << 40)),
        unit("services", "quits", "flaky", "/out/tries", "1000000", more=[("restart", "always"), ("back-off", "200", "200", "0", "60000")]),
        head=[("log-file", "65536"), ("parallel", "2")],
    )  # fmt: skip
    world.wait(event="boot", state="ready")
    before, begun = world.open_files(), time.monotonic()
    world.until(lambda: time.monotonic() > begun + 30)
    world.until(lambda: world.states("services/quits").count("restarting") > 10)  # of 150 with nobody else there
    assert world.states("services/flood") == ["starting", "running"]
    assert memory_kib(world.pid) <= 4096
    assert world.open_files() <= before + 4
    shown = sum(len(line) for line in world.console.splitlines() if line.startswith("[flood]"))
    assert shown < 4096 * (time.monotonic() - begun + 60)  # the rate, and what may come at once
    world.send(b"poweroff\n")
    assert world.ended() == 0
    sizes = [(world.out / name).stat().st_size for name in ("flood.log", "flood.log.1")]
    assert max(sizes) <= 65536


def test_garbage_on_the_port(world):
    world.start(unit("services", "web", "wait"))
    world.wait(event="boot", state="ready")
    # no carriage return or line feed, so that no command can come about by chance
    noise = random.Random(7).randbytes(100_000).replace(b"\n", b"x")
    world.send(noise)
    world.send(b"\npower\noff\nPOWEROFF\n\n\n{}\n")
    world.send(b"reboot\n")
    assert world.ended() == REBOOTED
    assert world.states("services/web") == ["starting", "running", "stopped"]
    assert [r["detail"] for r in world.records if r.get("state") == "stopping"] == ["reboot"]  # nothing before


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (b"", "it is empty or too large"),
        (b"something else entirely\0", "it is no boot table"),
        (b"linuxkit-boot-table\0009\0000 end\0", "this init reads version 1, it has version 9"),
        (b"linuxkit-boot-table\0001\0001 mood\0x\0000 end\0", "unknown record mood"),
        (b"\0" * (1 << 20) + b"\0", "it is empty or too large"),
    ],
)
def test_a_table_that_is_none(world, table, why):
    world.start(table=table)
    assert world.wait(event="boot", state="failed")["detail"] == why
    assert f"boot.table cannot be used: {why}" in world.console
    world.send(b"poweroff\n")
    assert world.ended() == 0


def test_no_table_at_all(world):
    world.start(table=b"")
    world.wait(event="boot", state="failed")
    world.signal(signal.SIGUSR2)
    assert world.ended() == 0


def test_nobody_reads_the_report(world):
    """The port's buffer is full after a while; nothing waits for it."""
    many = [unit("onboot", f"{i:03}-x", "say", "hello", policy="continue") for i in range(200)]
    world.start(*many, unit("services", "web", "polite", "/out/gone"))
    end = time.monotonic() + 120
    while not (world.root / "run/units/services-web.pid").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    world.signal(signal.SIGUSR2)
    assert world.ended() == 0
    assert (world.out / "gone").exists()


def test_it_must_be_the_first(init, tmp_path):
    """Started by hand it touches nothing."""
    done = subprocess.run([init], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "init: this is the first program of a machine\n"
