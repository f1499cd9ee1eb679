"""System calls that a recorded run made: what a guest counted, the file that keeps it, its use.

The file is JSON: ``{"version": 1, "calls": {"amd64": {"read": 12, ...}}}``, with the architectures
by their OCI names.  What a filter makes of it is always a part of what the profile allows.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, resources, syscalls
from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.spec.inputs import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from linuxkit.base.where import Where

VERSION = 1
SUFFIX = ".seccomp.json"
STOCK = "stock:"
"""Before the name of a list that comes with the tool."""

COUNTED = 511
"""Calls that a guest counts, by number; guest/include/layout.h has the same."""

_MAX_FILE = 1 << 20

ALWAYS = frozenset({
    # a beginning, an end
    "execve", "exit", "exit_group", "restart_syscall", "rt_sigreturn", "sigreturn",
    # how much memory there is
    "brk", "madvise", "mmap", "mprotect", "mremap", "munmap",
    # who comes first
    "clock_nanosleep", "futex", "nanosleep", "sched_yield",
    # what a kernel answers without a call, or not
    "clock_gettime", "getrandom", "gettimeofday",
    # telling why it ends; abort(3)
    "getpid", "gettid", "rt_sigprocmask", "tgkill", "write", "writev",
})  # fmt: skip
"""Calls that a program makes or not by chance, so that a list without them would be brittle."""

_SAME = tuple(
    frozenset(line.split())
    for line in """
accept accept4
access faccessat faccessat2
alarm setitimer
chmod fchmodat fchmodat2
chown fchownat lchown
clone fork vfork
creat open openat
dup2 dup3
epoll_create epoll_create1
epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2
fstat lstat newfstatat stat statx
futimesat utime utimensat utimes
getdents getdents64
getpgid getpgrp
inotify_init inotify_init1
link linkat
mkdir mkdirat
pause ppoll
pipe pipe2
poll ppoll
pselect6 select
readlink readlinkat
rename renameat renameat2
rmdir unlink unlinkat
signalfd signalfd4
symlink symlinkat
""".strip().splitlines()
)
"""Calls of which each libc takes one, as the architecture has it."""

_OF_THE_MACHINE = frozenset(("arch_prctl", "riscv_flush_icache", "riscv_hwprobe"))
"""What a start needs on one architecture and another has not."""


class Lesson(NamedTuple):
    """What a container may call, for one architecture.

    ``exact`` are the calls that were recorded on it; without any, ``near`` are those of other
    architectures with all that does the same.
    """

    name: str  # of the file, and where it is named, for messages
    where: Where | None = None
    exact: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()

    @property
    def calls(self) -> frozenset[str]:
        """All, with those that come by chance."""
        return self.exact | self.near | ALWAYS


Recorded = dict[str, dict[str, int]]
"""Architecture → call → how often it was made."""


def counted(data: bytes) -> Recorded:
    """What a guest counted: 32 bits each for its AUDIT_ARCH and the calls by number.

    Raises LK0758 for anything else, as the container itself may have written it.
    """
    for arch, machine in syscalls.MACHINES.items():
        order = ">" if machine.big_endian else "<"
        if len(data) == 4 * (COUNTED + 1) and data[:4] == struct.pack(f"{order}I", machine.audit):
            counts = struct.unpack(f"{order}{COUNTED}I", data[4:])
            found = {
                name: counts[number]
                for name, number in sorted(syscalls.numbers(arch).items())
                if number < COUNTED and counts[number]
            }
            return {arch: found}
    raise Error("LK0758", "what the machine has counted is no list of system calls")


def joined(old: Recorded, new: Recorded) -> Recorded:
    """Both, of a call counted in both the sum."""
    return {
        arch: {
            name: old.get(arch, {}).get(name, 0) + new.get(arch, {}).get(name, 0)
            for name in sorted({*old.get(arch, {}), *new.get(arch, {})})
        }
        for arch in sorted({*old, *new})
    }


def encode(recorded: Recorded) -> bytes:
    """The file's bytes: a line for each call, so that changes can be read."""
    return (json.dumps({"version": VERSION, "calls": recorded}, indent=1) + "\n").encode()


def load(path: Path) -> Recorded:
    """The file at ``path``.  Raises LK0102, LK0758."""
    try:
        with path.open("rb") as source:
            data = source.read(_MAX_FILE + 1)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    try:
        value = json.loads(data) if len(data) <= _MAX_FILE else None
    except (ValueError, RecursionError):
        value = None
    calls = value.get("calls") if isinstance(value, dict) else None
    if (
        not isinstance(calls, dict)
        or not isinstance(value, dict)
        or value.get("version") != VERSION
    ):
        raise _wrong(path, "it is no list of system calls of this version")
    return {arch: _checked(path, arch, rows) for arch, rows in calls.items()}


def _checked(path: Path, arch: str, rows: object) -> dict[str, int]:
    if arch not in syscalls.MACHINES or not isinstance(rows, dict):
        raise _wrong(path, f'"{printable(arch)}" is no architecture with calls')
    known = syscalls.numbers(arch)
    for name, count in rows.items():
        if name not in known:
            hint = suggestion(name, known)
            raise _wrong(path, f'"{printable(name)}" is no system call of {arch}', hint)
        if type(count) is not int or count < 0:
            raise _wrong(path, f"{name} has no count")
    return rows


def _wrong(path: Path, what: str, hint: str = "") -> Error:
    return Error("LK0758", f"{path}: {what}", hint=hint or "`linuxkit learn` writes such files")


def _find(text: str, where: Where | None) -> Recorded:
    """A path starts from the YAML's folder; ``stock:NAME`` comes with the tool."""
    if text.startswith(STOCK):
        name = text.removeprefix(STOCK)
        lists = stock()
        if name not in lists:
            hint = suggestion(name, lists) or f"there are: {', '.join(sorted(lists))}"
            raise Error("LK0758", f'there is no list for "{printable(name)}"', hint=hint)
        return load(lists[name])
    return load((Input(where.file).folder if where else Path()) / text)


def stock() -> Mapping[str, Path]:
    """Package → the list that comes with the tool."""
    found = (resources.packages() / "learned").glob(f"*{SUFFIX}")
    return {path.name.removesuffix(SUFFIX): path for path in sorted(found)}


def lesson(text: str, where: Where | None, arch: str) -> Lesson:
    """The calls for ``arch`` in the file that ``text``, written at ``where``, stands for.

    Raises LK0102, LK0758.
    """
    recorded = _find(text, where)
    if arch in recorded:
        return Lesson(text, where, frozenset(recorded[arch]))
    names = {call for calls in recorded.values() for call in calls}
    same = (group for group in _SAME if not group.isdisjoint(names))
    return Lesson(text, where, near=frozenset(names.union(*same)) | _OF_THE_MACHINE)
