"""``linuxkit exec``: a command in a container of a machine that runs in the background."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

from linuxkit.runners import machines
from linuxkit.runners.control import Control

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """Where, and what."""
    parser.description = (
        "Run a command in a unit's container, without input.  Its output comes through as it is,\n"
        "its exit status is the command's; 126: the unit does not run.  The command has the\n"
        "rights of the unit and no more.  With --json its output comes at the end, as one object\n"
        "with `status`, `out` and `err`."
    )
    parser.add_argument("machine", metavar="MACHINE", help="its name, as `linuxkit ps` shows it")
    parser.add_argument("unit", metavar="UNIT", help="a service of it, such as web")
    text = "the program and its arguments; `--` before it keeps its flags its own"
    parser.add_argument("command", nargs="+", metavar="COMMAND", help=text)


def main(args: argparse.Namespace) -> int:
    """Run it.  Raises LK0840, LK0843, LK0844, LK0845."""
    kept = {"out": io.BytesIO(), "err": io.BytesIO()}
    streams = kept if args.json else {"out": sys.stdout.buffer, "err": sys.stderr.buffer}
    status = 0
    with Control(machines.find(args.machine, alive=True)) as control:
        for frame in control.ask("exec", args.unit, *args.command, patient=True):
            status = frame.status  # of the last one
            if frame.data:
                streams[frame.kind].write(frame.data)
                streams[frame.kind].flush()
    if args.json:
        texts = {k: v.getvalue().decode(errors="replace") for k, v in kept.items()}
        print(json.dumps({"status": status, **texts}))
    return status
