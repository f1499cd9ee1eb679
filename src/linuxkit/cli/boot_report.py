"""``linuxkit boot-report``: what a machine's last boot took its time for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.cli import render
from linuxkit.runners import machines, timeline

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.runners.report import Record


def configure(parser: Parser) -> None:
    """A machine, or a report of `run`."""
    parser.description = (
        "Show when the kernel, each phase and each unit of a machine's last boot began, was ready\n"
        "and ended, in seconds since the kernel started."
    )
    text = "its name, as `linuxkit ps` shows it; the only one may be left out"
    parser.add_argument("machine", nargs="?", default="", metavar="MACHINE", help=text)
    parser.add_value("--report", "FILE", "read what `run --report` wrote instead")
    parser.add_value("--svg", "FILE", "draw it, too")


def main(args: argparse.Namespace) -> int:
    """Print it.  Raises LK0840, LK0848 (nothing was reported), LK0102."""
    name, records = _records(args.machine, args.report)
    found = timeline.bars(records)
    if args.svg:
        drawing = timeline.svg(found, f"The boot of {name}")
        files.write(Path(args.svg), drawing.encode(), sync=False)
    if args.json:
        print(json.dumps([bar._asdict() for bar in found], indent=2))
    else:
        print(render.columns(timeline.rows(found), right={1, 2, 3, 4}))
    return 0


def _records(name: str, path: str) -> tuple[str, tuple[Record, ...]]:
    if path:
        return Path(path).name, machines.saved_records(Path(path))
    machine = machines.find(name) if name else machines.only()
    return machine.name, machine.records
