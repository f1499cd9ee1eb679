"""``linuxkit fetch``: brings everything a build needs into the store, and builds nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.cli import inputs, render
from linuxkit.cli import project as projects

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """Which YAML."""
    parser.description = (
        "Fetch images, make stock packages and read included YAML, so that afterwards\n"
        "`linuxkit build --offline` needs no network.  Nothing else is written than the store."
    )
    inputs.add(parser)
    projects.add(parser)
    parser.add_switch("--pull", "ask the registries even for images that the store has")


def main(args: argparse.Namespace) -> int:
    """Fetch."""
    project = projects.open_project(args)
    plan = linuxkit.resolve(
        project.spec,
        store=project.store,
        sources=project.sources,
        arch=project.arch,
        allow_unsafe=True,
    )
    linuxkit.fetch(plan, store=project.store)
    inputs.keep_uses(args, project.store, "fetch")
    size = sum(layer.size for layer in plan.layers()) + sum(blob.size for blob in plan.blobs())
    if args.json:
        print(json.dumps({"arch": project.arch, "images": dict(plan.images), "size": size}))
    elif not args.quiet:
        for name, digest in plan.images:
            print(f"{name}  {digest}")
        print(f"{len(plan.images)} images, {render.size(size)}")
    return 0
