"""log-forward, memlogd, logread and logwrite: real sockets, and files that PID 1 would write."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from support.guest_world import GUEST
from support.tools import need

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]  # fmt: skip
PATIENCE_S = 60


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    program = folder / "log-forward"
    sources = sorted((GUEST / "logs").glob("*.c"))
    subprocess.run([need("gcc"), *FLAGS, *sources, "-o", program], check=True)
    for name in ("memlogd", "logread", "logwrite"):
        (folder / name).symlink_to(program)
    return folder


class World:
    """A root of a few folders, in a mount namespace, in which a program runs."""

    def __init__(self, tmp_path, programs):
        self.run, self.var = tmp_path / "run", tmp_path / "var"
        for folder in (self.run / "log/onboot", self.var / "log"):
            folder.mkdir(parents=True)
        (self.var / "run").symlink_to("/run")
        self.programs = programs
        self.started = []

    def start(self, name, *words, **options):
        mounts = f"mount --bind {self.run} /run && mount --bind {self.var} /var"
        script = f'{mounts} && exec "$0" "$@"'
        argv = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, self.programs / name, *words]
        pipe = subprocess.PIPE
        made = subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, **options)
        self.started.append(made)
        return made

    def ended(self, made):
        out, err = made.communicate(timeout=PATIENCE_S)
        return made.returncode, out, err

    def close(self):
        for made in self.started:
            if made.poll() is None:
                made.kill()
            made.communicate()


@pytest.fixture
def world(tmp_path, programs):
    need("unshare")
    made = World(tmp_path, programs)
    yield made
    made.close()


def until(true, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def hears(made, what):
    """Until the program complains of it."""
    for line in made.stderr:
        if what in line:
            return
    pytest.fail(f"it has ended without a word of {what}")


def text_of(path):
    return path.read_text() if path.exists() else ""


def receivers(world, *lines):
    path = world.run.parent / "receivers"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def say(world, name, text, where="log"):
    with (world.var / where / f"{name}.log").open("a") as file:
        file.write(text)


MESSAGE = r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) (\S+) - (\S+) - (.*)"


def test_datagrams_are_syslog(world):
    say(world, "web", "hello\n<3>it broke\nnot yet over")
    (world.run / "log/onboot/000-net.log").write_text("an address\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE_S)
        port = server.getsockname()[1]
        made = world.start("log-forward", receivers(world, f"udp 127.0.0.1 {port} 3 1000"))
        got = [re.fullmatch(MESSAGE, server.recv(4096).decode()).groups() for _ in range(3)]
        assert sorted((rank, app, kind, text) for rank, _t, _h, app, kind, text in got) == [
            ("27", "web", "services", "it broke"),
            ("30", "000-net", "onboot", "an address"),
            ("30", "web", "services", "hello"),
        ]
        made.send_signal(signal.SIGTERM)  # what has no end yet is said at the end
        assert server.recv(4096).endswith(b" not yet over")
        assert world.ended(made)[0] == 0


def read_counted(stream):
    length = b""
    while not length.endswith(b" "):
        length += stream.read(1)
    return stream.read(int(length)).decode()


def test_a_server_that_comes_and_goes_misses_nothing(world):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]  # ours, and nobody listens yet
        say(world, "web", "".join(f"line {n}\n" for n in range(100)))
        made = world.start("log-forward", receivers(world, f"tcp 127.0.0.1 {port} 16 100000 web"))
        hears(made, "Connection refused; trying again")
        say(world, "other", "unwanted\n")
        server.listen()
        server.settimeout(PATIENCE_S)
        for first, last in ((0, 100), (100, 130)):
            link, _address = server.accept()
            with link, link.makefile("rb") as stream:
                link.settimeout(PATIENCE_S)
                said = [read_counted(stream) for _ in range(last - first)]
                assert [text.rsplit(" - ", 1)[1] for text in said] == [f"line {n}" for n in range(first, last)]
                assert said[0].startswith("<134>1 ")
            hears(made, "it has closed the connection; trying again")  # before more is said
            say(world, "web", "".join(f"line {n}\n" for n in range(last, last + 30)))
    made.send_signal(signal.SIGTERM)
    assert world.ended(made)[0] == 0


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_sockets_of_the_machine(world, kind):
    say(world, "web", "hello\n")
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(str(world.run / "syslog"))
        server.settimeout(PATIENCE_S)
        if kind == socket.SOCK_STREAM:
            server.listen()
        world.start("log-forward", receivers(world, "unix /run/syslog - 3 10"))
        if kind == socket.SOCK_DGRAM:
            assert server.recv(4096).endswith(b" hello")
        else:
            with server.accept()[0] as link, link.makefile("rb") as stream:
                assert read_counted(stream).endswith(" hello")


def test_files_rotate_and_lose_nothing(world):
    lines = [f"line {n:04d} {'x' * 50}" for n in range(300)]
    path = receivers(world, "file /var/all 8192 4 100000")
    made = world.start("log-forward", path)
    say(world, "log-forward", "of itself it says nothing\n")
    for n in range(0, 300, 50):
        say(world, "web", "".join(f"{line}\n" for line in lines[n : n + 50]))
        if n == 100:  # as PID 1 does
            (world.var / "log/web.log").rename(world.var / "log/web.log.1")
    until(lambda: "line 0299" in text_of(world.var / "all"), "the last line")
    made.send_signal(signal.SIGTERM)
    assert world.ended(made)[0] == 0
    files = [world.var / f"all{suffix}" for suffix in (".3", ".2", ".1", "")]
    assert max(file.stat().st_size for file in files) <= 8192
    assert not (world.var / "all.4").exists()
    text = "".join(file.read_text() for file in files)
    assert re.findall(r"^\S+Z services/web (.*)$", text, re.MULTILINE) == lines[-text.count("\n") :]
    assert text.count("\n") > 250
    assert "of itself" not in text


def numbers(text):
    return [int(number) for number in re.findall(r"services/web line (\d+)$", text, re.MULTILINE)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_goes_on_where_it_was(world, number):
    """It is ended again and again while a unit talks and its log is rotated."""
    (world.run / "kept").mkdir()
    path = receivers(world, "file /var/all 10000000 1 100000 web", "file /var/other 1000000 1 1000 never-there")
    log, all_of_it, said = world.var / "log/web.log", world.var / "all", 0
    for turn in range(8):
        made = world.start("log-forward", path, "/run/kept")
        say(world, "web", "".join(f"line {n}\n" for n in range(said, said + 1000)))
        if turn == 3:  # as PID 1 does
            log.rename(world.var / "log/web.log.1")
        say(world, "web", "".join(f"line {n}\n" for n in range(said + 1000, said + 2000)))
        said += 2000
        pids = until(lambda: len(found := children(made.pid)) == 2 and found, "both receivers")  # noqa: B023
        until(lambda: len(numbers(text_of(all_of_it))) > said - 1900, "it is under way")  # noqa: B023
        if number == signal.SIGKILL:
            made.send_signal(signal.SIGSTOP)  # or it would see its receivers end, and end itself
            kill(*pids)
        made.send_signal(number)
        assert world.ended(made)[0] == (0 if number == signal.SIGTERM else -number)
    last = world.start("log-forward", path, "/run/kept")
    until(lambda: len(children(last.pid)) == 2, "both receivers")
    until(lambda: numbers(text_of(all_of_it))[-1:] == [said - 1], "the last line")
    last.send_signal(signal.SIGTERM)
    assert world.ended(last)[0] == 0
    found = numbers(text_of(all_of_it))
    assert sorted(set(found)) == list(range(said))
    assert found == sorted(found)
    assert len(found) - said <= (0 if number == signal.SIGTERM else 8)  # a line that was being written when killed
    assert "lost" not in text_of(all_of_it)


def kill(*pids):
    """And see that they are gone."""
    for pid in pids:
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        assert select.select([handle], [], [], PATIENCE_S)[0]
        os.close(handle)


def children(pid):
    return [int(child) for child in text_of(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def test_positions_are_the_receivers_own(world):
    """Another receiver begins at the beginning; so does one whose file is not its own."""
    (world.run / "kept").mkdir()
    say(world, "web", "line 0\n")
    for name, rubbish in (("a", b""), ("b", b""), ("c", b"x" * 400_000), ("c", b"short")):
        if rubbish:
            (world.run / "kept/0").write_bytes(rubbish)
        made = world.start("log-forward", receivers(world, f"file /var/{name} 100000 1 1000 web"), "/run/kept")
        until(lambda: numbers(text_of(world.var / name)) == [0], "it is written")  # noqa: B023
        made.send_signal(signal.SIGTERM)
        assert world.ended(made)[0] == 0
        (world.var / name).unlink()
    made = world.start("log-forward", receivers(world, "file /var/d 100000 1 1000 web"), "/run/not/there")
    until(lambda: numbers(text_of(world.var / "d")) == [0], "it is written all the same")
    made.send_signal(signal.SIGTERM)
    status, _out, err = world.ended(made)
    assert status == 0
    assert "/run/not/there/0: No such file or directory; a restart will begin anew" in err


def test_a_rate_holds_back_and_a_loss_is_told(world):
    say(world, "web", "".join(f"line {n}\n" for n in range(10_000)))
    begun = time.monotonic()
    world.start("log-forward", receivers(world, "file /var/all 1000000 2 10"))
    count = until(lambda: (lines := text_of(world.var / "all").count("\n")) > 20 and lines, "a second's worth and more")
    assert count <= 10 + 10 * (time.monotonic() - begun)
    for _ in range(2):  # two rotations: what was not read is gone
        log = world.var / "log/web.log"
        log.rename(world.var / "log/web.log.1")
        say(world, "web", "new\n")
    until(lambda: "services/web new" in (world.var / "all").read_text(), "the new file")
    assert "(lines lost" in (world.var / "all").read_text()


def test_a_full_disk_is_told_once(world):
    say(world, "web", "hello\n")
    made = world.start("log-forward", receivers(world, "file /dev/full/x 1000 1 10"))
    hears(made, "trying again")
    time.sleep(2)  # it tries, and says no more
    made.send_signal(signal.SIGTERM)
    status, _out, err = world.ended(made)
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "from 1 to 16 receivers"), ("smoke a b c 1\n", "line 1 is no receiver"),
        ("udp a 1 24 1\n", '"24" is no number from 0 to 23'), ("udp a 1 3\n", "line 1 is no receiver"),
        ("file /x 0 1 1\n", '"0" is no number'), ("file /x 9 0 1\n", '"0" is no number'),
        ("udp a 1 3 1 " + "x " * 80 + "\n", "too many words"), ("udp a 1 3 1\n" * 17, "from 1 to 16 receivers"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(programs, tmp_path, text, message):
    (tmp_path / "r").write_text(text)
    done = subprocess.run([programs / "log-forward", tmp_path / "r"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def memlogd(world, *words):
    made = world.start("memlogd", *words)

    def listens():
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), query(world, 0):
            return True

    until(listens, "memlogd listens")
    return made


def give(world, name):
    """A pipe that memlogd reads: its writing end."""
    reading, writing = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(str(world.run / "linuxkit-external-logging.sock"))
        socket.send_fds(to, [name], [reading])
    os.close(reading)
    return os.fdopen(writing, "wb", buffering=0)


def query(world, mode):
    with contextlib.ExitStack() as closing:
        link = closing.enter_context(socket.socket(socket.AF_UNIX))
        link.settimeout(PATIENCE_S)
        link.connect(str(world.run / "memlogdq.sock"))
        link.send(bytes([mode]))
        closing.pop_all()
    return link


def test_memlogd_speaks_as_upstreams(world):
    memlogd(world, "-max-lines", "5", "--max-line-len=20")
    say(world, "web", "a unit's\n")
    with give(world, b"app") as app:
        app.write('one\ntw"o \\ \x01 é\n'.encode() + b"bad \xff\n" + b"y" * 30 + b"\n")

        def lines():
            with query(world, 0) as link, link.makefile() as answer:
                return [json.loads(line) for line in answer]

        found = until(lambda: len(lines()) == 5 and lines(), "five lines")
        texts = {entry["msg"] for entry in found}
        assert texts == {"one", 'tw"o \\ \x01 é', "bad �", "y" * 20, "a unit's"}
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", entry["time"]) for entry in found)
        assert {(e["source"], e.get("file")) for e in found} == {("app", None), ("web", "/var/log/web.log")}
        with query(world, 1) as one, query(world, 2) as two, one.makefile() as follows, two.makefile() as both:
            assert {json.loads(both.readline())["msg"] for _ in range(5)} == texts  # so the one before has asked, too
            app.write(b"new\n")
            assert json.loads(follows.readline())["msg"] == "new"
            assert json.loads(both.readline())["msg"] == "new"
        app.write(b"no end")
    until(lambda: lines()[-1]["msg"] == "no end", "the end of the pipe ends the line")
    assert len(lines()) == 5


def test_memlogd_survives_nonsense(world):
    made = memlogd(world)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(str(world.run / "linuxkit-external-logging.sock"))
        to.send(b"no descriptor")
        to.send(os.urandom(2000))
        with open("/dev/null") as null:
            socket.send_fds(to, [b"many"], [null.fileno()] * 8)
            socket.send_fds(to, [b"../../etc/x"], [null.fileno()])
    with query(world, 9) as link:
        assert link.recv(10) == b""
    silent = [query(world, 2) for _ in range(20)]  # more than it serves
    for link in silent:
        link.close()
    with give(world, b"flood") as app, query(world, 2):  # who never reads stops nobody
        for n in range(20_000):
            app.write(b"line %d %s\n" % (n, b"z" * 100))

    def logread():
        status, out, err = world.ended(world.start("logread"))
        assert (status, err) == (0, "")
        return "flood line 19999 " in out and out

    out = until(logread, "the last line")
    assert re.match(r"\d{4}-\d\d-\d\dT", out.splitlines()[-1])
    assert out.count("\n") == 5000
    assert made.poll() is None


def test_logwrite_keeps_what_nobody_else_keeps(world):
    memlogd(world)
    writes = world.start("logwrite", "-log-dir", "/var/log", "-max-log-files=3", "-max-log-size", "2048")
    say(world, "web", "a unit's\n")
    with give(world, b"app") as app:
        for n in range(199):
            app.write(b"line %d\n" % n)
        until(lambda: "a unit's" in world.ended(world.start("logread"))[1], "the unit's line")
        app.write(b"line 199\n")  # logwrite has passed over the unit's when it comes to this
        until(lambda: "line 199" in text_of(world.var / "log/app.log"), "app.log")
    names = sorted(path.name for path in (world.var / "log").iterdir())
    assert names == ["app.log", "app.log.1", "app.log.2", "web.log"]
    assert (world.var / "log/web.log").read_text() == "a unit's\n"
    text = "".join((world.var / "log" / name).read_text() for name in ("app.log.2", "app.log.1", "app.log"))
    kept = re.findall(r"^\S+Z (line \d+)$", text, re.MULTILINE)
    assert kept == [f"line {n}" for n in range(200 - len(kept), 200)]
    assert len(kept) > 100
    assert writes.poll() is None


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("memlogd", ["-max-lines", "0"], '-max-lines: "0" is no number from 1'),
        ("memlogd", ["-max-lines"], "-max-lines needs a value"), ("memlogd", ["-x"], "unknown option -x"),
        ("logwrite", ["x"], "unknown option x"), ("logread", ["x"], "usage: logread"),
        ("logread", ["-socket", "/x" * 80], "too long for a socket"),
    ],
)  # fmt: skip
def test_bad_options(programs, name, words, message):
    done = subprocess.run([programs / name, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
