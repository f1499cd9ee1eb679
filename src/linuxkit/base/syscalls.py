"""The system calls of each architecture: their numbers, and what a filter must know of the machine.

The numbers are the kernel's (include/uapi), written by ``scripts/syscall_table.py``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST_KNOWN = 462
"""mseal of Linux 6.10, the last call of the 6.12 series: what comes later does not exist for us."""

X32_BIT = 0x4000_0000
"""Set in the number of a call of the x32 ABI, which x86-64 takes from any program."""


class Machine(NamedTuple):
    """What struct seccomp_data of seccomp(2) looks like on an architecture."""

    audit: int  # AUDIT_ARCH_… of linux/audit.h
    oci: str  # its name in the OCI runtime specification
    big_endian: bool = False
    clone_flags: int = 0  # the argument of clone(2) that holds its flags
    x32: bool = False  # whether numbers may carry X32_BIT


MACHINES = {
    "amd64": Machine(0xC000_003E, "SCMP_ARCH_X86_64", x32=True),
    "arm64": Machine(0xC000_00B7, "SCMP_ARCH_AARCH64"),
    "riscv64": Machine(0xC000_00F3, "SCMP_ARCH_RISCV64"),
    "s390x": Machine(0x8000_0016, "SCMP_ARCH_S390X", big_endian=True, clone_flags=1),
}


@functools.cache
def numbers(arch: str) -> Mapping[str, int]:
    """Name → number of every system call of ``arch`` (its OCI name)."""
    head, *rows = _TABLE.read_text(encoding="ascii").splitlines()
    column = head.split("\t").index(arch)
    cells = (row.split("\t") for row in rows)
    return {row[0]: int(row[column]) for row in cells if row[column] != "-"}


@functools.cache
def names() -> frozenset[str]:
    """Every system call of any architecture."""
    return frozenset(name for arch in MACHINES for name in numbers(arch))


def machine(arch: str) -> Machine:
    """What a filter must know of ``arch``.  Raises LK0750 where we know nothing of it."""
    try:
        return MACHINES[arch]
    except KeyError:
        raise Error(
            "LK0750",
            f"there is no table of system calls for {arch}",
            hint="build for " + " or ".join(MACHINES) + ", or use profile: compat",
        ) from None


_TABLE = Path(__file__).with_name("syscalls.tsv")
