"""Whole processes timed in turn, so that a comparison holds while the machine's speed drifts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Run(NamedTuple):
    cpu_s: float
    wall_s: float
    rss_mib: float


def once(argv: Sequence[str], cwd: str | None = None) -> Run:
    """Run a command to its end; its own and its children's CPU time, its largest memory."""
    import time

    start = time.monotonic()
    child = subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert child.stderr
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{argv} failed:\n{said.decode(errors='replace')}")
    wall = time.monotonic() - start
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def compare(
    title: str, ours: Sequence[str], other: Sequence[str], *, runs: int = 7, before=None
) -> float:
    """Run both in turn and print medians and the ratio of CPU times, pair by pair."""
    pairs = []
    for _ in range(runs):
        if before:
            before()
        pairs.append((once(ours), once(other)))
    ratio = [a.cpu_s / b.cpu_s for a, b in pairs if b.cpu_s > 0]
    cpu = [a.cpu_s for a, _ in pairs]
    print(f"{title}: {runs} pairs")
    print(f"  cpu   {spread(cpu)} s")
    print(f"  wall  {spread([a.wall_s for a, _ in pairs])} s")
    print(f"  rss   {max(a.rss_mib for a, _ in pairs):.0f} MiB at most")
    print(f"  other {spread([b.cpu_s for _, b in pairs])} s cpu")
    if ratio:
        print(f"  ratio {spread(ratio)}")
    return statistics.median(cpu)


def spread(values: Sequence[float]) -> str:
    """Least, median and most."""
    return f"{min(values):.3f} / {statistics.median(values):.3f} / {max(values):.3f}"
