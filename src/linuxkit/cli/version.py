"""``linuxkit version``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.version import __version__

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from linuxkit.cli.arguments import Parser

_DESCRIBE = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def configure(parser: Parser) -> None:
    """Upstream's flags."""
    parser.description = (
        "Print the version of linuxkit.  The commit is known in a git checkout, and where pip has\n"
        "installed it from git."
    )
    parser.add_argument("--short", action="store_true", help="print no words")
    parser.add_switch("--commit", "print the commit too, with -dirty where files were changed")


def main(args: argparse.Namespace) -> int:
    """Print it."""
    commit = _commit() if args.commit else ""
    if args.json:
        more = {"commit": commit or None} if args.commit else {}
        print(json.dumps({"version": __version__, **more}))
        return 0
    print(__version__ if args.short else f"linuxkit {__version__}")
    if args.commit:
        print(f"{'' if args.short else 'commit '}{commit or 'unknown'}")
    return 0


def _commit() -> str:
    """The commit that this program is of; "" when nobody knows."""
    from linuxkit.base import events, resources
    from linuxkit.base.errors import Error
    from linuxkit.recipes import gittag

    checkout = resources.checkout()
    if checkout is None:
        return _recorded(resources.package())
    try:
        return gittag.git(checkout, *_DESCRIBE).strip()
    except Error as error:  # no git, or one that does not trust the folder's owner
        events.note(f"the commit is not known: {error}", level="debug")
        return ""


def _recorded(package: Path) -> str:
    """What pip has written down when it took this package from git (PEP 610)."""
    from importlib import metadata
    from pathlib import Path

    try:
        found = metadata.distribution("linuxkit")
    except metadata.PackageNotFoundError:
        return ""
    text = found.read_text("direct_url.json")
    if text is None or Path(str(found.locate_file("linuxkit"))).resolve() != package:
        return ""
    commit = json.loads(text).get("vcs_info", {}).get("commit_id", "")
    return str(commit)
