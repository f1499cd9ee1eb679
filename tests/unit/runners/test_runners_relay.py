"""Callers of a line that knows of no callers."""

from __future__ import annotations

import socket

import pytest

from linuxkit.runners.relay import Relay

PATIENCE_S = 30


@pytest.fixture
def line(tmp_path):
    """Where to call, the guest's end, and the relay."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        ours, guest = socket.socketpair()
        relay = Relay(listener.fileno(), ours)
    guest.settimeout(PATIENCE_S)
    with guest:
        yield path, guest, relay


def call(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE_S)
    made.connect(path)
    return made


def until(side: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        data = side.recv(65536)
        assert data, got
        got += data
    return got


def test_callers_come_and_go(line):
    path, guest, relay = line
    guest.sendall(b"x" * 3_000_000)  # to nobody: it must not stop the guest
    for number in range(3):
        with call(path) as caller:
            caller.sendall(b"\na list\n")
            assert until(guest, b"list\n").removeprefix(b"\n0 hangup\n") == b"\na list\n"
            answer = b"a out 3\n%d\n" % number * 5_000
            guest.sendall(answer)
            assert until(caller, answer[-900:])[-len(answer) :] == answer
        assert until(guest, b"hangup\n") == b"\n0 hangup\n"
    relay.close()
    assert guest.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(OSError, match="refused"):
        late.connect(path)


def test_a_guest_that_is_gone_hangs_up(line):
    path, guest, relay = line
    with call(path) as caller:
        caller.sendall(b"hello\n")
        assert until(guest, b"hello\n") == b"hello\n"
        guest.close()
        assert caller.recv(1) == b""
    relay._thread.join(PATIENCE_S)
    assert not relay._thread.is_alive()
    relay.close()
