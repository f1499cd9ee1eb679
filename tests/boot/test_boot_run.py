"""``linuxkit run`` as a person has it: on a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import termios
import time
import urllib.request
from pathlib import Path

import pytest

from support.machines import free_port
from support.terminals import LINUXKIT

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def web(workshop):
    return workshop.build((EXAMPLES / "web.yml").read_text(), name="web")


def test_leaving_by_keys(terminal, web):
    shell = terminal("run", str(web.directory / "web"), "--mem", "256")
    shell.until(b"ready      boot")
    assert termios.tcgetattr(shell.theirs) != shell.before  # raw
    shell.write(b"\x01x")
    assert shell.end() == 0
    assert termios.tcgetattr(shell.theirs) == shell.before
    assert b"the guest was well, ready after " in shell.seen


def test_leaving_too_early_is_not_well(terminal, web):
    shell = terminal("run", str(web.directory / "web"), "--mem", "256")
    shell.until(b"Linux version")
    shell.write(b"\x01x")
    # QEMU's own status: nobody has said a word that could be judged
    assert shell.end() == 0
    assert b"the guest reported nothing" in shell.seen


def test_a_killed_emulator_gives_the_terminal_back(terminal, web):
    shell = terminal("run", str(web.directory / "web"), "--mem", "256")
    shell.until(b"started    boot")
    (child,) = Path(f"/proc/{shell.process.pid}/task/{shell.process.pid}/children").read_text().split()
    os.kill(int(child), 9)
    assert shell.end() == 1
    assert termios.tcgetattr(shell.theirs) == shell.before
    assert b"LK0802" in shell.seen


def test_the_emulator_dies_with_its_parent(terminal, web):
    shell = terminal("run", str(web.directory / "web"), "--mem", "256")
    shell.until(b"started    boot")
    (child,) = Path(f"/proc/{shell.process.pid}/task/{shell.process.pid}/children").read_text().split()
    shell.process.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_published_and_reported(workshop, web, tmp_path):
    port, report = free_port(), tmp_path / "boot.json"
    words = ["run", "qemu", "--mem", "256", "--publish", f"{port}:80", "--report", str(report)]
    process = subprocess.Popen(
        [*LINUXKIT, *words, "--timeout", "120", "--cache", str(workshop.cache), str(web.sidecar)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    page = fetch(f"http://127.0.0.1:{port}/", 119)
    assert b"<h1>It works</h1>" in page
    process.communicate(timeout=240)
    assert process.returncode == 124
    value = json.loads(report.read_text())
    assert value["timed_out"]
    assert value["ready"]
    states = {(r["name"], r["state"]) for r in value["records"]}
    assert {("services/nginx", "running"), ("boot", "ready")} <= states


def fetch(url: str, timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
