"""Writes ``src/linuxkit/base/syscalls.tsv``: the numbers of system calls, by architecture.

The numbers are read from the Linux headers in the ``ziglang`` wheel (include/uapi of the kernel).
Run it again when those are newer, and read the difference: ``python scripts/syscall_table.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import ziglang  # type: ignore[import-untyped]

HEADERS = Path(ziglang.__path__[0]) / "lib" / "libc" / "include"
TABLE = Path(__file__).resolve().parent.parent / "src/linuxkit/base/syscalls.tsv"
FOLDERS = {"amd64": "x86", "arm64": "aarch64", "riscv64": "riscv", "s390x": "s390x"}
_DEFINE = re.compile(r"^#define __NR_(\w+) (\d+)$", re.MULTILINE)


def table() -> str:
    """One line a call: its name, and its number on each architecture or "-"."""
    by_arch = {
        arch: dict(
            _DEFINE.findall((HEADERS / f"{folder}-linux-any" / "asm" / "unistd_64.h").read_text())
        )
        for arch, folder in FOLDERS.items()
    }
    names = sorted({name for numbers in by_arch.values() for name in numbers})
    rows = ["\t".join(["name", *FOLDERS])]
    rows += [
        "\t".join([name, *(by_arch[arch].get(name, "-") for arch in FOLDERS)]) for name in names
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
