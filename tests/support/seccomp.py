"""A classic BPF machine as the kernel runs it on struct seccomp_data, written from its manual."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Call(NamedTuple):
    """One system call as a filter sees it."""

    arch: int
    number: int
    arguments: tuple[int, ...] = (0, 0, 0, 0, 0, 0)


def run(program: bytes, call: Call, *, big_endian: bool) -> int:
    """What the filter returns; any step that the kernel's checker would refuse is an error."""
    order = ">" if big_endian else "<"
    steps = list(struct.iter_unpack(f"{order}HBBI", program))
    data = struct.pack(f"{order}iIQ6Q", call.number - (1 << 32) * (call.number >> 31), call.arch, 0, *call.arguments)
    accumulator = at = 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x20:
            assert k % 4 == 0
            (accumulator,) = struct.unpack_from(f"{order}I", data, k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        elif code == 0x15:
            at += if_true if accumulator == k else if_false
        elif code == 0x35:
            at += if_true if accumulator >= k else if_false
        elif code == 0x06:
            return k
        else:
            raise AssertionError(f"instruction {code:#x}")
