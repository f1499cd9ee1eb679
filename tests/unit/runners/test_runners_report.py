from __future__ import annotations

import json

import pytest

from linuxkit.runners.report import MAX_LINE, MAX_RECORDS, MAX_UNITS, Guest, Lines, Record, parse
from linuxkit.runners.result import judge

RECORDS = {
    '{"t":5,"event":"boot","state":"started"}': Record(5, "boot", "boot", "started"),
    '{"t":9,"event":"boot","state":"ready","mem_total_kib":100,"mem_available_kib":60}': Record(
        9, "boot", "boot", "ready", mem_total_kib=100, mem_available_kib=60
    ),
    '{"t":6,"event":"unit","unit":"services/nginx","state":"running"}': Record(
        6, "unit", "services/nginx", "running"
    ),
    '{"t":7,"event":"unit","unit":"a","state":"exited","status":3,"signal":0,"detail":"x"}': Record(
        7, "unit", "a", "exited", 3, 0, "x"
    ),
    '{"t":1,"event":"phase","phase":"modules"}': Record(1, "phase", "modules"),
    '{"t":8,"event":"power","action":"poweroff"}': Record(8, "power", "poweroff"),
    # What is new in a later guest is left aside, what is wrong in type is not believed.
    '{"t":1,"event":"unit","unit":"a","state":"failed","new":[1],"status":"3","signal":true}': Record(
        1, "unit", "a", "failed"
    ),
}
GARBAGE = [
    b"", b"null", b"[]", b"{}", b"login: root", b"\xff\xfe", b'{"t":1}', b'{"t":1,"event":"unit"}',
    b'{"t":-1,"event":"boot","state":"ready"}', b'{"t":1.5,"event":"boot","state":"ready"}',
    b'{"t":true,"event":"boot","state":"ready"}', b'{"t":1e400,"event":"boot","state":"ready"}',
    b'{"t":1,"event":"boot","state":"splendid"}', b'{"t":1,"event":"boot","state":["ready"]}',
    b'{"t":1,"event":["boot"],"state":"ready"}', b'{"t":1,"event":"power","action":"explode"}',
    b'{"t":1,"event":"power","action":{}}', b'{"t":1,"event":"phase"}',
    b'{"t":1,"event":"unit","unit":"","state":"running"}',
    b'{"t":1,"event":"unit","unit":5,"state":"running"}',
    b'{"t":9007199254740992,"event":"boot","state":"ready"}', b"[" * 1000,
    b'{"t":1,"event":"phase","phase":"' + b"x" * MAX_LINE + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("line", RECORDS)
def test_records(line):
    assert parse(line.encode()) == RECORDS[line]


@pytest.mark.parametrize("line", GARBAGE)
def test_garbage_is_no_record(line):
    assert parse(line) is None


def test_text_is_safe_to_print():
    line = json.dumps({"t": 1, "event": "unit", "unit": "a\x1b[2Jb", "state": "failed", "detail": "y" * 900})
    record = parse(line.encode())
    assert record
    assert record.name == "a\\x1b[2Jb"
    assert record.detail == "y" * 400 + "…"


def test_lines_come_whole_however_they_are_cut():
    stream = b"".join(b"%d\n" % n for n in range(200))
    for step in (1, 2, 7, 1000):
        lines = Lines()
        got = [x for i in range(0, len(stream), step) for x in lines.feed(stream[i : i + step])]
        assert got == [b"%d" % n for n in range(200)]
        assert lines.dropped == 0


def test_long_lines_are_counted_and_forgotten():
    lines = Lines(limit=10)
    assert lines.feed(b"a" * 11) == []
    assert lines.feed(b"a" * 10_000_000) == []
    assert lines.feed(b"tail\nok\n") == [b"ok"]
    assert lines.feed(b"b" * 11 + b"\nfine\n\n") == [b"fine"]
    assert lines.dropped == 2


def guest(*lines: str) -> Guest:
    made = Guest()
    for number, line in enumerate(lines):
        what, _, state = line.partition(" ")
        event = what if what in {"boot", "power"} else "unit"
        words = {"boot": {"state": state}, "power": {"action": state}}.get(
            event, {"unit": what, **dict(zip(("state", "status"), (*state.split(), 0), strict=False))}
        )
        if "status" in words:
            words["status"] = int(words["status"])
        record = parse(json.dumps({"t": number, "event": event, **words}).encode())
        assert record, line
        made.take(record)
    return made


START = ("boot started", "services/a starting", "services/a running")


@pytest.mark.parametrize(
    ("lines", "reason", "code", "expected"),
    [
        ((*START, "boot ready", "boot stopping", "services/a stopped", "power poweroff"), "guest-shutdown", 0, 0),
        ((*START, "boot ready"), "host-qmp-quit", 0, 0),  # the user left
        (START, "host-qmp-quit", 0, 4),  # too early
        ((*START, "boot ready"), "guest-reset", 0, 4),  # it crashed
        ((*START, "boot ready"), "guest-panic", 0, 4),
        (("boot started", "boot failed", "power poweroff"), "guest-shutdown", 0, 4),
        ((*START, "services/a failed", "boot ready", "power poweroff"), "guest-shutdown", 0, 4),
        ((*START, "boot ready", "services/a exited 1", "power poweroff"), "guest-shutdown", 0, 4),
        ((*START, "boot ready", "services/a exited 0", "power poweroff"), "guest-shutdown", 0, 0),
        # a unit that was being restarted when all went down is not; one that ran again is
        ((*START, "services/a restarting", "boot ready", "services/a stopped", "power halt"), "guest-shutdown", 0, 4),
        ((*START, "services/a restarting", "services/a running", "boot ready", "services/a stopped", "power halt"),
         "guest-shutdown", 0, 0),
        # a unit that failed once and runs again is well
        ((*START, "services/a failed", "services/a running", "boot ready", "power halt"), "guest-shutdown", 0, 0),
        # a reboot begins anew
        ((*START, "services/a failed", "power reboot", *START, "boot ready", "power poweroff"), "guest-shutdown", 0, 0),
        # an init that does not report
        ((), "guest-shutdown", 0, 0),
        ((), "", 33, 33),
        ((), "guest-panic", 0, 4),
    ],
)  # fmt: skip
def test_judgement(lines, reason, code, expected):
    assert judge(guest(*lines), reason, code, timed_out=False) == expected
    assert judge(guest(*lines), reason, code, timed_out=True) == 124


def test_a_babbling_guest_fills_no_memory():
    made = Guest()
    for number in range(MAX_RECORDS + 10):
        made.take(Record(number, "unit", f"u{number}", "running"))
    assert len(made.records) == MAX_RECORDS
    assert len(made.units) == MAX_UNITS
    assert made.dropped == 10
