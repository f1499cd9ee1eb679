"""vsudd: real sockets of the machine; the hypervisor's are played by such, for few machines have both ends."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.guest_world import GUEST
from support.tools import need

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]  # fmt: skip
PATIENCE_S = 60
BIG = random.Random(7).randbytes(3 << 20)  # more than any buffer on the way
MOST = 256  # connections at a time


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("vsudd") / "vsudd"
    sources = [GUEST / "vsudd/main.c", GUEST / "vsudd/relay.c", GUEST / "tests/fake_vsock.c"]
    subprocess.run([need("gcc"), *FLAGS, *sources, "-o", path], check=True)
    subprocess.run([need("gcc"), *FLAGS, "-fsyntax-only", GUEST / "vsudd/vsock.c"], check=True)
    return path


@pytest.fixture
def vsudd(program, tmp_path, monkeypatch):
    """Start it in a folder of its own; what it says comes with its end."""
    monkeypatch.chdir(tmp_path)
    started = []

    def start(*words, ports=(), **env):
        made = subprocess.Popen(
            [program, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        started.append(made)
        for each in ports:  # it tells of each, once it listens at all of them
            assert made.stdout.readline().startswith("vsudd: "), each
        return made

    yield start
    for made in started:
        made.kill()
        made.communicate()


def until(true, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def ended(made):
    made.send_signal(signal.SIGTERM)
    _out, err = made.communicate(timeout=PATIENCE_S)
    assert made.returncode == 0, err
    return err


def children(made):
    return Path(f"/proc/{made.pid}/task/{made.pid}/children").read_text().split()


def used(made):
    """Its time on a processor, in ticks of 10 ms."""
    fields = Path(f"/proc/{made.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def listener(path):
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE_S)
    made.bind(str(path))
    made.listen(MOST + 50)
    return made


def connected(path):
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE_S)
    made.connect(str(path))
    return made


def says(link, data):
    """Send it and an end, while others read."""

    def send():
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)

    threading.Thread(target=send).start()


def heard(link):
    found = bytearray()
    while more := link.recv(1 << 16):
        found += more
    return bytes(found)


@pytest.mark.parametrize(
    ("words", "entry", "server"),
    [
        (("-inport", "2374:unix:app.sock"), "own-2374", "app.sock"),
        (("--inport=2374:unix:app.sock",), "own-2374", "app.sock"),
        (("-inport", "00000946-FACB-11e6-bd58-64006a7986d3:unix:app.sock"), "own-2374", "app.sock"),
        (("-outport", "514:unix:log.sock"), "log.sock", "2-514"),
        (("-cid=7", "-outport", "514:unix:log.sock"), "log.sock", "7-514"),
    ],
)  # fmt: skip
def test_an_end_is_passed_on_and_the_answer_comes_back(vsudd, words, entry, server):
    with listener(server) as app:
        made = vsudd(*words, ports=[entry])
        with connected(entry) as client:
            client.sendall(b"a question")
            client.shutdown(socket.SHUT_WR)
            with app.accept()[0] as link:
                assert heard(link) == b"a question"
                says(link, b"answer " + BIG)
                assert heard(client) == b"answer " + BIG
        until(lambda: not children(made), "its process ends")
        assert ended(made) == ""


def test_much_goes_both_ways_at_once_and_connections_do_not_wait_for_each_other(vsudd):
    with listener("app.sock") as app:
        made = vsudd("-inport", "1:unix:app.sock", ports=["own-1"])
        idle = connected("own-1")
        quiet = app.accept()[0]
        with connected("own-1") as client, app.accept()[0] as link:
            says(client, BIG)
            says(link, BIG[::-1])
            time.sleep(0.3)  # what nobody reads fills what there is
            assert heard(link) == BIG
            assert heard(client) == BIG[::-1]
        idle.sendall(b"still there")
        assert quiet.recv(100) == b"still there"
        idle.close()
        quiet.close()
        assert ended(made) == ""


@pytest.mark.parametrize("leaver", ["client", "server"])
def test_who_leaves_ends_the_connection(vsudd, leaver):
    with listener("app.sock") as app:
        made = vsudd("-inport", "1:unix:app.sock", ports=["own-1"])
        client, link = connected("own-1"), app.accept()[0]
        leaves, stays = (client, link) if leaver == "client" else (link, client)
        leaves.close()
        assert stays.recv(1) == b""
        until(lambda: not children(made), "it does not wait for who has not hung up")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            stays.sendall(BIG)
        stays.close()
        before = used(made)
        time.sleep(0.5)
        assert used(made) - before < 10  # it waits without turning round


def test_only_the_peer_may_come_in(vsudd):
    with listener("app.sock") as app:
        made = vsudd("-inport", "1:unix:app.sock", ports=["own-1"], FAKE_CID="1")
        with connected("own-1") as client:
            assert heard(client) == b""
        assert "port 1: refused 1, who is not 2" in ended(made)
        Path("own-1").unlink()
        for chosen in ("1", "any"):
            made = vsudd(
                "-cid", chosen, "-inport", "1:unix:app.sock", ports=["own-1"], FAKE_CID="1"
            )
            with connected("own-1") as client, app.accept()[0]:
                client.sendall(b"in")
            assert ended(made) == ""
            Path("own-1").unlink()


def test_what_is_not_there_is_told_and_may_come_later(vsudd):
    made = vsudd(
        "-inport", "1:unix:app.sock", "-outport", "2:unix:out.sock", ports=["own-1", "out.sock"]
    )
    for entry in ("own-1", "out.sock"):
        with connected(entry) as client:
            assert heard(client) == b""
    with listener("app.sock") as app, connected("own-1") as client, app.accept()[0] as link:
        link.sendall(b"now")
        assert client.recv(10) == b"now"
    err = ended(made)
    assert "app.sock: No such file or directory" in err
    assert "port 2 of 2: No such file or directory" in err


def test_sockets_of_its_own_are_replaced_and_removed(vsudd):
    listener("out.sock").close()  # left by an earlier run
    made = vsudd("-outport", "2:unix:out.sock")
    until(lambda: "to port 2 from out.sock" in made.stdout.readline(), "it listens")
    ended(made)
    assert not Path("out.sock").exists()
    Path("out.sock").write_text("a file of somebody")
    made = vsudd("-outport", "2:unix:out.sock")
    assert "out.sock: Address already in use" in made.communicate(timeout=PATIENCE_S)[1]
    assert made.returncode == 1
    assert Path("out.sock").read_text() == "a file of somebody"


def test_connections_beyond_the_limit_wait(vsudd):
    with listener("app.sock") as app:
        made = vsudd("-inport", "1:unix:app.sock", ports=["own-1"])
        clients = [connected("own-1") for _ in range(MOST + 1)]
        links = [app.accept()[0] for _ in range(MOST)]
        assert len(children(made)) == MOST
        app.settimeout(0.5)
        with pytest.raises(TimeoutError):
            app.accept()
        app.settimeout(PATIENCE_S)
        links.pop().close()
        links.append(app.accept()[0])
        for each in (*clients, *links):
            each.close()
        until(lambda: not children(made), "all end")
        assert ended(made) == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to do"), (("-inport",), "-inport needs a value"), (("-x",), "unknown option -x"), (("inport",), "unknown option inport"),
        (("-syslog", "1:x"), "unknown option -syslog"), (("-inport", "1:tcp:x"), "expected PORT:unix:PATH"),
        (("-inport", "1:unix:"), "expected PORT:unix:PATH"), (("-inport", "4294967295:unix:x"), "is no number below"),
        (("-inport", ":unix:x"), "is no number"), (("-inport", "-1:unix:x"), "is no number"), (("-inport", "0x1:unix:x"), "is no number"),
        (("-inport", "00000946-facb-11e6-bd58-64006a7986d4:unix:x"), "is no number"), (("-inport", "1:unix:" + "x" * 108), "too long for a socket"),
        (("-cid", "host", "-inport", "1:unix:x"), '"host" is no number'), (("-cid", "any", "-outport", "1:unix:x"), "-cid any cannot be it"),
        (("-inport", "1:unix:x") * 65, "more than 64 ports"), (("-inport", "1:unix:no/such/x", "-outport", "2:unix:no/such/x"), "no/such/x: No such file"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(vsudd, words, message):
    made = vsudd(*words)
    _out, err = made.communicate(timeout=PATIENCE_S)
    assert made.returncode == (1 if "No such" in message else 2)
    assert message in err
