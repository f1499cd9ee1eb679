"""``linuxkit stop``: ends a machine that runs in the background, or a unit in it."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.runners import machines
from linuxkit.runners.control import Control

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.runners.machines import Machine

_PAUSE_S = 0.1
_LIMIT_S = 90.0  # longer than its keeper takes over all its ways to end it


def configure(parser: Parser) -> None:
    """A machine and perhaps a unit."""
    parser.description = (
        "End a machine in the background: in order, within a minute; then by its power button; at\n"
        "last by force.  With UNIT, stop that service and leave the machine on.  With --json the\n"
        'result is an object with `machine`, `unit` (or null) and `ended`: "in order", "by\n'
        'force", or "stopped" for a unit.'
    )
    parser.add_argument("machine", metavar="MACHINE", help="its name, as `linuxkit ps` shows it")
    parser.add_argument("unit", nargs="?", default="", metavar="UNIT", help="a service of it")


def main(args: argparse.Namespace) -> int:
    """Stop it.  Raises LK0840, LK0843, LK0844, LK0846, LK0847 (it does not end)."""
    machine = machines.find(args.machine, alive=True)
    if args.unit:
        _unit(machine, args.unit)
        return _tell(machine, args.unit, "stopped", json_wanted=args.json)
    os.kill(machine.pid, signal.SIGTERM)
    deadline = time.monotonic() + _LIMIT_S
    while machine.alive:
        if time.monotonic() > deadline:
            raise Error(
                "LK0847", f'the machine "{machine.name}" does not end',
                hint=f"its process is {machine.pid}: kill -9 {machine.pid} ends both",
            )  # fmt: skip
        time.sleep(_PAUSE_S)
    power = machine.result.get("power")
    how = "in order" if power else "by force"
    events.note(f"{machine.name} ended {how}", level="info" if power else "warning")
    return _tell(machine, None, how, json_wanted=args.json)


def _tell(machine: Machine, unit: str | None, how: str, *, json_wanted: bool) -> int:
    if json_wanted:
        print(json.dumps({"machine": machine.name, "unit": unit, "ended": how}))
    return 0


def _unit(machine: Machine, unit: str) -> None:
    with Control(machine) as control:
        for _ in control.obey("stop", unit, patient=True):
            pass  # it says nothing before it is done
