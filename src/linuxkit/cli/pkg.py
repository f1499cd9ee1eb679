"""Packages: the stock ones and folders of one's own; named, locked, built, pushed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser

_FAMILIES = ("stock", "tags", "build", "builder")


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _FAMILIES:
        importlib.import_module(f"linuxkit.cli.packages.{name}").configure(commands)


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    done: int = args.run(args)
    return done
