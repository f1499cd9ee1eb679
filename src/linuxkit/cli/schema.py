"""``linuxkit schema``: the language as JSON Schema, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.spec import schema

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """No flags."""
    parser.description = (
        "Print the JSON Schema of a YAML file, for editors that complete keys and show mistakes:"
        "\n\n"
        "  linuxkit schema > linuxkit.json\n\n"
        "A first line `# yaml-language-server: $schema=linuxkit.json` names it to most editors."
    )


def main(_args: argparse.Namespace) -> int:
    """Print it."""
    print(json.dumps(schema.schema(), indent=2, ensure_ascii=False))
    return 0
