"""What packages are called, and other names for what registries have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.cli import results
from linuxkit.cli.packages import identity
from linuxkit.oci.store import Store, default_root

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands and their flags."""
    text = "print the name and tag of package folders"
    show = commands.add_parser("show-tag", help=text, description=text)
    show.add_argument("folder", nargs="+", metavar="DIR", help="a package folder")
    show.add_switch("--canonical", "print the whole name, with its registry")
    identity.add_flags(show)
    show.set_defaults(run=_show)
    for name in ("manifest", "index"):
        text = "let a package's name in its registry stand for all NAME-ARCH that are there"
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("folder", nargs="+", metavar="DIR", help="a package folder")
        identity.add_flags(made)
        made.set_defaults(run=_index)
    text = "give an image of a registry another name, there or in another registry"
    tag = commands.add_parser("remote-tag", help=text, description=text)
    tag.add_argument("source", metavar="FROM", help="the image")
    tag.add_argument("target", metavar="TO", help="its other name")
    tag.set_defaults(run=_remote_tag)


def _show(args: argparse.Namespace) -> int:
    from linuxkit.oci import ref
    from linuxkit.recipes import gittag

    asked = identity.asked(args)
    found = {
        word: gittag.identify(identity.folder(word, asked.build_yml), asked).reference
        for word in args.folder
    }
    if args.canonical:
        found = {word: str(ref.parse(name)) for word, name in found.items()}
    if args.json:
        import json

        print(json.dumps(found, indent=1))
        return 0
    for name in found.values():
        print(name)
    return 0


def _index(args: argparse.Namespace) -> int:
    from linuxkit.cli.packages.build import client
    from linuxkit.oci import ref
    from linuxkit.recipes import gittag, publish

    asked = identity.asked(args)
    asking = client(args)

    def indexed(word: str) -> tuple[dict[str, object], str]:
        found = gittag.identify(identity.folder(word, asked.build_yml), asked)
        name = ref.parse(found.reference)
        platforms = [str(each) for each in publish.index(asking, name)]
        return {"name": str(name), "platforms": platforms}, f"{name}  {', '.join(platforms)}"

    results.tell(map(indexed, args.folder), as_json=args.json)
    return 0


def _remote_tag(args: argparse.Namespace) -> int:
    from linuxkit.cli.packages.build import client
    from linuxkit.oci import ref
    from linuxkit.oci.registry import place_of
    from linuxkit.recipes import publish

    source, target = ref.parse(args.source), ref.parse(args.target)
    target = target if target.tag else target._replace(tag="latest")
    asking = client(args)
    if place_of(source) == place_of(target):
        publish.retag(asking, source, target)
    else:
        store = Store(Path(args.cache) if args.cache else default_root())
        publish.copy(asking, source, target, store)
    results.tell([({"name": str(target)}, str(target))], as_json=args.json)
    return 0
