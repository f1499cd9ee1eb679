"""How a machine ended, and the judgement of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from linuxkit.runners.report import Guest, Record

TIMED_OUT, NOT_WELL = 124, 4


class Result(NamedTuple):
    """How a machine ended."""

    status: int  # 0: well; 4: the guest was not well; 124: time-out; else the emulator's own
    reason: str  # as QEMU names it: "guest-shutdown", "guest-panic", "host-qmp-quit" ... or ""
    reported: bool  # the guest said anything at all
    ready: bool
    power: str  # what the guest announced: "poweroff", "reboot", "halt" or ""
    failed: tuple[str, ...]  # units that ended badly
    records: tuple[Record, ...]
    dropped: int  # lines that were no records
    elapsed_s: float
    timed_out: bool


def judge(guest: Guest, reason: str, code: int, *, timed_out: bool) -> int:
    """The exit status that tells whether the machine was well."""
    if timed_out:
        return TIMED_OUT
    if not guest.records:  # an init that does not report
        return NOT_WELL if reason == "guest-panic" else code
    orderly = bool(guest.power) or reason.startswith("host-")
    return 0 if guest.well and orderly else NOT_WELL
