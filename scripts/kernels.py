"""Makes the images in prebuilt/ from their sources and compares them; half an hour each and core.

    scripts/kernels                     all of them: status 1 if one is missing or another one
    scripts/kernels NAME...             only these packages
    scripts/kernels --write [NAME...]   put what was made in its place

A machine with time runs this now and then; tests do not.
"""

from __future__ import annotations

import argparse
import sys

import linuxkit
from linuxkit.base import events
from linuxkit.cli import render
from linuxkit.recipes import builder, prebuilt
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.packages import pool_of

SHIPPED = (
    ("crun-static", "amd64"),
    ("kernel-microvm", "amd64"),
    ("kernel-hardened", "amd64"),
    ("kernel-hardened", "arm64"),
)


def main() -> int:
    """Make and compare; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help="put what was made in its place")
    parser.add_argument("name", nargs="*", help="only these packages")
    args = parser.parse_args()
    store, shelf, bad = linuxkit.open_store(), Shelf(), 0
    for name, arch in SHIPPED:
        if args.name and name not in args.name:
            continue
        reference = shelf.reference(name, arch)
        made = builder.build(shelf.recipe(name), shelf.lock, arch, pool_of(store), store)
        if args.write:
            print(prebuilt.write(reference, arch, made, store))
            continue
        shipped = prebuilt.take(reference, arch, store)
        same = shipped is not None and shipped.digest == made.digest
        verdict = "same" if same else "MISSING" if shipped is None else "DIFFERENT"
        print(f"{verdict:9}  {reference}  {arch}  {made.digest}")
        bad += not same
    return 1 if bad else 0


if __name__ == "__main__":
    with events.reporting(render.plain()):
        sys.exit(main())
