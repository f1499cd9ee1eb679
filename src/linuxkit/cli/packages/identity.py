"""The flags that say what a package folder is called, and which folder a word means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.recipes.gittag import Asked

_ORG = "LINUXKIT_PKG_ORG"


def add_flags(parser: Parser) -> None:
    """Add the flags; they are upstream's."""
    parser.add_value("--org", "ORG", f"organisation (else ${_ORG}, else what build.yml says)")
    text = "template of the tag (else what build.yml says, else {{.Hash}})"
    parser.add_value("--tag", "TEMPLATE", text)
    parser.add_value("--hash", "HASH", "use this instead of the hash that git knows")
    parser.add_value("--hash-commit", "COMMIT", "hash what this commit has (HEAD)", default="HEAD")
    parser.add_value("--hash-path", "DIR", "hash this folder, in which the package lies")
    parser.add_value("--build-yml", "FILE", "name of the recipe (build.yml)", default="build.yml")
    parser.add_switch("--force-dirty", "treat the folder as changed")
    parser.add_switch("--dev", "call it $USER/IMAGE:dev")


def asked(args: argparse.Namespace) -> Asked:
    """What the flags say.  Raises LK0114."""
    from linuxkit.recipes.gittag import Asked

    if args.hash and args.dev:
        raise Error("LK0114", "--hash and --dev exclude each other")
    return Asked(
        org=args.org or os.environ.get(_ORG, ""), tag=args.tag, hash=args.hash,
        hash_commit=args.hash_commit, hash_path=Path(args.hash_path) if args.hash_path else None,
        force_dirty=args.force_dirty, dev=args.dev, build_yml=args.build_yml,
    )  # fmt: skip


def folder(word: str, build_yml: str) -> Path:
    """The package folder that ``word`` names.  Raises LK0566."""
    found = Path(word)
    if not (found / build_yml).is_file():
        raise Error(
            "LK0566", f"there is no package in {printable(word)}",
            hint=f"a package folder has a file {printable(build_yml)}",
        )  # fmt: skip
    return found
