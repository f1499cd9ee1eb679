"""``linuxkit version``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.version import __version__

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """No flags of upstream's but this one: there is no build that could tell its commit."""
    parser.description = "Print the version of linuxkit."
    parser.add_argument("--short", action="store_true", help="print the number alone")


def main(args: argparse.Namespace) -> int:
    """Print it."""
    if args.json:
        print(json.dumps({"version": __version__}))
    else:
        print(__version__ if args.short else f"linuxkit {__version__}")
    return 0
