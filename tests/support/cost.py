"""What a piece of Python costs: time of the processor, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECONDS = 5.0  # of processor time, for any case
MEMORY_KIB = 256 << 10  # the most that a process may ever hold while it refuses a bomb
_REPORT = """
import resource, re
usage = resource.getrusage(resource.RUSAGE_SELF)
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(peak, usage.ru_utime + usage.ru_stime)
"""


def measured(code: str, *arguments: str) -> tuple[int, float, str]:
    """Run Python ``code`` by itself: the most memory it held (KiB), its seconds, what it said."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-c", code + _REPORT, *arguments],
        capture_output=True, env=environment, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    peak, seconds = last.split()
    return int(peak), float(seconds), "\n".join(said)
