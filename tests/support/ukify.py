"""systemd's ukify, from Debian 13 by our own client: Debian 12, where tests run too, has none."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from linuxkit.recipes.debian import deb
from linuxkit.recipes.debian.lock import Deb
from linuxkit.sources.packages import bench_of
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from linuxkit.oci.store import Store

_PROGRAM = "usr/bin/ukify"
_LIBRARIES = "usr/lib/python3/dist-packages/"


def fetch(store: Store, folder: Path) -> Path:
    """Unpack the program and the library it reads PE files with; the program."""
    bench = bench_of(store)
    index = bench.archive.index("amd64")
    for name in ("systemd-ukify", "python3-pefile"):
        found = index.candidate(name)
        assert found is not None, name
        package = Deb(
            found.name, found.version, found.suite, found.pool, "", found.size, found.sha256
        )
        bench.pool.fetch((package,), name)
        with bench.pool.open(package) as source, store.temporary() as scratch:
            for entry in deb.unpack(source, scratch):
                if entry.kind is Kind.FILE and entry.path.startswith((_PROGRAM, _LIBRARIES)):
                    path = folder / entry.path
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"".join(entry.content.chunks()))
    return folder / _PROGRAM


def inspect(program: Path, image: Path) -> dict[str, dict[str, object]]:
    """What it says of the sections of a unified kernel image, by their names."""
    libraries = program.parents[2] / _LIBRARIES
    argv = [sys.executable, program, "--json", "short", "inspect", image]
    done = subprocess.run(
        argv, capture_output=True, check=False, env={"PYTHONPATH": str(libraries)}
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
