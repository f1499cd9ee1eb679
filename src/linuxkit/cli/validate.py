"""``linuxkit validate``: says everything that is wrong with YAML files, and builds nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.cli import inputs, render
from linuxkit.cli.main import status_of

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """Which YAML, and no more."""
    parser.description = (
        "Check YAML files, which are merged in their order, without building anything.\n"
        "Every mistake is told at once, with its place; the status is 2 when there is one.\n"
        "Images are not looked at."
    )
    inputs.add(parser)


def main(args: argparse.Namespace) -> int:
    """Check; with ``--json`` the result goes to standard output whatever it is."""
    try:
        inputs.load(args, lock=linuxkit.open_lock(args.files))
    except Error as error:
        if not args.json:
            raise
        _print(args.files, error)
        return status_of(error)
    if args.json:
        _print(args.files, None)
    elif not args.quiet:
        print("no mistakes")
    return 0


def _print(files: list[str], error: Error | None) -> None:
    errors = [render.error_fields(each) for each in error.all()] if error else []
    print(json.dumps({"files": files, "valid": not errors, "errors": errors}, ensure_ascii=False))
