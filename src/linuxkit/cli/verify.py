"""``linuxkit verify``: says who has signed an image, by a key or by the trust policies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base.errors import Error, raise_all
from linuxkit.cli import inputs
from linuxkit.cli import project as projects
from linuxkit.oci import ref
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.model import Descriptor
    from linuxkit.sources.trusted import Guard


def configure(parser: Parser) -> None:
    """Which images, and by which keys."""
    parser.description = (
        "Check the signatures of images, in the store or else at their registries.  Without --key\n"
        "the trust policies say what an image needs.  The status is 1 if one does not have it."
    )
    parser.add_argument("name", nargs="+", metavar="NAME", help="name of an image")
    parser.add_value("--key", "FILE", "public key (PEM) that must have signed", default=[])
    projects.add_trust(parser)
    parser.add_value("--arch", "ARCH", "of an index, look at the image for ARCH too")
    parser.add_switch("--offline", "look at signatures in the store only")


def main(args: argparse.Namespace) -> int:
    """Check them all; those that fail are told together."""
    from linuxkit.sources.registry import Registries

    store = linuxkit.open_store(args.cache or None)
    guard = _guard(args, store)
    registries = Registries(store, args.mirror, args.cert_file, args.registry_creds)
    platform = Platform("linux", inputs.arch(args.arch))
    errors: list[Error] = []
    rows: list[dict[str, str]] = []
    for text in args.name:
        name = ref.parse(text)
        try:
            if args.offline and store.find(str(name)) is None:
                raise Error("LK0401", f"the store has no {name}")  # noqa: TRY301
            root = registries.root(name, platform)
            rows.append(_row(name, root, _signer(args, guard, name, root, platform)))
        except Error as error:
            errors += error.all()
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            how = f"signed by {row['key']}" if row["key"] else "needs no signature"
            print(f"{row['name']}  {row['digest']}  {how}")
    raise_all(errors)
    return 0


def _guard(args: argparse.Namespace, store: linuxkit.Store) -> Guard:
    """The policies, or none at all where a key is given.  Raises LK0443."""
    from linuxkit.sources import policy
    from linuxkit.sources.registry import Registries
    from linuxkit.sources.trusted import Guard

    found = () if args.key else policy.find_all((), args.trust_policy, os.environ)
    if not found and not args.key:
        raise policy.none_found()
    registries = Registries(store, args.mirror, args.cert_file, args.registry_creds)
    return Guard(found, store, None if args.offline else lambda: registries.client)


def _signer(
    args: argparse.Namespace, guard: Guard, name: ref.Ref, root: Descriptor, platform: Platform
) -> str:
    from linuxkit.sources import policy

    if not args.key:
        return guard.check(name, root, platform)
    keys = tuple(policy.read_key(Path(file)) for file in args.key)
    demand = policy.Demand(policy.KEY, "--key", keys)
    return guard.signer(name, root, platform, demand).fingerprint


def _row(name: ref.Ref, root: Descriptor, key: str) -> dict[str, str]:
    return {"name": str(name), "digest": root.digest, "key": key}
