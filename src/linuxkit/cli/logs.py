"""``linuxkit logs``: what a machine's console showed, or what one of its units said."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, BinaryIO

from linuxkit.base import files
from linuxkit.cli import render
from linuxkit.runners import machines
from linuxkit.runners.control import Control

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.runners.machines import Machine

_PAUSE_S = 0.2
_CHUNK = 1 << 16


def configure(parser: Parser) -> None:
    """A machine and perhaps a unit."""
    parser.description = (
        "Show what the console of a machine in the background showed, or the last part of what a\n"
        "unit in it said.  Control characters are taken out."
    )
    parser.add_argument("machine", metavar="MACHINE", help="its name, as `linuxkit ps` shows it")
    parser.add_argument("unit", nargs="?", default="", metavar="UNIT", help="such as web")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as more comes")


def main(args: argparse.Namespace) -> int:
    """Print it.  Raises LK0840, LK0843, LK0844, LK0846 (no such unit)."""
    if args.unit:
        return _unit(machines.find(args.machine, alive=True), args.unit, follow=args.follow)
    return _console(machines.find(args.machine), follow=args.follow)


def _unit(machine: Machine, unit: str, *, follow: bool) -> int:
    words = ("logs", unit, "follow") if follow else ("logs", unit)
    with Control(machine) as control:
        for data in control.obey(*words, patient=follow):
            _write(data)
    return 0


def _console(machine: Machine, *, follow: bool) -> int:
    path = machine.folder / machines.CONSOLE
    old = path.with_name(path.name + machines.OLD)
    try:
        if old.exists():
            with old.open("rb") as file:
                _copy(file)
        file = path.open("rb")
        while True:
            _copy(file)
            if not follow or not machine.alive:
                file.close()
                return 0
            if not path.exists() or path.stat().st_ino != _inode(file):
                _copy(file)
                file.close()
                file = path.open("rb")  # it was full, and another one begun
            time.sleep(_PAUSE_S)
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _inode(file: BinaryIO) -> int:
    import os

    return os.fstat(file.fileno()).st_ino


def _copy(file: BinaryIO) -> None:
    while data := file.read(_CHUNK):
        _write(data)


def _write(data: bytes) -> None:
    sys.stdout.write(render.clean(data.decode(errors="replace")))
    sys.stdout.flush()
