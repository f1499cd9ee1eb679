"""The strict examples do their work: what they grant is enough, and what they do not is not needed."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from linuxkit.runners.options import Forward
from support.machines import free_port

pytestmark = [pytest.mark.boot, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
BOOT_S = 240


def talk(port: int, said: bytes, wanted: bytes) -> None:
    """Until a server answers ``said`` with ``wanted``: who was started need not listen yet."""
    deadline = time.monotonic() + BOOT_S
    heard = b""
    while wanted not in heard:
        assert time.monotonic() < deadline, heard
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(said)
            heard = b""
            while wanted not in heard and (more := connection.recv(4096)):
                heard += more
        time.sleep(0.3)


def test_redis(workshop, boot):
    port = free_port()
    text = (EXAMPLES / "redis.yml").read_text()
    machine = boot(workshop.build(text), forwards=(Forward(port, 6379),))
    machine.wait_ready(timeout_s=BOOT_S)
    talk(port, b"SET key strict\r\nGET key\r\n", b"$6\r\nstrict\r\n")
    machine.poweroff()
    assert machine.wait(90).status == 0


def test_ssh(workshop, boot):
    """Clock, entropy and a login, each with what it needs."""
    port = free_port()
    text = (EXAMPLES / "ssh.yml").read_text()
    machine = boot(workshop.build(text), forwards=(Forward(port, 22),))
    machine.wait_ready(timeout_s=BOOT_S)
    talk(port, b"", b"SSH-2.0-")
    states = {r.name: r.state for r in machine.records if r.event == "unit"}
    assert {states[f"services/{name}"] for name in ("rngd", "ntpd", "sshd")} <= {"running", "ready"}
    machine.poweroff()
    assert machine.wait(90).status == 0
