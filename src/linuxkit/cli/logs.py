"""``linuxkit logs``: what a machine's console showed, or what one of its units said."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, BinaryIO

from linuxkit.base import files
from linuxkit.cli import render
from linuxkit.runners import machines
from linuxkit.runners.control import Control

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from linuxkit.cli.arguments import Parser
    from linuxkit.runners.machines import Machine

_PAUSE_S = 0.2
_CHUNK = 1 << 16
_MAX_LINE = 1 << 16  # bytes; what is longer becomes several


def configure(parser: Parser) -> None:
    """A machine and perhaps a unit."""
    parser.description = (
        "Show what the console of a machine in the background showed, or the last part of what a\n"
        "unit in it said.  Control characters are taken out.  With --json each line is an object\n"
        "with `unit` (null for the console) and `line`."
    )
    parser.add_argument("machine", metavar="MACHINE", help="its name, as `linuxkit ps` shows it")
    parser.add_argument("unit", nargs="?", default="", metavar="UNIT", help="such as web")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as more comes")


def main(args: argparse.Namespace) -> int:
    """Print it.  Raises LK0840, LK0843, LK0844, LK0846 (no such unit)."""
    lines = _Lines(args.unit or None)
    write = lines.write if args.json else _write
    if args.unit:
        _unit(machines.find(args.machine, alive=True), args.unit, write, follow=args.follow)
    else:
        _console(machines.find(args.machine), write, follow=args.follow)
    lines.finish()
    return 0


class _Lines:
    """Prints what comes in pieces as one JSON object for each line."""

    def __init__(self, unit: str | None) -> None:
        self._unit = unit
        self._rest = b""

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._print(line)
        while len(self._rest) > _MAX_LINE:
            self._print(self._rest[:_MAX_LINE])
            self._rest = self._rest[_MAX_LINE:]

    def finish(self) -> None:
        """The last line, when no line end came."""
        if self._rest:
            self._print(self._rest)
        self._rest = b""

    def _print(self, line: bytes) -> None:
        text = line.removesuffix(b"\r").decode(errors="replace")
        print(json.dumps({"unit": self._unit, "line": text}), flush=True)


def _unit(machine: Machine, unit: str, write: Callable[[bytes], None], *, follow: bool) -> None:
    words = ("logs", unit, "follow") if follow else ("logs", unit)
    with Control(machine) as control:
        for data in control.obey(*words, patient=follow):
            write(data)


def _console(machine: Machine, write: Callable[[bytes], None], *, follow: bool) -> None:
    path = machine.folder / machines.CONSOLE
    old = path.with_name(path.name + machines.OLD)
    try:
        if old.exists():
            with old.open("rb") as file:
                _copy(file, write)
        file = path.open("rb")
        while True:
            _copy(file, write)
            if not follow or not machine.alive:
                file.close()
                return
            if not path.exists() or path.stat().st_ino != _inode(file):
                _copy(file, write)
                file.close()
                file = path.open("rb")  # it was full, and another one begun
            time.sleep(_PAUSE_S)
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _inode(file: BinaryIO) -> int:
    import os

    return os.fstat(file.fileno()).st_ino


def _copy(file: BinaryIO, write: Callable[[bytes], None]) -> None:
    while data := file.read(_CHUNK):
        write(data)


def _write(data: bytes) -> None:
    sys.stdout.write(render.clean(data.decode(errors="replace")))
    sys.stdout.flush()
