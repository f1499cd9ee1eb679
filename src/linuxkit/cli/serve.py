"""``linuxkit serve``: built files over HTTP, for machines that start over the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import events

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """Upstream's flags."""
    parser.description = (
        "Serve a folder over HTTP until interrupted, and say what is asked for.  NAME.ipxe is a\n"
        "script that starts the system NAME (format kernel+initrd) from iPXE."
    )
    parser.add_value("--port", "[ADDR]:PORT", "where to listen (:8080)", default=":8080")
    parser.add_value("--directory", "DIR", "the folder (else the current one)", default=".")


def main(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from linuxkit.publishers import serve

    address, port = serve.parse_address(args.port)
    with serve.Server(Path(args.directory), address, port) as server:
        where = f"{address or '*'}:{server.server_address[1]}"
        events.note(f"serving {server.root} on http://{where}/")
        server.serve_forever()
    return 0
