"""The first process of a container that is a virtual machine, with a script in QEMU's place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from support.guest_world import GUEST
from support.tools import need

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]  # fmt: skip

# Says what it is told to, and ends when it is asked to reset the machine.
HEAD = f"""#!{sys.executable}
import os, sys, time
report, control = os.fdopen(3, "r+b", buffering=0), os.fdopen(4, "r+b", buffering=0)
assert control.readline() == b"log logs services/web follow\\n"
assert os.listdir("/proc/self/fd").__len__() <= 6, os.listdir("/proc/self/fd")
def say(**record): report.write((__import__("json").dumps({{"t": 7, **record}}, separators=(",", ":")) + "\\n").encode())
def unit(state, **more): say(event="unit", unit="services/web", state=state, **more)
def frame(data, kind="out"): control.write(f"log {{kind}} {{len(data)}}\\n".encode() + data)
def asked(): return report.readline() == b"reboot\\n"
"""


def compiled(program, *flags):
    subprocess.run([need("gcc"), *FLAGS, *flags, GUEST / "vmm/main.c", "-o", program], check=True)
    return program


@pytest.fixture(scope="module")
def vmm(tmp_path_factory):
    """As it ships, but that a machine has a minute to end: this one may be busy."""
    return compiled(tmp_path_factory.mktemp("vmm") / "vmm", "-DEND_S=60")


@pytest.fixture
def hasty(tmp_path):
    return compiled(tmp_path / "vmm", "-DEND_S=1")


def start(vmm, tmp_path, body, *, wanted="running", **options):
    machine = tmp_path / "qemu"
    machine.write_text(HEAD + body)
    machine.chmod(0o755)
    return subprocess.Popen(
        [vmm, "services/web", wanted, machine, "-m", "64"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def ended(vmm, tmp_path, body, **options):
    process = start(vmm, tmp_path, body, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.decode()


@pytest.mark.parametrize(
    ("more", "status"),
    [("status=0", 0), ("status=3", 3), ("signal=9", 137), ("status=3, detail='\"status\":0'", 3), ("detail='no'", 1),
     ("status=70000", 1)],
)  # fmt: skip
def test_the_units_status_is_its_own(vmm, tmp_path, more, status):
    state = "exited" if more == "status=0" else "failed"
    body = f"unit('starting'); unit('running'); unit('{state}', {more}); sys.exit(0 if asked() else 9)"
    assert ended(vmm, tmp_path, body) == (status, b"", "")


def test_output_is_passed_on_as_it_is(vmm, tmp_path):
    body = """
frame(b"one\\ntwo"); frame(b"log out 5\\n"); frame(b""); frame(b"(bytes lost: 7)\\n", "err")
for i in range(3): frame(bytes([i]) * 60000)
unit("exited", status=0); asked(); frame(b"last\\n"); control.write(b"log end 0\\n")
"""
    status, out, err = ended(vmm, tmp_path, body)
    assert (status, err) == (0, "")
    big = b"".join(bytes([i]) * 60000 for i in range(3))
    assert out == b"one\ntwolog out 5\n(bytes lost: 7)\n" + big + b"last\n"


def test_other_units_and_noise_say_nothing(vmm, tmp_path):
    body = """
report.write(b"x" * 5000 + b'\\n{"t":1,"event":"unit"\\n\\n{"t":1,"event":"unit","unit":"services/web","state":"exi\\n')
report.write(b"y" * 1000 + b'{"t":1,"event":"unit","unit":"services/web","state":"exited","status":5}\\n')
say(event="unit", unit="onboot/000-web", state="failed", status=4)
say(event="unit", unit="services/webs", state="failed", status=4)
say(event="phase", phase="services"); unit("exited", status=0); asked()
"""
    assert ended(vmm, tmp_path, body) == (0, b"", "")


@pytest.mark.parametrize("wanted", ["running", "ready"])
def test_it_tells_when_the_unit_is_ready(vmm, tmp_path, wanted):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        body = f"unit('starting'); unit('{wanted}'); unit('{wanted}'); unit('exited', status=0); asked()"
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        assert ended(vmm, tmp_path, body, wanted=wanted, env=environment)[0] == 0
        assert listening.recv(64) == b"READY=1"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.recv(64)


def test_a_boot_that_fails_ends_the_machine(vmm, tmp_path):
    body = "say(event='boot', state='failed', detail='x'); sys.exit(0 if asked() else 9)"
    assert ended(vmm, tmp_path, body) == (1, b"", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("unit('running')", "vmm: the machine crashed\n"),
        ("unit('running'); sys.exit(5)", "vmm: QEMU ended with status 5\n"),
        ("unit('running'); os.kill(os.getpid(), 9)", "vmm: QEMU was ended by signal 9\n"),
    ],
)
def test_a_machine_that_is_gone_is_a_failure(vmm, tmp_path, body, said):
    assert ended(vmm, tmp_path, body) == (1, b"", said)


def test_it_asks_before_it_ends(vmm, tmp_path):
    body = """
unit("running"); frame(b"up\\n")
assert asked()
unit("stopped", status=7)
"""
    with start(vmm, tmp_path, body) as process:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7


def test_a_machine_that_does_not_end_is_ended(hasty, tmp_path):
    began = time.monotonic()
    assert ended(hasty, tmp_path, "unit('failed', status=4); time.sleep(1000)")[0] == 4
    assert time.monotonic() - began >= 1


def test_what_cannot_start_is_told(vmm, tmp_path):
    done = subprocess.run(
        [vmm, "services/web", "running", tmp_path / "none"], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    done = subprocess.run([vmm, "services/web"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "usage: vmm UNIT" in done.stderr
