"""``linuxkit ps``: the machines in the background, or the units of one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from linuxkit.cli import render
from linuxkit.runners import machines
from linuxkit.runners.control import Control

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.runners.machines import Machine


def configure(parser: Parser) -> None:
    """A machine, perhaps."""
    parser.description = (
        "List the machines that `linuxkit run --detach` started, those that ended too; or the\n"
        "units of one that runs."
    )
    parser.add_argument("machine", nargs="?", default="", metavar="MACHINE", help="list its units")


def main(args: argparse.Namespace) -> int:
    """Print them.  Raises LK0840, LK0843, LK0844."""
    if args.machine:
        return _units(machines.find(args.machine, alive=True), json_wanted=args.json)
    found = [_facts(machine) for machine in machines.known()]
    if args.json:
        print(json.dumps(found, indent=2))
    elif found:
        rows = [
            (f["name"], f["state"], f["pid"] or "", f["system"], _age(f["started"]), f["ports"])
            for f in found
        ]
        head = ("NAME", "STATE", "PID", "SYSTEM", "STARTED", "PORTS")
        print(render.columns([head, *([str(cell) for cell in row] for row in rows)]))
    return 0


def _facts(machine: Machine) -> dict[str, object]:
    alive = machine.alive
    return {
        "name": machine.name,
        "state": _state(machine, alive=alive),
        "pid": machine.pid if alive else None,
        "system": machine.system,
        "started": machine.started,
        "ports": ", ".join(machine.publish),
        "result": None if alive else machine.result or None,
    }


def _state(machine: Machine, *, alive: bool) -> str:
    """What it is now: the boot's last state, or how it ended."""
    if alive:
        states = [r.state for r in machine.records if r.event == "boot"]
        return states[-1] if states else "starting"
    result = machine.result
    if not result:
        return "lost"  # its keeper was killed
    return "ended" if result.get("status") == 0 else f"ended with {result.get('status')}"


def _age(started: object) -> str:
    assert isinstance(started, int)  # noqa: S101 - ours
    seconds = max(0, int(time.time()) - started)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _units(machine: Machine, *, json_wanted: bool) -> int:
    with Control(machine) as control:
        units = control.units()
    if json_wanted:
        print(json.dumps([unit._asdict() for unit in units], indent=2))
        return 0
    head = ("UNIT", "STATE", "PID", "STARTS", "LOG BYTES", "LOST", "")
    rows = [
        (u.name, u.state, str(u.pid or ""), str(u.starts), str(u.log_bytes), str(u.lost_bytes),
         u.detail)
        for u in units
    ]  # fmt: skip
    print(render.columns([head, *rows], right={2, 3, 4, 5}))
    return 0
