"""The program ``cosign``: the host's, or that of Debian 13, fetched by our own client once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from linuxkit.oci.store import Store
from linuxkit.recipes import relock
from linuxkit.recipes.debian import deb as debs
from linuxkit.sources.packages import bench_of

ROOT = Path(__file__).parents[2]


def program() -> str:
    """Its path.  Without a Debian archive and without it the test is skipped."""
    found = shutil.which("cosign")
    if found:
        return found
    kept = ROOT / ".cache" / "tools" / "cosign"
    if not kept.exists():
        if os.uname().machine != "x86_64":
            pytest.skip("cosign is not installed")
        kept.parent.mkdir(parents=True, exist_ok=True)
        _fetch(kept)
    return str(kept)


def _fetch(target: Path) -> None:
    store = Store(target.with_name(f"store.{os.getpid()}"), sync=False)  # others may fetch it, too
    bench = bench_of(store)
    package = bench.archive.index("amd64").candidate("cosign")
    assert package is not None
    deb = relock._deb(package, bench.archive)
    bench.pool.fetch([deb], "cosign")
    draft = target.with_name(f"cosign.{os.getpid()}")
    with bench.pool.open(deb) as source, store.temporary() as scratch:
        entry = next(e for e in debs.unpack(source, scratch) if e.path == "usr/bin/cosign")
        with draft.open("wb") as out:
            for chunk in entry.content.chunks():
                out.write(chunk)
    draft.chmod(0o755)
    draft.replace(target)
    shutil.rmtree(store.root)


def run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run it with nothing of whoever runs the tests."""
    return subprocess.run(
        [program(), *words], capture_output=True, text=True, check=False, timeout=120,
        env={"HOME": str(home), "COSIGN_PASSWORD": "", "DOCKER_CONFIG": str(home)},
    )  # fmt: skip
