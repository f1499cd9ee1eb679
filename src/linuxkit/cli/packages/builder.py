"""What building packages keeps beside the images: how much it is, and getting rid of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.oci.store import Store, default_root

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands and their flags."""
    text = "what building packages keeps: build roots, logs of failures, buildah's layers"
    builder = commands.add_parser("builder", help=text, description=text)
    actions = builder.add_subparsers(dest="action", required=True, metavar="COMMAND")
    text = "tell how much there is"
    actions.add_parser("du", help=text, description=text)
    text = "remove all of it; it is made again when it is needed"
    actions.add_parser("prune", help=text, description=text)
    builder.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from linuxkit.recipes import workshop

    store = Store(Path(args.cache) if args.cache else default_root())
    if args.action == "prune":
        workshop.prune(store)
        return 0
    found = workshop.sizes(store)
    if args.json:
        import json

        print(json.dumps(found, indent=1))
        return 0
    for name, size in {**found, "total": sum(found.values())}.items():
        print(f"{size:>14,} bytes  {name}")
    return 0
