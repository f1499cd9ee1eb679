"""Mount options as people write them, turned into the calls that mount(2) needs.

The kernel ignores or refuses some combinations in one call (a bind that is also read-only, a
change of propagation); they become several calls here, so that PID 1 need not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_RDONLY = 1
_REMOUNT = 32
_BIND = 4096
_REC = 16384

_SET = {
    "ro": _RDONLY, "nosuid": 2, "nodev": 4, "noexec": 8, "sync": 16, "remount": _REMOUNT,
    "mand": 64, "dirsync": 128, "nosymfollow": 256, "noatime": 1024, "nodiratime": 2048,
    "bind": _BIND, "rbind": _BIND | _REC, "silent": 1 << 15, "relatime": 1 << 21,
    "iversion": 1 << 23, "strictatime": 1 << 24, "lazytime": 1 << 25,
}  # fmt: skip
_CLEAR = {
    "rw": _RDONLY, "suid": 2, "dev": 4, "exec": 8, "async": 16, "nomand": 64, "atime": 1024,
    "diratime": 2048, "loud": 1 << 15, "norelatime": 1 << 21, "noiversion": 1 << 23,
    "nostrictatime": 1 << 24, "nolazytime": 1 << 25,
}  # fmt: skip
_PROPAGATION = {
    "unbindable": 1 << 17, "private": 1 << 18, "slave": 1 << 19, "shared": 1 << 20,
    "runbindable": 1 << 17 | _REC, "rprivate": 1 << 18 | _REC, "rslave": 1 << 19 | _REC,
    "rshared": 1 << 20 | _REC,
}  # fmt: skip


class Call(NamedTuple):
    """One mount(2)."""

    source: str
    target: str
    kind: str
    flags: int
    data: str


def calls(source: str, target: str, kind: str, options: Iterable[str]) -> list[Call]:
    """The calls for one mount, in order; options that are no flags are the file system's."""
    flags = 0
    propagation: list[int] = []
    data: list[str] = []
    for option in options:
        if option in _SET:
            flags |= _SET[option]
        elif option in _CLEAR:
            flags &= ~_CLEAR[option]
        elif option in _PROPAGATION:
            propagation.append(_PROPAGATION[option])
        elif option not in {"", "defaults"}:
            data.append(option)
    done: list[Call] = []
    bind = flags & (_BIND | _REC)
    rest = flags & ~(_BIND | _REC)
    if rest & _REMOUNT or not bind:
        # "remount" together with a propagation alone means the propagation only
        if data or not rest & _REMOUNT or flags & ~_REMOUNT or not propagation:
            done.append(Call(source, target, kind, flags, ",".join(data)))
    else:
        done.append(Call(source, target, "", bind, ""))
        if rest:
            done.append(Call("", target, "", _REMOUNT | _BIND | rest, ""))
    done += [Call("", target, "", change, "") for change in propagation]
    return done
