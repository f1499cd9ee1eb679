"""``linuxkit config``: what several files come to when they are merged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.cli import inputs

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """One command so far."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "print what files come to when they are merged, and where each part was written"
    render: Parser = commands.add_parser("render", help=text, description=_DESCRIPTION)
    inputs.add(render)


_DESCRIPTION = (
    "Print the YAML that files come to: merged, with what they include and override, variables\n"
    "and packages replaced.  A comment before each entry says where it was written.  The output\n"
    "is a file to build from.  With --json there are no comments."
)


def main(args: argparse.Namespace) -> int:
    """Print it."""
    from linuxkit.spec import metadata

    spec = inputs.load(args, lock=linuxkit.open_lock(args.files))
    text = metadata.render(spec, "json") if args.json else metadata.annotated(spec).encode()
    sys.stdout.buffer.write(text)
    return 0
