"""Compiles a policy to the classic BPF program that seccomp(2) runs before each system call.

Numbers with the same outcome are one interval; a binary search finds it in about eight steps.
Anything of another architecture, and the x32 ABI, ends the process; numbers that this tool's
tables do not know answer ENOSYS, so that a libc falls back to what it did before.
"""

from __future__ import annotations

import struct
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import syscalls
from linuxkit.base.errors import Error
from linuxkit.build.sandbox.policy import Action, Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.build.sandbox.policy import Policy

EPERM, ENOSYS = 1, 38

# linux/bpf_common.h and linux/seccomp.h
LOAD, AND, RETURN = 0x20, 0x54, 0x06  # LD|W|ABS, ALU|AND|K, RET|K
JUMP, EQUAL, AT_LEAST = 0x05, 0x15, 0x35  # JMP with JA, JEQ|K, JGE|K
RET_ALLOW, RET_ERRNO, RET_KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data
_WORD = 0xFFFF_FFFF
_NEAR = 255  # how far a conditional jump reaches

RETURNS = {
    Action.ALLOW: RET_ALLOW,
    Action.REFUSE: RET_ERRNO | EPERM,
    Action.ABSENT: RET_ERRNO | ENOSYS,
    Action.KILL: RET_KILL,
}


class Instruction(NamedTuple):
    """struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    k: int


_Outcome = tuple[Action, tuple[Match, ...]]  # the action, unless a test holds: then it is allowed
_Interval = tuple[int, _Outcome]  # from this number up to the next interval's


def compile_filter(policy: Policy, arch: str) -> bytes:
    """The program as the machine has it in memory: 8 bytes an instruction, in its byte order."""
    order = ">" if syscalls.machine(arch).big_endian else "<"
    return b"".join(struct.pack(f"{order}HBBI", *step) for step in instructions(policy, arch))


def instructions(policy: Policy, arch: str) -> list[Instruction]:
    """The program."""
    machine = syscalls.machine(arch)
    steps = [
        Instruction(LOAD, 0, 0, _ARCH_AT),
        Instruction(EQUAL, 1, 0, machine.audit),
        _result(Action.KILL),
        Instruction(LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine.x32:
        steps += [Instruction(AT_LEAST, 0, 1, syscalls.X32_BIT), _result(Action.KILL)]
    return steps + _search(_intervals(policy, arch), big_endian=machine.big_endian)


def _intervals(policy: Policy, arch: str) -> list[_Interval]:
    outcomes: list[_Outcome] = [(Action.REFUSE, ())] * (syscalls.LAST_KNOWN + 1)
    for name, number in syscalls.numbers(arch).items():
        if number <= syscalls.LAST_KNOWN:
            outcomes[number] = _outcome(policy, name)
    outcomes.append((Action.ABSENT, ()))
    rows = groupby(enumerate(outcomes), key=lambda row: row[1])
    return [(next(iter(numbers))[0], outcome) for outcome, numbers in rows]


def _outcome(policy: Policy, name: str) -> _Outcome:
    if name in policy.allowed:
        return Action.ALLOW, ()
    otherwise = Action.ABSENT if name in policy.absent else Action.REFUSE
    return otherwise, policy.conditional.get(name, ())


def _search(intervals: Sequence[_Interval], *, big_endian: bool) -> list[Instruction]:
    if len(intervals) == 1:
        action, tests = intervals[0][1]
        return _tested(action, tests, big_endian=big_endian) if tests else [_result(action)]
    middle = len(intervals) // 2
    below = _search(intervals[:middle], big_endian=big_endian)
    above = _search(intervals[middle:], big_endian=big_endian)
    start = intervals[middle][0]
    if len(below) <= _NEAR:
        return [Instruction(AT_LEAST, len(below), 0, start), *below, *above]
    # a jump without a condition reaches further
    far = Instruction(JUMP, 0, 0, len(below))
    return [Instruction(AT_LEAST, 0, 1, start), far, *below, *above]


def _tested(action: Action, tests: Sequence[Match], *, big_endian: bool) -> list[Instruction]:
    """Allowed when one of the tests holds; each looks at the two halves of its argument."""
    steps: list[Instruction] = []
    for test in tests:
        halves = [
            half
            for half in (
                (0, test.mask & _WORD, test.value & _WORD),
                (4, test.mask >> 32, test.value >> 32),
            )
            if half[1]
        ]
        size = sum(2 if mask == _WORD else 3 for _, mask, _ in halves) + 1
        for offset, mask, value in halves:
            at = _ARGUMENTS_AT + 8 * test.argument + (4 - offset if big_endian else offset)
            part = [Instruction(LOAD, 0, 0, at)]
            if mask != _WORD:
                part.append(Instruction(AND, 0, 0, mask))
            size -= len(part) + 1
            steps += [*part, Instruction(EQUAL, 0, size, value)]
        steps.append(_result(Action.ALLOW))
    return [*steps, _result(action)]


def _result(action: Action) -> Instruction:
    return Instruction(RETURN, 0, 0, RETURNS[action])


def run(program: bytes, arch: str, number: int, arguments: Sequence[int] = (0,) * 6) -> int:
    """What the program returns for a call, as the kernel runs it; ``number`` as unsigned.

    Raises LK0752 for steps that are none of a filter's.
    """
    machine = syscalls.machine(arch)
    order = ">" if machine.big_endian else "<"
    data = struct.pack(f"{order}IIQ6Q", number, machine.audit, 0, *arguments)
    return execute(program, data, order)


def execute(program: bytes, data: bytes, order: str) -> int:
    """Run the program on the bytes of struct seccomp_data; jumps only lead onward.

    Raises LK0752 for steps that are none of a filter's.
    """
    accumulator = at = 0
    while 0 <= at * 8 <= len(program) - 8:
        code, if_true, if_false, k = struct.unpack_from(f"{order}HBBI", program, at * 8)
        at += 1
        if code == RETURN:
            return int(k)
        if code == LOAD and k <= len(data) - 4:
            (accumulator,) = struct.unpack_from(f"{order}I", data, k)
        elif code == AND:
            accumulator &= k
        elif code == JUMP:
            at += k
        elif code == EQUAL:
            at += if_true if accumulator == k else if_false
        elif code == AT_LEAST:
            at += if_true if accumulator >= k else if_false
        else:
            break
    raise Error("LK0752", "the filter in the record of a confinement is damaged")
