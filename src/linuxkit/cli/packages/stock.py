"""Stock packages: list them, and refresh their lock or that of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import files, platform
from linuxkit.base.errors import Error, raise_all
from linuxkit.cli import results
from linuxkit.cli.packages import identity
from linuxkit.oci.store import Store, default_root
from linuxkit.recipes import gittag, stock
from linuxkit.recipes.debian import archive
from linuxkit.recipes.debian import lock as locks

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from linuxkit.cli.arguments import Parser
    from linuxkit.recipes.recipe import Recipe


def configure(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands and their flags."""
    text = "list the stock packages"
    ls = commands.add_parser("ls", help=text, description=text)
    add_arches(ls, "show the references for ARCH (default: this machine's)")
    ls.set_defaults(run=_ls)
    text = "refresh the lock: which Debian packages the stock packages, or DIR, are made of"
    lock = commands.add_parser("lock", help=text, description=text)
    lock.add_argument(
        "folder", nargs="*", metavar="DIR", help="a package folder, which has a lock of its own"
    )
    lock.add_argument(
        "--update", nargs="*", metavar="NAME",
        help="only these stock packages (all without a name); default: those that need it",
    )  # fmt: skip
    add_arches(lock, "only for ARCH; may be repeated (default: all)")
    lock.add_argument(
        "--check", action="store_true", help="change nothing; fail if there is something to change"
    )
    lock.add_argument(
        "--keyring", metavar="FILE", action="append", default=[],
        help="trust these OpenPGP keys instead of Debian's; may be repeated",
    )  # fmt: skip
    lock.add_argument(
        "--suite", metavar="NAME", default=archive.DEBIAN,
        help="the suite of Debian to take packages from, with its -updates and -security "
        f"(default: {archive.DEBIAN})",
    )  # fmt: skip
    lock.add_argument(
        "--without", metavar="SUITE", action="append", default=[], choices=archive.FURTHER,
        help=f"go without one of the suite's companions ({', '.join(archive.FURTHER)}), "
        "which the mirror cannot serve now; may be repeated",
    )  # fmt: skip
    lock.set_defaults(run=_lock)


def add_arches(parser: argparse.ArgumentParser, text: str) -> None:
    """Add a flag for architectures."""
    parser.add_argument("--arch", metavar="ARCH", action="append", default=[], help=text)


def _ls(args: argparse.Namespace) -> int:
    shelf = stock.Shelf()
    arches = [platform.arch(name).oci for name in args.arch] or [platform.host().oci]
    found = {name: {arch: shelf.reference(name, arch) for arch in arches} for name in shelf.names()}
    if args.json:
        import json

        print(json.dumps(found, indent=1, sort_keys=True))
        return 0
    width = max(map(len, found), default=0)
    for name, references in found.items():
        for reference in references.values():
            print(f"{name:{width}}  {reference}")
    return 0


def _lock(args: argparse.Namespace) -> int:
    from linuxkit.recipes import recipe

    shelf = stock.Shelf()
    if not args.folder:
        recipes = [recipe.load(shelf.path(name)) for name in args.update or shelf.names()]
        _refresh(args, shelf.lock_path, recipes, only_stale=args.update is None)
        return 0
    if args.update is not None:
        raise Error("LK0114", "--update is for stock packages, not for folders")
    for word in args.folder:
        folder = identity.folder(word, gittag.BUILD_YML).resolve()
        _refresh(args, folder / locks.NAME, [recipe.load(folder)], only_stale=False)
    return 0


def _refresh(
    args: argparse.Namespace, place: Path, recipes: Sequence[Recipe], *, only_stale: bool
) -> None:
    """Bring the lock at ``place`` up to date for ``recipes``, and tell what changed."""
    from linuxkit.recipes import relock
    from linuxkit.sources.packages import bench_of

    arches = [platform.arch(name).oci for name in args.arch] or platform.names()
    old = locks.load(place) if place.exists() else locks.EMPTY
    if only_stale:
        recipes = [
            one for one in recipes if any(relock.is_stale(one, old, arch) for arch in arches)
        ]
    refreshed = relock.Refreshed(old, ())
    if recipes:
        store = Store(Path(args.cache) if args.cache else default_root())
        suites = archive.suites(args.suite, args.without)
        bench = bench_of(store, [Path(name) for name in args.keyring], suites)
        refreshed = relock.refresh(old, recipes, arches, bench)
    lines = relock.differences(old, refreshed.lock)
    results.tell_changes(str(place), lines, as_json=args.json, none="no package changes")
    if not args.check:
        files.write(place, locks.encode(refreshed.lock))
    elif lines:
        raise Error("LK0544", "the package lock is out of date", hint="run: linuxkit pkg lock")
    raise_all(refreshed.failures)
