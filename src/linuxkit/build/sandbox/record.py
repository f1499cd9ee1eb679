"""What ``confine`` (guest/confine) does to a container before its program starts, as bytes.

Words end with a NUL: a magic, a version, then pairs of a name and a value; the filter's
instructions follow as they are.  ``guest/confine/record.h`` has the same names and limits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.spec.confinement import ANY

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = "linuxkit-confine"
VERSION = "1"
MAX_BYTES = 65536
MAX_PATHS = 64
MAX_PORTS = 256
MAX_FILTER = 4096  # instructions, the kernel's own limit

LIMITS = tuple(
    f"RLIMIT_{word}" for word in (
        "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
        "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
    )
)  # fmt: skip
"""By the kernel's numbers, as all our architectures have them (asm-generic/resource.h)."""

_INSTRUCTION_BYTES = 8
_LIMIT = re.compile(r"([0-9]{1,2}) ([0-9]{1,20}) ([0-9]{1,20})")


class Record(NamedTuple):
    """The confinement that an OCI runtime cannot do.

    ``landlock`` is "enforce", "best-effort" or "" for none; ``writable`` are paths that may be
    written to, ``runnable`` those of them that hold programs all the same; ``bind`` and
    ``connect`` are TCP ports, None for all of them.
    """

    landlock: str
    writable: tuple[str, ...]
    runnable: tuple[str, ...]
    bind: tuple[int, ...] | None
    connect: tuple[int, ...] | None
    jit: bool
    filter: bytes
    limits: tuple[tuple[str, int, int], ...] = ()  # name as in ``LIMITS``, soft, hard

    def encode(self) -> bytes:
        """The bytes.  Raises LK0751 for more than there may be."""
        words = [MAGIC, VERSION, *(word for pair in self._pairs() for word in pair)]
        data = "".join(f"{word}\0" for word in words).encode("utf-8", "surrogateescape")
        data += self.filter
        ports = max(len(self.bind or ()), len(self.connect or ()))
        if len(self.writable) > MAX_PATHS or ports > MAX_PORTS or len(data) > MAX_BYTES:
            raise Error(
                "LK0751",
                f"{len(self.writable)} writable places and {ports} ports are too many to confine",
                hint=f"at most {MAX_PATHS} places and {MAX_PORTS} ports",
            )
        return data

    def _pairs(self) -> Iterator[tuple[str, str]]:
        if self.landlock:
            yield "landlock", self.landlock
        yield from (("write", path) for path in self.writable)
        yield from (("run", path) for path in self.runnable)
        for name, ports in (("bind", self.bind), ("connect", self.connect)):
            yield from ((name, str(port)) for port in ((ANY,) if ports is None else ports))
        if self.jit:
            yield "jit", "yes"
        for name, soft, hard in self.limits:
            yield "limit", f"{LIMITS.index(name)} {soft} {hard}"
        yield "filter", str(len(self.filter) // _INSTRUCTION_BYTES)


def decode(data: bytes) -> Record:
    """The record in ``data``.  Raises LK0752 for what is none."""
    start = f"{MAGIC}\0{VERSION}\0".encode()
    if len(data) > MAX_BYTES or not data.startswith(start):
        raise Error("LK0752", "this is no record of a confinement that this version knows")
    names = ("landlock", "write", "run", *_PORTS, "jit", "limit")
    found: dict[str, list[str]] = {name: [] for name in names}
    at = len(start)
    while True:
        name, value, at = _pair(data, at)
        if name == "filter":
            break
        if name not in found:
            raise Error("LK0752", f'a confinement has an unknown part "{printable(name)}"')
        found[name].append(value)
    if value != str((len(data) - at) // _INSTRUCTION_BYTES):
        raise _cut_short()
    bind, connect = (_ports(found[name]) for name in _PORTS)
    write, run = tuple(found["write"]), tuple(found["run"])
    landlock, jit = "".join(found["landlock"]), bool(found["jit"])
    limits = tuple(_limit(word) for word in found["limit"])
    return Record(landlock, write, run, bind, connect, jit, data[at:], limits)


_PORTS = ("bind", "connect")


def _pair(data: bytes, at: int) -> tuple[str, str, int]:
    """A name, its value, and where the next one begins."""
    middle = data.find(b"\0", at)
    end = data.find(b"\0", middle + 1)
    if middle < 0 or end < 0:
        raise _cut_short()
    name, value = data[at:middle], data[middle + 1 : end]
    return name.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape"), end + 1


def _ports(words: list[str]) -> tuple[int, ...] | None:
    if ANY in words:
        return None
    if not all(word.isdecimal() for word in words):
        raise Error("LK0752", "the record of a confinement has a port that is no number")
    return tuple(int(word) for word in words)


def _limit(word: str) -> tuple[str, int, int]:
    match = _LIMIT.fullmatch(word)
    if match is None or int(match[1]) >= len(LIMITS):
        raise Error("LK0752", "the record of a confinement has a limit that is none")
    return LIMITS[int(match[1])], int(match[2]), int(match[3])


def _cut_short() -> Error:
    return Error("LK0752", "the record of a confinement is cut short")
