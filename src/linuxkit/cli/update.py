"""``linuxkit update``: signed updates of whole systems, for machines of the format raw-ab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files
from linuxkit.base.errors import Error, printable
from linuxkit.cli import render, sign

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    parser.description = (
        "Updates of whole systems, which a machine of the format raw-ab takes with `@pkg:update`."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "make a signed update of a built system (format uki): an OCI layout"
    create = commands.add_parser("create", help=text, description=text)
    create.add_argument("name", metavar="NAME", help="a built system, or its file NAME.efi")
    create.add_argument(
        "-o", "--output", metavar="DIR", default="", help="the folder to write (else NAME.update)"
    )
    create.add_argument(
        "--key", metavar="FILE", required=True,
        help=f"private key (linuxkit sign --generate-key); its password is in {sign.PASSWORD}",
    )  # fmt: skip
    text = "send an update to a registry; parts that it has are not sent"
    push = commands.add_parser("push", help=text, description=text)
    push.add_argument("folder", metavar="DIR", help="what `update create` has written")
    push.add_argument("target", metavar="NAME", help="where to: HOST/NAME:TAG")
    push.add_argument(
        "--override", action="store_true", help="replace the update that has the tag"
    )


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    if args.command == "create":
        return _create(args)
    return _push(args)


def _create(args: argparse.Namespace) -> int:
    from linuxkit.oci import export
    from linuxkit.publishers import update

    path = Path(args.name)
    path = path if path.suffix == ".efi" else path.with_name(f"{path.name}.efi")
    folder = Path(args.output or path.with_suffix(".update"))
    if folder.exists():
        raise Error("LK0114", f"{folder} is there already", hint="choose another: -o DIR")
    key = sign.read_key(Path(args.key))
    store = linuxkit.open_store(args.cache or None)
    try:
        with path.open("rb") as source:
            root, table = update.make(source, key, store)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    name = f"localhost/{path.stem.lower()}:{table.version}"
    export.write_folder(store, root, name, [], folder)
    if args.json:
        about = {"folder": str(folder), "version": table.version, "arch": table.arch}
        numbers = {"size": table.size, "chunks": len(table.chunks)}
        print(json.dumps({**about, "digest": root.digest, **numbers}))
        return 0
    what = f"version {table.version} for {table.arch}, {render.size(table.size)}"
    print(f"{folder}: {what} in {len(table.chunks)} chunks")
    return 0


def _push(args: argparse.Namespace) -> int:
    from linuxkit.oci import archive, push, ref, registry
    from linuxkit.publishers import update

    store = linuxkit.open_store(args.cache or None)
    target = ref.parse(args.target)
    folder = Path(args.folder)
    files.need_folder(folder, "linuxkit update create NAME")
    root = archive.bring_artifact(folder, store)
    if root is None or root.artifact_type != update.TYPE:
        raise Error(
            "LK0765", f"{printable(str(folder))} holds no update",
            hint="write the folder that `linuxkit update create` has made",
        )  # fmt: skip
    # A mirror is for reading: what is sent goes to the registry itself.
    options = registry.options((), args.cert_file, args.registry_creds)._replace(mirrors={})
    sent = push.push(registry.Client(options), root, target, store, override=args.override)
    if args.json:
        print(json.dumps({"name": str(target), "digest": root.digest, "sent": sent}))
        return 0
    print(f"{target}  {root.digest}" + ("" if sent else "  (was there)"))
    return 0
