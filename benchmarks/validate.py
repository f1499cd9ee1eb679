"""What `linuxkit validate` costs on a file of 2,000 lines, against an interpreter that does nothing.

Target: less than 0.3 s of wall time.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measure import compare

LINUXKIT = str(Path(sys.executable).with_name("linuxkit"))
LINES = 2000
HEAD = """\
kernel: {image: linuxkit/kernel:6.12, cmdline: console=ttyS0}
init: [linuxkit/init:1]
services:
"""
ENTRY = """\
  - name: service-{0}
    image: example.org/group/server:1.{0}
    capabilities:
      - CAP_NET_BIND_SERVICE
      - CAP_CHOWN
    binds:
      - /etc/resolv.conf:/etc/resolv.conf:ro
    env: [MODE=production, NUMBER={0}]
    resources:
      memory: {{limit: 100000000}}
"""


def text(lines: int) -> str:
    """A file of at least so many lines."""
    count = -(-(lines - HEAD.count("\n")) // ENTRY.count("\n"))
    return HEAD + "".join(ENTRY.format(number) for number in range(count))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        yml = Path(folder, "large.yml")
        yml.write_text(text(LINES))
        compare(f"{LINES} lines", [LINUXKIT, "validate", str(yml)], [sys.executable, "-c", "pass"])


if __name__ == "__main__":
    main()
