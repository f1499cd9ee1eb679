"""``linuxkit metadata``: a CD-ROM image that tells a machine its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.disk import seed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from linuxkit.cli.arguments import Parser

_LIMIT = 64 << 20


def configure(parser: Parser) -> None:
    """Add the command and its flags."""
    parser.description = "CD-ROM images with settings for one machine."
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "write a CD-ROM image with one file `config`, or one for cloud-init (NoCloud)"
    create = commands.add_parser("create", help=text, description=text)
    create.add_argument("iso", metavar="FILE", help="the image to write")
    create.add_argument("data", metavar="TEXT", nargs="?", help="what the file says")
    for flag, text in (
        ("--data-file", "take it from FILE instead"),
        ("--user-data", "for cloud-init: the user's data"),
        ("--meta-data", "for cloud-init: the machine's (else empty)"),
        ("--network-config", "for cloud-init: the network's"),
    ):
        create.add_argument(flag, metavar="FILE", default="", help=text)


def main(args: argparse.Namespace) -> int:
    """Write the image."""
    volume, found = _content(args)
    with files.replacing(Path(args.iso)) as out:
        seed.write(volume, found, out)
    return 0


def _content(args: argparse.Namespace) -> tuple[str, Mapping[str, bytes]]:
    """The name of the volume, and its files.  Raises LK0114."""
    ways = [args.data is not None, bool(args.data_file), bool(args.user_data)]
    if sum(ways) != 1:
        raise Error(
            "LK0114", "one of TEXT, --data-file and --user-data is needed, and only one",
            hint="linuxkit metadata create --help",
        )  # fmt: skip
    if args.user_data:
        named = {
            "user-data": args.user_data, "meta-data": args.meta_data,
            "network-config": args.network_config,
        }  # fmt: skip
        found = {name: _read(path) for name, path in named.items() if path}
        return seed.NOCLOUD, {"meta-data": b"", **found}
    data = _read(args.data_file) if args.data_file else args.data.encode()
    return seed.CONFIG, {"config": data}


def _read(name: str) -> bytes:
    path = Path(name)
    try:
        with path.open("rb") as source:
            return source.read(_LIMIT)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
