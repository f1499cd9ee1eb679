"""``linuxkit bundle``: all that builds need, as one file, out of a store and into another."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files, platform
from linuxkit.cli import inputs, render
from linuxkit.cli import project as projects

if TYPE_CHECKING:
    import argparse
    from typing import BinaryIO

    from linuxkit.base.digest import Digest
    from linuxkit.cli.arguments import Parser
    from linuxkit.sources.bundle import Item


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "write a bundle: an OCI layout with every image, and the lock"
    export: Parser = commands.add_parser("export", help=text, description=_EXPORT)
    inputs.add_files(export)
    export.add_value("--arch", "ARCH", "for ARCH; repeatable (default: this machine's)", default=[])
    projects.add(export)
    export.add_argument("-o", "--o", metavar="FILE", required=True, help="the bundle to write")
    text = "bring a bundle into the store"
    load: Parser = commands.add_parser("import", help=text, description=_IMPORT)
    load.add_argument("file", metavar="FILE", help="the bundle; - is standard input")
    load.add_value("--lock", "FILE", "write the bundle's lock to FILE")


_EXPORT = (
    "Write everything that building these files needs into one file: images exactly as they are,\n"
    "stock packages as they were made, signatures, YAML from URLs and the lock.  What is missing\n"
    "is fetched.  The YAML files and what they take from the disk are carried by you."
)
_IMPORT = (
    "Check a bundle and bring it into the store, so that `linuxkit build --offline --locked`\n"
    "works there without a network.  Every blob must have the digest that it is called by."
)


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    return _export(args) if args.command == "export" else _import(args)


def _export(args: argparse.Namespace) -> int:
    from linuxkit.sources import bundle
    from linuxkit.sources import lock as locks

    found: list[Item] = []
    includes: dict[str, Digest] = {}
    lock = None
    for arch in [platform.arch(name).oci for name in args.arch] or [platform.host().oci]:
        project = projects.open_project(args, architecture=arch)
        plan = linuxkit.resolve(
            project.spec, store=project.store, sources=project.sources, arch=arch, allow_unsafe=True
        )
        linuxkit.fetch(plan, store=project.store)
        found += bundle.items(project.spec, arch, project.store, project.sources)
        includes.update(project.includes)
        lock = project.lock
    data = locks.encode(lock) if lock else b""
    path = Path(args.o)
    with files.replacing(path, sync=False) as out:
        bundle.write(linuxkit.open_store(args.cache or None), found, data, includes, out)
    _tell_written(args, path, len({item.name for item in found}))
    return 0


def _tell_written(args: argparse.Namespace, path: Path, count: int) -> None:
    size = path.stat().st_size
    if args.json:
        print(json.dumps({"file": str(path), "size": size, "images": count}))
    elif not args.quiet:
        print(f"{path}  {render.size(size)}, {count} images")


def _import(args: argparse.Namespace) -> int:
    from linuxkit.oci import archive
    from linuxkit.sources import bundle

    target = Path(args.lock) if args.lock else None
    store = linuxkit.open_store(args.cache or None)
    try:
        source: BinaryIO = (
            sys.stdin.buffer if args.file == "-" else Path(args.file).open("rb")  # noqa: SIM115
        )
        with source, archive.naming(args.file):
            brought = bundle.read(source, store)
    except OSError as error:
        raise files.os_error(error, "read", args.file) from error
    if target:
        files.write(target, brought.locked())
    if args.json:
        print(json.dumps({"images": dict(brought.images), "lock": bool(brought.lock)}))
    elif not args.quiet:
        print("\n".join(f"{name}  {digest}" for name, digest in brought.images))
    return 0
