"""``linuxkit new``: prints one of the example systems, as a file to start from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from linuxkit.base import files, resources
from linuxkit.base.errors import Error, suggestion

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """The kind alone."""
    listed = "\n".join(f"  {name:8}  {_first_line(path)}" for name, path in _kinds().items())
    parser.description = (
        f"Print a commented YAML file to start from: linuxkit new web > web.yml\n\nkinds:\n{listed}"
    )
    parser.add_argument("kind", metavar="KIND", help="one of the kinds above")


def main(args: argparse.Namespace) -> int:
    """Print it.  Raises LK0117."""
    kinds = _kinds()
    if args.kind not in kinds:
        hint = suggestion(args.kind, kinds) or f"known: {', '.join(kinds)}"
        raise Error("LK0117", f'there is no example called "{args.kind}"', hint=hint)
    sys.stdout.write(_read(kinds[args.kind]))
    return 0


def _kinds() -> dict[str, Path]:
    return {path.stem: path for path in sorted(resources.examples().glob("*.yml"))}


def _first_line(path: Path) -> str:
    return _read(path).partition("\n")[0].lstrip("# ")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise files.os_error(error, "read", path) from error
