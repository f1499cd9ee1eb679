"""``linuxkit tools``: the programs that disk images are made with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files
from linuxkit.base.errors import Error, raise_all, suggestion
from linuxkit.cli import build, render, results
from linuxkit.recipes import toolroot

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.store import Store
    from linuxkit.recipes.toolroot import ToolRoot


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    parser.description = (
        "The programs that disk images are made with: Debian's, pinned by a lock that ships with\n"
        "linuxkit, fetched when a format first needs them, and run without being installed."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "list the tools, and which of them are there"
    commands.add_parser("ls", help=text, description=text)
    text = "fetch tools now, for builds without a network (all without a name)"
    fetch = commands.add_parser("fetch", help=text, description=text)
    fetch.add_argument("name", nargs="*", metavar="NAME", help="a tool")
    text = "print the folder of a tool, fetching it if need be"
    path = commands.add_parser("path", help=text, description=text)
    path.add_argument("name", metavar="NAME", help="a tool")
    text = "refresh the lock: which Debian packages the tools are made of"
    commands.add_parser("lock", help=text, description=text)


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    from linuxkit.sources.packages import pool_of

    store = linuxkit.open_store(args.cache or None)
    if args.command == "lock":
        return _lock(store, as_json=args.json)
    tools = toolroot.ToolRoot(store, pool_of(store))
    if args.command == "ls":
        return _ls(tools, as_json=args.json)
    folders = _folders(tools, [args.name] if args.command == "path" else args.name)
    if args.command == "path" or args.json:
        found = [({"folder": str(folder)}, str(folder)) for folder in folders]
        results.tell(found, as_json=args.json)
    return 0


def _ls(tools: ToolRoot, *, as_json: bool) -> int:
    found = [
        (name, arch, tools.debs(name, arch), tools.is_ready(name, arch))
        for name, arch in tools.names()
    ]
    if as_json:
        value = [
            {
                "name": name,
                "arch": arch,
                "ready": ready,
                "bytes": sum(deb.size for deb in debs),
                "packages": [f"{deb.package} {deb.version}" for deb in debs],
            }
            for name, arch, debs, ready in found
        ]
        print(json.dumps(value, indent=1))
        return 0
    rows = [
        (name, arch, render.size(sum(deb.size for deb in debs)), "ready" if ready else "")
        for name, arch, debs, ready in found
    ]
    print(build.table([("tool", "for", "to fetch", ""), *rows]))
    return 0


def _folders(tools: ToolRoot, names: list[str]) -> list[Path]:
    known = tools.names()
    for name in names:
        if name not in {tool for tool, _ in known}:
            hint = suggestion(name, [tool for tool, _ in known]) or "see: linuxkit tools ls"
            raise Error("LK0906", f'there is no tool "{name}"', hint=hint)
    return [tools.root(tool, arch) for tool, arch in known if not names or tool in names]


def _lock(store: Store, *, as_json: bool) -> int:
    from linuxkit.recipes import recipe, relock
    from linuxkit.recipes.debian import lock as locks
    from linuxkit.sources.packages import bench_of

    shelf = toolroot.shelf()
    old = locks.load(shelf.lock_path) if shelf.lock_path.exists() else locks.EMPTY
    recipes = [recipe.load(shelf.path(name)) for name in shelf.names()]
    refreshed = relock.refresh(old, recipes, toolroot.ARCHES, bench_of(store))
    lines = relock.differences(old, refreshed.lock)
    place = str(shelf.lock_path)
    results.tell_changes(place, lines, as_json=as_json, none="no package changes")
    files.write(shelf.lock_path, locks.encode(refreshed.lock))
    raise_all(refreshed.failures)
    return 0
