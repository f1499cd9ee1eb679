from __future__ import annotations

import io
import json
import threading
import time

import pytest

from linuxkit.base import events
from linuxkit.base.errors import Error, Errors
from linuxkit.base.where import Where
from linuxkit.cli.arguments import Globals
from linuxkit.cli.render import Bars, Json, Lines, reporter, size


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def shown(kind: type[Lines], verbose: int, *told: events.Event) -> str:
    stream = io.StringIO()
    made = kind(verbose, stream)
    for event in told:
        made(event)
    return stream.getvalue()


WHERE = Where("web.yml", 3, 5, "\tcomand: [a]", 6)
ERROR = Error("LK0203", 'unknown key "comand"', hint='did you mean "command"?', where=Where("web.yml", 3, 2, "\tcomand: [a]", 6), detail="one\ntwo")


def rendered(error: Error, kind: type[Lines] = Lines) -> str:
    stream = io.StringIO()
    kind(1, stream).errors(error)
    return stream.getvalue()


def test_an_error_in_full():
    assert rendered(ERROR) == (
        'error: LK0203 web.yml:3:2: unknown key "comand"\n'
        "  \tcomand: [a]\n"
        "  \t^^^^^^\n"
        "    one\n"
        "    two\n"
        'hint: did you mean "command"?\n'
    )


def test_all_errors_are_shown():
    text = rendered(Errors([Error("LK0201", "first"), ERROR, Error("LK0102", "last")]))
    assert [line for line in text.splitlines() if line.startswith("error")] == [
        "error: LK0201 first",
        'error: LK0203 web.yml:3:2: unknown key "comand"',
        "error: LK0102 last",
    ]
    assert text.endswith("3 errors\n")


def test_untrusted_text_cannot_reach_the_terminal():
    text = rendered(Error("LK0101", "a\x1b[2Jb\x9b1m\r", detail="x\x07\ty\nz"))
    assert text == "error: LK0101 a\\x1b[2Jb\\x9b1m\\x0d\n    x\\x07\ty\n    z\n"


def test_errors_as_json():
    (line,) = rendered(ERROR, Json).splitlines()
    assert json.loads(line) == {
        "event": "error", "code": "LK0203", "message": 'unknown key "comand"',
        "hint": 'did you mean "command"?', "detail": "one\ntwo",
        "where": {"file": "web.yml", "line": 3, "column": 2},
    }  # fmt: skip


TOLD = (
    events.Started(1, "download", "linux", 3 << 20),
    events.Advanced(1, 3 << 20),
    events.Finished(1, ok=True),
    events.Started(2, "compress", "root"),
    events.Finished(2, ok=True),
    events.Note("info", "an info"),
    events.Note("debug", "a detail"),
    events.Note("warning", "mind this", "LK0820"),
    events.Measured("root", 2048),
    events.Unit("services/a", "starting", 900),
    events.Unit("services/a", "running", 1234),
    events.Unit("services/b", "failed", 1300, "status 1"),
)


def test_lines():
    assert shown(Lines, 1, *TOLD).splitlines() == [
        "download linux (3.0 MiB)",
        "an info",
        "warning: LK0820 mind this",
        "[   1.234] running    services/a",
        "[   1.300] failed     services/b status 1",
    ]


def test_more_lines_on_request():
    assert shown(Lines, 2, *TOLD).splitlines() == [
        "download linux (3.0 MiB)",
        "compress root",
        "an info",
        "a detail",
        "warning: LK0820 mind this",
        "root: 2.0 KiB",
        "[   0.900] starting   services/a",
        "[   1.234] running    services/a",
        "[   1.300] failed     services/b status 1",
    ]


def test_quiet_tells_what_went_wrong():
    assert shown(Lines, 0, *TOLD).splitlines() == [
        "warning: LK0820 mind this",
        "[   1.300] failed     services/b status 1",
    ]


def test_json_leaves_nothing_out():
    lines = [json.loads(line) for line in shown(Json, 1, *TOLD).splitlines()]
    assert len(lines) == len(TOLD)
    assert lines[0] == {
        "event": "started", "task": 1, "action": "download", "what": "linux",
        "total": 3 << 20, "unit": "B",
    }  # fmt: skip
    assert lines[2] == {"event": "finished", "task": 1, "ok": True}


def test_long_and_failed_work_is_told_at_its_end(monkeypatch):
    now = iter([0.0, 61.5, 100.0, 100.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    told = (
        events.Started(1, "assemble", "init"), events.Finished(1, ok=True),
        events.Started(2, "write", "web"), events.Finished(2, ok=False),
    )  # fmt: skip
    assert shown(Lines, 1, *told).splitlines() == ["assemble init: done in 61.5 s", "write web: failed"]


@pytest.mark.parametrize(
    ("given", "terminal", "kind"),
    [
        (Globals(), False, Lines),
        (Globals(), True, Bars),
        (Globals(quiet=True, verbose=0), True, Lines),
        (Globals(json=True), True, Json),
    ],
)
def test_the_choice_of_reporter(monkeypatch, given, terminal, kind):
    monkeypatch.setattr("sys.stderr", Terminal() if terminal else io.StringIO())
    monkeypatch.setenv("TERM", "xterm")
    assert type(reporter(given)) is kind
    monkeypatch.setenv("TERM", "dumb")
    assert type(reporter(given)) is not Bars


def test_colour_only_on_terminals_and_not_when_unwanted(monkeypatch):
    def said() -> str:
        stream = Terminal()
        Lines(1, stream).errors(ERROR)
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31merror:\x1b[0m" in said()
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b" in said()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in said()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in said()
    monkeypatch.delenv("TERM")
    assert "\x1b" not in said()


def test_quick_work_draws_no_bar_and_loads_no_library():
    stream = Terminal()
    made = Bars(1, stream)
    for event in TOLD[:5]:
        made(event)
    made.close()
    assert stream.getvalue() == ""


def test_bars_appear_and_go(monkeypatch):
    monkeypatch.setattr("linuxkit.cli.render._SHOW_AFTER_S", 0.01)
    monkeypatch.setattr("linuxkit.cli.render._TELL_AFTER_S", 0.0)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    made = Bars(1, stream)
    made(events.Started(1, "download", "[bold]linux", 4 << 20))
    made(events.Advanced(1, 1 << 20))
    deadline = time.monotonic() + 10
    while "1.0 MiB of 4.0 MiB" not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "download [bold]linux" in stream.getvalue()
    made(events.Started(2, "build", "kernel"))
    made(events.Note("warning", "mind [this]"))
    made(events.Advanced(1, 3 << 20))
    made(events.Finished(1, ok=True))
    made(events.Finished(2, ok=False))
    made.close()
    text = stream.getvalue()
    assert "1.0 MiB of 4.0 MiB" in text
    assert "warning: mind [this]" in text
    assert "✓ download [bold]linux 4.0 MiB" in text
    assert "✗ build kernel" in text
    assert text.rpartition("━")[2].count("\x1b[2K") == 2  # both bars are wiped out
    assert text.rstrip().endswith("\x1b[?25h")  # and the cursor is back


def test_many_threads_may_tell():
    stream = io.StringIO()
    made = Lines(2, stream)

    def work(number: int) -> None:
        for step in range(50):
            task = number * 1000 + step
            made(events.Started(task, "compress", f"part {task}"))
            made(events.Advanced(task, 1))
            made(events.Finished(task, ok=True))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 400
    assert all(line.startswith("compress part ") for line in lines)


def test_sizes():
    assert [size(n) for n in (0, 1023, 1024, 11_737_024, 5 << 30, 5 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "11.2 MiB", "5.0 GiB", "5120.0 GiB"
    ]  # fmt: skip
