"""Makes the configurations anew that tests hold our kernels and the projects to; a minute each.

    .venv/bin/python scripts/kernel_configs.py [NAME...]   such as amd64-cloud, or a project

Each recipe runs as it is, but stops where it would compile: patches have been applied by then, and
Kconfig has granted what was asked.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import linuxkit
from linuxkit.base import events
from linuxkit.cli import render
from linuxkit.recipes import builder, commands, recipe, tag
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.packages import pool_of
from linuxkit.spec.record import replace

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "unit" / "packages"
_STOP = "/build/configure"


class Row(NamedTuple):
    """A configuration: by whose recipe it is made, and where it is kept."""

    folder: Path
    lock: locks.Lock
    arch: str
    flavour: str
    kept: Path
    unset: bool  # whether what is not set is kept: scores are counted of it

    @property
    def name(self) -> str:
        """What it goes by on the command line."""
        return self.kept.stem


def rows() -> list[Row]:
    """All that there is a recipe for."""
    shelf = Shelf()
    ours = [
        ("kernel-hardened", "amd64", "cloud", True), ("kernel-hardened", "arm64", "cloud", False),
        ("kernel-hardened", "riscv64", "cloud", False),
        ("kernel-hardened", "s390x", "cloud", False),
        ("kernel-microvm", "amd64", "microvm", True), ("kernel-metal", "amd64", "metal", True),
        ("kernel-debug", "amd64", "debug", False),
        ("kernel-debug-races", "amd64", "debug-races", False),
    ]  # fmt: skip
    stock = [
        Row(shelf.path(name), shelf.lock, arch, flavour, configs(arch, flavour), unset)
        for name, arch, flavour, unset in ours
    ]
    projects = [
        Row(folder, locks.load(folder / locks.NAME), arch, "", project(folder), unset=False)
        for folder in sorted(path.parent for path in ROOT.glob("projects/*/kernel.config"))
        for arch in recipe.load(folder).says.arches
    ]
    return stock + projects


def configs(arch: str, flavour: str) -> Path:
    """Where the configuration of a flavour is kept."""
    return TESTS / "kernel-configs" / f"{arch}-{flavour}.config"


def project(folder: Path) -> Path:
    """Where that of a project is kept; its first line is the tag of what it was made of."""
    return TESTS / "project-configs" / f"{folder.name}.config"


def steps(asked: tuple[str, ...]) -> tuple[str, ...]:
    """The steps of a recipe whose last one is ``bash FOLDER/build.sh FLAVOUR``, cut short."""
    *first, last = asked
    _, script, flavour = last.split()
    return (
        *first,
        f"cp -r {Path(script).parent} {_STOP}",
        f"sed -i '/^build \\$target$/,$d' {_STOP}/build.sh",
        f"bash {_STOP}/build.sh {flavour}",
        "cp /build/out/.config /build/image/config",
    )


def made(row: Row, store: linuxkit.Store) -> str:
    """What Kconfig says at last."""
    found = recipe.load(row.folder)
    asked = found.says.build
    if asked is None:
        raise TypeError(row.folder)
    cut = replace(asked, steps=steps(asked.steps))
    found = found._replace(says=replace(found.says, build=cut))
    needs = commands.Needs(builder.locked_root(found, row.lock, row.arch), ())
    with tempfile.TemporaryFile() as scratch:
        bench = commands.Bench(pool_of(store), store, scratch)
        entries = commands.run(found, needs, row.arch, bench).entries
        (config,) = [entry for entry in entries if entry.path == "config"]
        return b"".join(config.content.chunks()).decode()


def kept(row: Row, text: str) -> str:
    """What is kept of it."""
    if not row.unset:
        text = "".join(re.findall(r"^(?:# Linux|CONFIG_).*\n", text, re.MULTILINE))
    if row.flavour:
        return text
    return f"# {tag.compute(row.folder, row.lock, row.arch)}\n{text}"


def main() -> None:
    """Make those that are named, or all."""
    store = linuxkit.open_store()
    for row in rows():
        if not sys.argv[1:] or row.name in sys.argv[1:]:
            row.kept.parent.mkdir(exist_ok=True)
            row.kept.write_text(kept(row, made(row, store)))
            print(row.kept.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    with events.reporting(render.plain()):
        main()
