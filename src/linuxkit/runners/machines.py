"""Machines that run in the background: where their state lies, and which of them are alive.

Each has a folder, ``$XDG_STATE_HOME/linuxkit/machines/NAME``, for its user alone; the process that
keeps it (:mod:`linuxkit.runners.keeper`) writes there.  Other processes only read.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.runners import report

FACTS, CONSOLE, REPORT, RESULT = "machine.json", "console.log", "report.jsonl", "result.json"
OLD = ".1"
"""Behind the name of a file that was full."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_MAX_FACTS = 1 << 20
_MAX_REPORT = (report.MAX_LINE * 2) * report.MAX_RECORDS


class Machine(NamedTuple):
    """A machine in the background.  ``pid`` is its keeper's, ``ticks`` when that one started."""

    name: str
    folder: Path
    pid: int
    ticks: int
    system: str  # the artifact's name
    started: int  # seconds since 1970
    publish: tuple[str, ...]

    @property
    def alive(self) -> bool:
        """Whether its keeper runs; another process that got its pid started at another time."""
        return self.pid > 0 and start_ticks(self.pid) == self.ticks

    @property
    def records(self) -> tuple[report.Record, ...]:
        """What its guest has reported so far."""
        lines = _read(self.folder / REPORT, _MAX_REPORT).splitlines()
        return tuple(record for line in lines if (record := _record(line)) is not None)

    @property
    def result(self) -> dict[str, object]:
        """How it ended: `status`, `reason`, `power` and `failed`; empty while it runs."""
        return _object(_read(self.folder / RESULT, _MAX_FACTS))


def root() -> Path:
    """The folder of all machines; it need not exist."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "linuxkit" / "machines"


def checked_name(name: str) -> str:
    """``name``, if a machine can be called that.  Raises LK0841."""
    if not _NAME.fullmatch(name):
        raise Error(
            "LK0841",
            f'"{printable(name)}" cannot be the name of a machine',
            hint='letters, digits and "_", ".", "-" are possible, at most 64 of them; give --name',
        )
    return name


def known() -> tuple[Machine, ...]:
    """Every machine that was started in the background and not replaced since, by name."""
    try:
        names = sorted(entry.name for entry in os.scandir(root()) if _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise files.os_error(error, "read", root()) from error
    return tuple(machine for name in names if (machine := _load(name)) is not None)


def find(name: str, *, alive: bool = False) -> Machine:
    """The machine called ``name``.  Raises LK0840 when there is none, or it must be ``alive``."""
    machine = _load(name) if _NAME.fullmatch(name) else None
    if machine is None:
        names = [each.name for each in known()]
        raise Error(
            "LK0840",
            f'no machine is called "{printable(name)}"',
            hint=suggestion(name, names) or "linuxkit ps lists them; run --detach starts one",
        )
    if alive and not machine.alive:
        raise Error("LK0840", f'the machine "{name}" does not run', hint="see linuxkit ps")
    return machine


def only() -> Machine:
    """The one machine that there is.  Raises LK0840 when there are more, or none."""
    machines = known()
    if len(machines) != 1:
        names = ", ".join(machine.name for machine in machines)
        hint = f"there are {names}" if names else "linuxkit run --detach starts one"
        raise Error("LK0840", "say which machine", hint=hint)
    return machines[0]


def saved_records(path: Path) -> tuple[report.Record, ...]:
    """The records in a file that `run --report` wrote.  Raises LK0102, LK0848."""
    value = _object(_read(path, _MAX_REPORT)).get("records")
    if not isinstance(value, list):
        raise Error("LK0848", f"{path} is no report of a run")
    lines = (json.dumps(each).encode() for each in value)
    return tuple(record for line in lines if (record := _record(line)) is not None)


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot (proc_pid_stat(5)); 0: there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The second field is the program's name in brackets, which may hold anything.
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


def _load(name: str) -> Machine | None:
    folder = root() / name
    value = _object(_read(folder / FACTS, _MAX_FACTS))
    match value:
        case {"pid": int(pid), "ticks": int(ticks), "system": str(system),
              "started": int(started), "publish": list(publish)}:  # fmt: skip
            return Machine(name, folder, pid, ticks, system, started, tuple(map(str, publish)))
        case _:
            return None  # it is just being made, or no folder of ours


def _object(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _record(line: bytes) -> report.Record | None:
    value = _object(line)
    names = set(report.Record._fields)
    if not {"t_ms", "event"} <= value.keys() <= names:
        return None
    return report.Record(**value)  # type: ignore[arg-type] # written by the keeper


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise files.os_error(error, "read", path) from error
