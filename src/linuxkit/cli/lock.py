"""``linuxkit lock``: writes down, beside the YAML, what every reference in it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files, platform
from linuxkit.base.errors import Error
from linuxkit.cli import inputs, results
from linuxkit.cli import project as projects

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from linuxkit.cli.arguments import Parser
    from linuxkit.sources.lock import Lock
    from linuxkit.sources.relock import Desk, Request


def configure(parser: Parser) -> None:
    """Which YAML, and what to take anew."""
    parser.description = (
        "Write linuxkit.lock beside the first FILE: the digest of every image, the versions of\n"
        "all Debian packages in stock packages, and the hash of YAML from URLs.  Builds\n"
        "then use exactly these.  What is locked already stays as it is, unless --update names it."
    )
    inputs.add_files(parser)
    parser.add_value(
        "--arch", "ARCH", "lock for ARCH; repeatable (else what is locked, else this machine's)",
        default=[],
    )  # fmt: skip
    parser.add_argument(
        "--update", nargs="*", metavar="NAME",
        help="behind the files: take these images, packages or URLs anew (all without a name)",
    )  # fmt: skip
    projects.add_trust(parser)
    parser.add_switch("--prune", "forget what these files do not name")
    parser.add_switch("--check", "change nothing; fail if there is something to change")


def main(args: argparse.Namespace) -> int:
    """Bring it up to date; with ``--check`` only look."""
    from linuxkit.sources import lock as locks
    from linuxkit.sources import relock

    path = locks.place(args.files)
    old = locks.load(path) or locks.EMPTY
    store = linuxkit.open_store(args.cache or None)
    new = relock.refresh(old, _request(args, old, store), _desk(args, store))
    lines = relock.differences(old, new)
    _tell(args, path, lines)
    if args.check and lines:
        raise Error("LK0437", f"{path} is out of date", hint="run the same without --check")
    if not args.check and (lines or not path.exists()):
        files.write(path, locks.encode(new))
    return 0


def _request(args: argparse.Namespace, old: Lock, store: linuxkit.Store) -> Request:
    """Read the YAML for each architecture, as the lock has it."""
    from linuxkit.sources import relock
    from linuxkit.sources.includes import Includes

    pins = {
        url: digest
        for url, digest in old.includes.items()
        if not relock.is_asked(args.update, url)
    }
    includes = Includes(store, pins)
    specs = {
        arch: inputs.load(args, architecture=arch, remote=includes)
        for arch in _arches(args.arch, old)
    }
    return relock.Request(specs, includes.seen, args.update, prune=args.prune)


def _arches(names: Sequence[str], old: Lock) -> Sequence[str]:
    """Those asked for, else those that the lock has, else this machine's."""
    if names:
        return tuple(dict.fromkeys(platform.arch(name).oci for name in names))
    locked = {arch for found in old.pins.tags.values() for arch in found}
    locked |= {name.split("/")[1] for pin in old.images.values() for name in pin.platforms}
    known = tuple(name for name in platform.names() if name in locked)
    return known or (platform.host().oci,)


def _desk(args: argparse.Namespace, store: linuxkit.Store) -> Desk:
    from linuxkit.recipes.stock import Shelf
    from linuxkit.sources import relock
    from linuxkit.sources.packages import bench_of
    from linuxkit.sources.registry import Registries

    registries = Registries(store, args.mirror, args.cert_file, args.registry_creds)
    guard = projects.guard_of(args, store, pinned=lambda _ref: True)  # pinning is what we do
    return relock.Desk(store, lambda: registries.client, lambda: bench_of(store), Shelf(), guard)


def _tell(args: argparse.Namespace, path: Path, lines: Sequence[str]) -> None:
    if args.json or args.check or not args.quiet:
        results.tell_changes(str(path), lines, as_json=args.json, none="no changes")
