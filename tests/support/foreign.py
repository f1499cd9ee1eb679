"""Disks as programs that others wrote see them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import linuxkit


def run(*argv: str | Path, **options) -> bytes:
    done = subprocess.run(argv, capture_output=True, check=False, **options)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def assembled(text: str, store, arch: str = "amd64"):
    spec = linuxkit.load(["-"], arch=arch, stdin=text.encode())
    sources = linuxkit.default_sources(store)
    plan = linuxkit.resolve(spec, store=store, sources=sources, arch=arch)
    linuxkit.fetch(plan, store=store)
    return linuxkit.assemble(plan, store=store)


def cut(disk: Path, number: int, out: Path) -> Path:
    """A partition of a disk, as sfdisk sees them."""
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]
    part = table["partitions"][number]
    with disk.open("rb") as source, out.open("wb") as target:
        source.seek(part["start"] * 512)
        target.write(source.read(part["size"] * 512))
    return out


def check_table(disk: Path) -> None:
    said = run("sfdisk", "--verify", disk)
    assert b"overlap" not in said
    assert b"No errors detected" in said


def check_fat(path: Path) -> None:
    run("fsck.vfat", "-n", "-v", path)
