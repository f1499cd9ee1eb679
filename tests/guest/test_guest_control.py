"""What can be asked of PID 1 while it runs, by the program that ships for it and by anybody else."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess

import pytest

from support.guest_world import memory_kib, unit

ENTER = ("enter", "/act", "enter", "")


@pytest.fixture
def ask(world, service):
    """Runs ``service`` in the world, as a process of it would."""

    def run(*words: str, timeout_s: float = 60) -> subprocess.CompletedProcess:
        target = world.root / "service"
        if not target.exists():
            target.write_bytes(service.read_bytes())
            target.chmod(0o755)
        argv = ["nsenter", "-t", str(world.pid), "-U", "--preserve-credentials", "-m", "-r", "/service", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)

    return run


def test_service_tells_and_acts(world, ask):
    world.start(
        unit("onboot", "000-net", "exit", "0"),
        unit("services", "web", "polite", "/out/gone", more=[ENTER]),
        unit("services", "says", "flood", "40", more=[("restart", "no"), ENTER]),
        unit("services", "never", "wait", more=[("ready", "50", "50", "file", "/never")]),
    )
    world.wait(unit="services/web", state="running")
    world.wait(unit="services/never", state="running")
    world.wait(unit="services/says", state="exited")
    listed = ask("list")
    assert listed.returncode == 0, listed.stderr
    rows = {line.split()[0]: line.split()[1:] for line in listed.stdout.splitlines()}
    assert rows["onboot/000-net"][0] == rows["services/says"][0] == "exited"
    state, pid, starts = rows["services/web"]
    assert (state, starts) == ("running", "1")
    assert int(pid) > 1
    logs = ask("logs", "says")
    assert logs.stdout.splitlines()[-1].startswith("line 39 of a flood")
    assert len(logs.stdout.splitlines()) == 40
    status = ask("status", "web").stdout
    assert "services/web" in status
    assert "services/says" not in status
    assert ask("restart", "web").returncode == 0
    assert (world.out / "gone").exists()
    assert world.states("services/web")[:2] == ["starting", "running"]
    assert ask("stop", "web").returncode == 0
    world.wait(unit="services/web", state="stopped")
    assert ask("start", "web").returncode == 0
    assert ask("exec", "web", "say", "hello  %41 there").stdout == "hello  %41 there\n"
    assert ask("exec", "web", "exit", "7").returncode == 7
    assert ask("exec", "web", "crash").returncode == 255  # as the runtime here tells it
    flood = ask("exec", "web", "flood", "20000").stdout.splitlines()
    assert len(flood) == 20000
    assert flood[-1].startswith("line 19999 ")
    for words, code, said in (
        (("logs", "nobody"), 2, "no such unit"), (("stop", "net"), 1, "only services"),
        (("exec", "net", "wait"), 126, "does not run"), (("dance", "web"), 2, "no request"),
    ):  # fmt: skip
        done = ask(*words)
        assert (done.returncode, said in done.stderr) == (code, True), done
    folder = world.root / "run/learned/services/web"
    folder.mkdir(parents=True)
    for made, (code, said) in (
        (lambda path: path.symlink_to("/etc/linuxkit/boot.table"), (1, "learned nothing")), (os.mkfifo, (1, "nothing")),
        (lambda path: path.write_text("x" * 3000), (0, "")),
    ):  # fmt: skip
        made(folder / "calls")  # what the container put there
        done = ask("calls", "web")
        assert (done.returncode, said in done.stderr) == (code, True), done
        (folder / "calls").unlink()
    assert done.stdout == "x" * 2048
    assert ask().returncode == 2
    world.send(b"poweroff\n")
    assert world.ended() == 0


def connect(world) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(world.root / "run/linuxkit", os.O_PATH)  # the whole path may be too long
    try:
        made.connect(f"/proc/self/fd/{folder}/control.sock")
    finally:
        os.close(folder)
    made.settimeout(60)
    return made


def served(world) -> socket.socket:
    """A connection that is answered: those beyond the limit are closed at once."""
    while True:
        wire = connect(world)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(b"s list\n")
            if wire.recv(1):
                answer(wire, "s")
                return wire
        wire.close()


def answer(wire: socket.socket, ident: str) -> bytes:
    data = b""
    while f"{ident} end ".encode() not in data:
        piece = wire.recv(65536)
        assert piece, data[-500:]
        data += piece
    return data


def test_hostile_callers(world):
    """Garbage, floods, half requests and many callers: PID 1 stays as it is, and answers others."""
    world.start(
        unit("services", "web", "polite", "/out/gone", more=[ENTER]),
        unit("services", "chatty", "flood", "100000", more=[("restart", "no")]),
    )
    world.wait(event="boot", state="ready")
    before = world.open_files()
    chance = random.Random(11)
    for _ in range(20):
        with connect(world) as wire, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(chance.randbytes(chance.randrange(50_000)))
    with served(world) as slow, served(world) as half:
        slow.sendall(b"a logs chatty follow\n")  # and never read
        half.sendall(b"b exec web wa")
        with served(world) as sleeper:
            sleeper.sendall(b"c exec web wait\n")
            world.until(lambda: any(p.name.startswith("exec-") for p in (world.root / "run/units").iterdir()))
        crowd = [connect(world) for _ in range(30)]
        for wire in crowd:
            wire.close()
        with served(world) as wire:
            for number in range(2000):
                wire.sendall(f"r{number} list\n".encode())
                if number % 50 == 0:
                    answer(wire, f"r{number}")
        half.sendall(b"it\nd list\n")
        assert b"services/web\trunning" in answer(half, "d")
    world.wait_children(1)  # what callers had begun ended with them
    world.until(lambda: world.open_files() <= before + 1)
    assert memory_kib(world.pid) <= 4096
    assert world.states("services/web") == ["starting", "running"]
    with served(world) as wire:
        wire.sendall(b"p poweroff\n")
        assert world.ended() == 0
    assert (world.out / "gone").exists()
