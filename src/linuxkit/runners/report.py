"""What the guest says of itself: JSON lines on a virtio-serial port, read as untrusted input.

Turns bytes into records and records into a judgement; where the bytes come from is not known here.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from linuxkit.base.errors import printable

PORT = "org.linuxkit.report"  # the virtio-serial port's name
MAX_LINE = 1024
MAX_RECORDS = 20_000
MAX_UNITS = 4_096

_STATES = {
    "boot": frozenset({"started", "ready", "failed", "stopping"}),
    "unit": frozenset(
        {"starting", "running", "ready", "restarting", "exited", "failed", "stopped"}
    ),
}
_ACTIONS = frozenset({"poweroff", "reboot", "halt"})
_MAX_NUMBER = 1 << 53


class Record(NamedTuple):
    """One thing the guest said; all text is printable and bounded."""

    t_ms: int  # the guest's uptime
    event: str  # "boot", "unit", "phase" or "power"
    name: str = ""  # the unit, the phase or the power action
    state: str = ""
    status: int | None = None  # exit status
    signal: int | None = None
    detail: str = ""
    mem_total_kib: int | None = None
    mem_available_kib: int | None = None
    host_ms: int = 0  # when it came, since the machine's start


def parse(line: bytes) -> Record | None:
    """Read one line; None for what is not a record."""
    if len(line) > MAX_LINE:
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    t_ms = _number(value.get("t"))
    event = value.get("event")
    if t_ms is None or not isinstance(event, str):
        return None
    if event in _STATES:
        return _stated(t_ms, event, value)
    if event == "phase" and isinstance(value.get("phase"), str):
        return Record(t_ms, event, _text(value["phase"], 64))
    action = value.get("action")
    if event == "power" and isinstance(action, str) and action in _ACTIONS:
        return Record(t_ms, event, action)
    return None


def _stated(t_ms: int, event: str, value: dict[str, object]) -> Record | None:
    state = value.get("state")
    unit = _text(value.get("unit"), 300)
    if not isinstance(state, str) or state not in _STATES[event] or (event == "unit" and not unit):
        return None
    return Record(
        t_ms,
        event,
        unit if event == "unit" else "boot",
        state,
        _number(value.get("status")),
        _number(value.get("signal")),
        _text(value.get("detail"), 400),
        _number(value.get("mem_total_kib")),
        _number(value.get("mem_available_kib")),
    )


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_NUMBER else None


def _text(value: object, limit: int) -> str:
    return printable(value, limit) if isinstance(value, str) else ""


class Lines:
    """Cuts a stream into lines of bounded length."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._rest = b""
        self._skipping = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes; those that are too long are counted, not kept."""
        *whole, rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            whole, self._skipping = whole[1:], False
        kept = [line for line in whole if len(line) <= self._limit]
        self.dropped += len(whole) - len(kept)
        if len(rest) > self._limit:
            self.dropped += not self._skipping
            self._skipping, rest = True, b""
        self._rest = b"" if self._skipping else rest
        return [line for line in kept if line.strip()]


class Guest:
    """What is known of the guest since it last started; a reboot begins anew."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.dropped = 0  # lines that were no records, and records beyond the limit
        self.boot = ""  # the last state of the boot, "" before any record
        self.ready = False
        self.power = ""  # the action it announced
        self.units: dict[str, Record] = {}

    def take(self, record: Record) -> None:
        """Add what the guest said."""
        if len(self.records) < MAX_RECORDS:
            self.records.append(record)
        else:
            self.dropped += 1
        if record.event == "boot":
            if record.state == "started":
                self.ready, self.power = False, ""
                self.units.clear()
            self.boot = record.state
            self.ready = self.ready or record.state == "ready"
        elif record.event == "power":
            self.power = record.name
        elif record.event == "unit" and (record.name in self.units or len(self.units) < MAX_UNITS):
            before = self.units.get(record.name)
            if before and before.state == "restarting" and record.state == "stopped":
                return  # it did not run when all went down, so its last run is what counts
            self.units[record.name] = record

    @property
    def failed(self) -> tuple[str, ...]:
        """The units that ended badly."""
        return tuple(
            name
            for name, record in self.units.items()
            if ended_badly(record) or record.state == "restarting"
        )

    @property
    def well(self) -> bool:
        """It became ready, and nothing failed since it started."""
        return self.ready and self.boot != "failed" and not self.failed


def ended_badly(record: Record) -> bool:
    """A unit failed, or exited on its own with a status or by a signal."""
    return record.state == "failed" or (
        record.state == "exited" and bool(record.status or record.signal)
    )
