"""``linuxkit formats``: what ``build --format`` takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit import formats

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """No flags."""
    parser.description = "List the output formats that `linuxkit build --format` takes."


def main(args: argparse.Namespace) -> int:
    """Print a line for each; the usual one is marked."""
    rows = formats.summaries()
    if args.json:
        print(json.dumps([{"name": name, "summary": text} for name, text in rows]))
        return 0
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        usual = "  (the usual one)" if name == formats.DEFAULT else ""
        print(f"{name:{width}}  {text}{usual}")
    return 0
