"""``linuxkit learn``: writes down which system calls the units of a machine have made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.cli import render
from linuxkit.runners import machines
from linuxkit.runners.control import Control

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from linuxkit.build.sandbox.learned import Recorded
    from linuxkit.cli.arguments import Parser

_NUMBER = re.compile(r"\d{3}-")  # of units before and behind the services


def configure(parser: Parser) -> None:
    """A machine, and where to write to."""
    parser.description = (
        "Write which system calls the strict containers of a machine have made so far, each into\n"
        "NAME.seccomp.json, for `seccomp: {learned: NAME.seccomp.json}`.  The machine runs in the\n"
        "background, and its system was built with `linuxkit build --learn`."
    )
    parser.add_argument("machine", metavar="MACHINE", help="its name, as `linuxkit ps` shows it")
    parser.add_argument("units", nargs="*", metavar="UNIT", help="such as web; else all that learn")
    parser.add_value("--dir", "DIR", "folder of the files (else the current one)")
    parser.add_switch("--add", "add to what a file has, instead of replacing this architecture's")


def main(args: argparse.Namespace) -> int:
    """Write them.  Raises LK0102, LK0758, LK0840, LK0843, LK0844, LK0846."""
    folder = Path(args.dir or ".")
    files.need_folder(folder)
    found = _counted(args)
    if not found:
        raise Error(
            "LK0758",
            f'nothing in the machine "{args.machine}" learns',
            hint="build its system with --learn; only strict containers do",
        )
    rows = [_write(folder, unit, recorded, add=args.add) for unit, recorded in found.items()]
    if args.json:
        names = ("unit", "file", "calls", "new")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    elif not args.quiet:
        head = ("UNIT", "FILE", "CALLS", "NEW")
        texts = [tuple(str(cell) for cell in row) for row in rows]
        print(render.columns([head, *texts], right={2, 3}))
    return 0


def _counted(args: argparse.Namespace) -> Mapping[str, Recorded]:
    """What the units that were named have counted, or all that have."""
    from linuxkit.build.sandbox import learned

    with Control(machines.find(args.machine, alive=True)) as control:
        if args.units:
            answers = {unit: b"".join(control.obey("calls", unit)) for unit in args.units}
        else:
            names = [unit.name for unit in control.units()]
            answers = {
                name: b"".join(f.data for f in control.ask("calls", name) if f.kind == "out")
                for name in names
            }
    return {name: learned.counted(data) for name, data in answers.items() if data}


def _write(folder: Path, unit: str, recorded: Recorded, *, add: bool) -> tuple[str, str, int, int]:
    """The unit, its file, how many calls that has now, and how many of them it had not."""
    from linuxkit.build.sandbox import learned

    path = folder / f"{_NUMBER.sub('', unit.rpartition('/')[2], count=1)}{learned.SUFFIX}"
    old = learned.load(path) if path.exists() else {}
    made = learned.joined(old, recorded) if add else {**old, **recorded}
    files.write(path, learned.encode(dict(sorted(made.items()))))
    (arch,) = recorded
    return unit, str(path), len(made[arch]), len(made[arch].keys() - old.get(arch, {}).keys())
