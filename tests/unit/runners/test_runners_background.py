"""Machines in the background without a machine: their files, their lines, their timelines."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time

import pytest

from linuxkit.base.errors import Error
from linuxkit.cli import exec as exec_verb
from linuxkit.cli import logs, stop
from linuxkit.runners import Options, Record, Result, machines, timeline
from linuxkit.runners.control import PORTS, Control, address
from linuxkit.runners.keeper import keep
from linuxkit.runners.machines import Machine


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "linuxkit" / "machines"


def make(state, name: str, **facts) -> None:
    folder = state / name
    folder.mkdir(parents=True)
    made = {"pid": 0, "ticks": 0, "system": "web", "started": 5, "publish": [], **facts}
    (folder / "machine.json").write_text(json.dumps(made))


def code(call, *words, **named) -> str:
    with pytest.raises(Error) as caught:
        call(*words, **named)
    return caught.value.code


def test_machines_are_found_by_name(state):
    assert machines.known() == ()
    make(state, "b", publish=["127.0.0.1:80:80/tcp"])
    make(state, "a")
    (state / "half").mkdir()
    (state / "odd").mkdir()
    (state / "odd" / "machine.json").write_text("[1")
    assert [m.name for m in machines.known()] == ["a", "b"]
    assert machines.find("b").publish == ("127.0.0.1:80:80/tcp",)
    with pytest.raises(Error, match="no machine is called") as caught:
        machines.find("aa")
    assert (caught.value.code, caught.value.hint) == ("LK0840", 'did you mean "a"?')
    for name in ("", "..", "a/b", "half", "\n"):
        assert code(machines.find, name) == "LK0840"
    assert code(machines.find, "a", alive=True) == "LK0840"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "x" * 65, "a\n"])
def test_names_that_are_none(name):
    assert code(machines.checked_name, name) == "LK0841"


def test_a_pid_that_somebody_else_has_is_not_the_machine(state):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ticks = machines.start_ticks(other.pid)
        make(state, "old", pid=other.pid, ticks=ticks - 1)
        make(state, "new", pid=other.pid, ticks=ticks)
        assert [m.alive for m in machines.known()] == [True, False]
        assert machines.find("new", alive=True).pid == other.pid
        other.kill()
        while machines.start_ticks(other.pid):  # a zombie is no machine either
            time.sleep(0.01)
        assert not machines.find("new").alive


def test_records_that_are_none_are_passed_over(state):
    make(state, "m")
    good = Record(5, "unit", "services/web", "running")
    lines = [json.dumps(good._asdict()), "", "nonsense", "{}", '{"t_ms": 1, "event": "x", "more": 1}']
    (state / "m" / "report.jsonl").write_text("\n".join(lines))
    assert machines.find("m").records == (good,)
    saved = state / "report.json"
    saved.write_text(json.dumps({"records": [good._asdict(), 7]}))
    assert machines.saved_records(saved) == (good,)
    saved.write_text("[]")
    assert code(machines.saved_records, saved) == "LK0848"


class Guest(threading.Thread):
    """The other side of one line: answers each request by a function of its words."""

    def __init__(self, folder, number: int, reply) -> None:
        super().__init__(daemon=True)
        self.heard: list[list[bytes]] = []
        self._reply = reply
        self._socket = socket.socket(socket.AF_UNIX)
        with address(folder, number) as path:
            self._socket.bind(path)
        self._socket.listen(1)
        self.start()

    def close(self) -> None:
        """Nobody listens any more, also not for whom this thread waits."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.join(5)
        self._socket.close()

    def run(self) -> None:
        try:
            wire, _ = self._socket.accept()
        except OSError:
            return
        with wire, wire.makefile("rb") as lines, contextlib.suppress(OSError):  # they hung up
            for line in lines:
                ident, *words = line.rstrip(b"\n").split(b" ")
                if words:
                    self.heard.append(words)
                    wire.sendall(self._reply(ident, words))


@pytest.fixture
def machine(state):
    make(state, "m")
    return Machine("m", state / "m", os.getpid(), 0, "web", 0, ())


@pytest.fixture
def guest(machine):
    """Makes the other side of a line."""
    made = []

    def listen(reply, number: int = 0) -> Guest:
        made.append(Guest(machine.folder, number, reply))
        return made[-1]

    yield listen
    for each in made:
        each.close()


def test_a_line_reads_frames(machine, guest):
    def reply(ident, words):
        noise = b"0123456789abcdef end 0\nout 3\n" + os.urandom(100_000)
        said = b"%s out 5\na\nb\0c%s err 2\nno%s end 7\n" % (ident, ident, ident)
        return noise + said

    other = guest(reply)
    with Control(machine) as control:
        frames = list(control.ask("exec", "web", "a b%", "é"))
    assert frames == [("out", b"a\nb\0c", 0), ("err", b"no", 0), ("end", b"", 7)]
    assert other.heard == [[b"exec", b"web", b"a%20b%25", b"%c3%a9"]]


def test_a_line_lists_units(machine, guest):
    def reply(ident, _words):
        good = b'services/web\trunning\t5\t1\t0\t0\t10\t2\t3\t"a\\u001b"\n'
        deep = good.replace(b'"a\\u001b"', b"[" * 100_000)
        text = good + b"too\tfew\n" + good.replace(b"\t5\t", b"\tx\t") + deep
        text, more = text[:60_000], text[60_000:]
        parts = [ident, len(text), text, ident, len(more), more, ident]
        return b"%s out %d\n%s%s out %d\n%s%s end 0\n" % tuple(parts)

    guest(reply)
    with Control(machine) as control:
        (unit,) = control.units()
    assert unit[:4] == ("services/web", "running", 5, 1)
    assert unit[6:] == (10, 2, 3, "a\\x1b")


def test_a_list_without_end_is_not_kept(machine, guest):
    guest(lambda ident, _words: b"%s out 65536\n%s" % (ident, b"x" * 65536) * 17)
    with Control(machine, timeout_s=5) as control:
        assert code(control.units) == "LK0844"


def test_an_init_that_refuses_says_why(machine, guest):
    def reply(ident, _words):
        return b"%s out 2\nab%s err 9\nno \x1bsuch\n%s end 2\n" % (ident, ident, ident)

    guest(reply)
    with Control(machine) as control, pytest.raises(Error) as caught:
        assert list(control.obey("logs", "web")) == [b"ab"]
    assert (caught.value.code, caught.value.message) == ("LK0846", "web: no \\x1bsuch")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"%s out 9999999\n", "makes no sense"), (b"%s out x\n", "makes no sense"),
        (b"%s sideways 5\n", "makes no sense"), (b"%s out 1\naZZZZZZZZZZZZZZZZZZZ", "makes no sense"),
        (b"x" * (2 << 20), "makes no sense"), (b"%s out 5\nab", "nothing came within 0.5 s"),
        (None, "it has just ended"),
    ],
)  # fmt: skip
def test_a_guest_that_talks_nonsense(machine, guest, answer, why):
    def reply(ident, _words):
        if answer is None:
            raise ConnectionError
        return answer.replace(b"%s", ident)

    guest(reply)
    with Control(machine, timeout_s=0.5) as control, pytest.raises(Error, match=why) as caught:
        list(control.ask("list"))
    assert caught.value.code == "LK0844"


def test_lines_are_for_one_caller_each(machine, guest):
    assert code(Control, machine) == "LK0844"  # nobody listens
    for number in range(PORTS):
        guest(lambda ident, _words: ident + b" end 0\n", number)
    held = [Control(machine) for _ in range(PORTS)]
    assert code(Control, machine) == "LK0843"
    held[1].close()
    with Control(machine) as control:  # its socket still listens
        assert code(lambda: list(control.ask("exec", "x" * 5000))) == "LK0845"
    for control in held:
        control.close()


def test_a_start_that_fails_is_told(state):
    def start(_lines, _sink):
        raise Error("LK0901", "no such program", hint="get one")

    with pytest.raises(Error, match="no such program") as caught:
        keep("m", start, system="web", publish=())
    assert (caught.value.code, caught.value.hint) == ("LK0901", "get one")
    assert machines.known() == ()
    assert code(keep, "a/b", start, system="web", publish=()) == "LK0841"


class Calm:
    """A machine that reports ``count`` things and powers off; stands in for :class:`Running`."""

    pid = 1
    ended = True

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    close = poweroff = press = __exit__

    def follow(self):
        return (Record(n, "unit", "services/web", "running") for n in range(self.count))

    def result(self):
        return Result(0, "guest-shutdown", True, True, "poweroff", (), (), 0, 1.0, False)


def test_a_full_disk_does_not_end_a_machine(state):
    """Files cannot grow beyond 4000 bytes here, as on a disk that is full."""
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
            keep("m", lambda _lines, _sink: Calm(200), system="web", publish=())
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    deadline = time.monotonic() + 30
    while not (found := machines.find("m")).result:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found.result["power"] == "poweroff"
    assert 0 < len(found.records) < 200


def test_lines_reach_the_emulator():
    from unit.runners.test_runners_qemu import argv

    words = " ".join(argv(Options(), lines=(7, 8)))
    for number, handle in enumerate((7, 8)):
        assert f"-chardev socket,id=line{number},fd={handle},server=on,wait=off" in words
        assert f"virtserialport,chardev=line{number},name=org.linuxkit.control.{number}" in words


RECORDS = (
    Record(1, "boot", "boot", "started"), Record(5, "unit", "services/old", "starting"),
    Record(100, "boot", "boot", "started"), Record(101, "phase", "mounts"),
    Record(150, "phase", "onboot"), Record(160, "unit", "onboot/000-x", "starting"),
    Record(200, "unit", "onboot/000-x", "running"), Record(300, "unit", "onboot/000-x", "exited"),
    Record(310, "phase", "services"), Record(320, "unit", "services/a<b", "starting"),
    Record(330, "unit", "services/a<b", "running"), Record(400, "unit", "services/a<b", "ready"),
    Record(410, "unit", "services/bad", "starting"), Record(420, "unit", "services/bad", "restarting"),
    Record(430, "unit", "services/bad", "starting"), Record(440, "unit", "services/bad", "failed"),
    Record(500, "boot", "boot", "ready"),
)  # fmt: skip


def test_a_timeline():
    found = {bar.name: bar[1:] for bar in timeline.bars(RECORDS)}
    assert found == {
        "kernel": (0, None, 100, "exited", 1),
        "phase mounts": (101, None, 150, "exited", 1),
        "phase onboot": (150, None, 310, "exited", 1),
        "onboot/000-x": (160, 200, 300, "exited", 1),
        "phase services": (310, None, 500, "exited", 1),
        "services/a<b": (320, 400, None, "ready", 1),
        "services/bad": (410, None, 420, "failed", 2),
    }
    assert code(timeline.bars, ()) == "LK0848"
    table = timeline.rows(timeline.bars(RECORDS))
    assert ("onboot/000-x", "0.160", "0.200", "0.300", "0.140", "exited") in table
    assert ("services/a<b", "0.320", "0.400", "", "0.080", "ready") in table
    assert table[-1][-1] == "failed (2 starts)"


def test_a_drawing():
    text = timeline.svg(timeline.bars(RECORDS), "a & b")
    assert "services/a&lt;b" in text
    assert "<title>a &amp; b</title>" in text
    widths = [float(w) for w in re.findall(r'height="14" width="([0-9.]+)"', text)]
    assert len(widths) == 9
    assert all(0 < width <= 700 for width in widths)


def run_verb(verb, **named) -> int:
    given = {"machine": "m", "unit": "web", "follow": False, "json": True, **named}
    return verb.main(argparse.Namespace(**given))


@pytest.fixture
def alive(machine, monkeypatch):
    monkeypatch.setattr(machines, "find", lambda _, **__: machine)


def test_logs_of_a_unit_as_objects(alive, guest, capsys):
    pieces = [b"one\ntw", b"o \x1b[1m\xff\r\n", b"x" * 65536, b"x", b"\nlast"]
    guest(lambda i, _: b"".join(b"%s out %d\n%s" % (i, len(p), p) for p in pieces) + i + b" end 0\n")
    assert run_verb(logs) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["unit"] for row in found} == {"web"}
    assert [row["line"] for row in found] == ["one", "two \x1b[1m�", "x" * 65536, "x", "last"]


def test_a_console_as_objects(alive, machine, capsys):
    (machine.folder / machines.CONSOLE).write_bytes(b"a\r\n\nb\r\n")
    status = run_verb(logs, unit="")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (status, rows) == (0, [{"unit": None, "line": text} for text in ("a", "", "b")])


def test_a_command_as_an_object(alive, guest, capsys):
    guest(lambda i, _: b"%s out 2\na\n%s err 1\nb%s out 1\nc%s end 3\n" % (i, i, i, i))
    assert run_verb(exec_verb, command=["x"]) == 3
    assert json.loads(capsys.readouterr().out) == {"status": 3, "out": "a\nc", "err": "b"}


def test_a_stopped_unit_as_an_object(alive, guest, capsys):
    guest(lambda ident, _: b"%s out 0\n%s end 0\n" % (ident, ident))
    assert run_verb(stop) == 0
    assert json.loads(capsys.readouterr().out) == {"machine": "m", "unit": "web", "ended": "stopped"}
