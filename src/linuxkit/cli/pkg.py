"""Stock packages: list them, refresh their lock, build them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import files, platform
from linuxkit.base.errors import Error, raise_all
from linuxkit.oci.store import Store, default_root
from linuxkit.recipes import stock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from linuxkit.cli.arguments import Parser
    from linuxkit.recipes.debian.lock import Lock
    from linuxkit.recipes.recipe import Recipe
    from linuxkit.recipes.relock import Refreshed

def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "list the stock packages"
    ls = commands.add_parser("ls", help=text, description=text)
    _add_arches(ls, "show the references for ARCH (default: this machine's)")
    text = "refresh the lock: which Debian packages the stock packages are made of"
    lock = commands.add_parser("lock", help=text, description=text)
    lock.add_argument(
        "--update", nargs="*", metavar="NAME",
        help="only these stock packages (all without a name); default: those that need it",
    )  # fmt: skip
    _add_arches(lock, "only for ARCH; may be repeated (default: all)")
    lock.add_argument(
        "--check", action="store_true", help="change nothing; fail if there is something to change"
    )
    lock.add_argument(
        "--keyring", metavar="FILE", action="append", default=[],
        help="trust these OpenPGP keys instead of Debian's; may be repeated",
    )  # fmt: skip
    text = "build stock packages into the store, and print their references"
    build = commands.add_parser("build", help=text, description=text)
    build.add_argument("name", nargs="+", metavar="NAME", help="a stock package")
    _add_arches(build, "build for ARCH; may be repeated (default: this machine's)")


def _add_arches(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--arch", metavar="ARCH", action="append", default=[], help=text)


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    arches = [platform.arch(name).oci for name in args.arch]
    if args.command == "ls":
        return _ls(arches or [platform.host().oci], as_json=args.json)
    store = Store(Path(args.cache) if args.cache else default_root())
    if args.command == "build":
        return _build(args.name, arches or [platform.host().oci], store)
    keyring = [Path(name) for name in args.keyring]
    return _lock(args.update, arches or platform.names(), store, keyring, check=args.check)


def _ls(arches: Sequence[str], *, as_json: bool) -> int:
    shelf = stock.Shelf()
    found = {name: {arch: shelf.reference(name, arch) for arch in arches} for name in shelf.names()}
    if as_json:
        import json

        print(json.dumps(found, indent=1, sort_keys=True))
        return 0
    width = max(map(len, found), default=0)
    for name, references in found.items():
        for reference in references.values():
            print(f"{name:{width}}  {reference}")
    return 0


def _build(names: Sequence[str], arches: Sequence[str], store: Store) -> int:
    from linuxkit.sources.packages import pool_of

    shelf = stock.Shelf()
    pool = pool_of(store)
    for name in names:
        for arch in arches:
            shelf.image(name, arch, store, pool)
            store.note_use(deb.sha256 for deb in shelf.debs(name, arch))
            print(shelf.reference(name, arch))
    store.keep_uses(["pkg build", *names, *arches])
    return 0


def _lock(
    update: Sequence[str] | None,
    arches: Sequence[str],
    store: Store,
    keyring: Sequence[Path],
    *,
    check: bool,
) -> int:
    from linuxkit.recipes import recipe, relock
    from linuxkit.recipes.debian import lock as locks

    shelf = stock.Shelf()
    old = locks.load(shelf.lock_path) if shelf.lock_path.exists() else locks.EMPTY
    recipes = [recipe.load(shelf.path(name)) for name in update or shelf.names()]
    if update is None:
        recipes = [
            one for one in recipes if any(relock.is_stale(one, old, arch) for arch in arches)
        ]
    refreshed = refresh(old, recipes, arches, store, keyring)
    data = locks.encode(refreshed.lock)
    lines = relock.differences(old, refreshed.lock)
    print("\n".join(lines) if lines else "no package changes")
    if not check:
        files.write(shelf.lock_path, data)
    elif lines:
        raise Error("LK0544", "the package lock is out of date", hint="run: linuxkit pkg lock")
    raise_all(refreshed.failures)
    return 0


def refresh(
    old: Lock,
    recipes: Sequence[Recipe],
    arches: Sequence[str],
    store: Store,
    keyring: Sequence[Path],
) -> Refreshed:
    """Lock ``recipes`` anew from the archives that the user or the host has chosen."""
    from linuxkit.recipes import relock
    from linuxkit.sources.packages import bench_of

    if not recipes:
        return relock.Refreshed(old, ())
    return relock.refresh(old, recipes, arches, bench_of(store, keyring))
