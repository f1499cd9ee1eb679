"""QEMU's machine protocol: telling it to end or to press the power button, and why it ended.

QEMU's docs/interop/qmp-spec.rst.  A machine is done without it where ``--qemu`` is another program.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from linuxkit.runners.report import Lines

if TYPE_CHECKING:
    import socket

_LINE = 1 << 20


class Qmp:
    """The control channel of one QEMU; ``take`` is for the thread that reads ``fileno``."""

    def __init__(self, wire: socket.socket) -> None:
        """``wire`` is our end of it, which is closed with this."""
        self.reason = ""
        """Why QEMU ended, in its own words; "" when it did not say."""
        self.up = False
        """QEMU answers: the machine was made and runs."""
        self._wire = wire
        self._lines = Lines(_LINE)

    def fileno(self) -> int:
        """The descriptor to read from."""
        return self._wire.fileno()

    def take(self, data: bytes) -> None:
        """What was read."""
        for line in self._lines.feed(data):
            match _message(line):
                case {"QMP": _}:
                    self._execute("qmp_capabilities")
                case {"return": _}:
                    self.up = True
                case {"event": "SHUTDOWN", "data": {"reason": str(reason)}}:
                    self.reason = reason
                case _:
                    pass  # other events, and what is not for us

    def press(self) -> None:
        """Press the power button."""
        self._execute("system_powerdown")

    def quit(self) -> None:
        """End at once."""
        self._execute("quit")

    def close(self) -> None:
        """Nothing can be said any more."""
        self._wire.close()

    def _execute(self, order: str) -> None:
        with contextlib.suppress(OSError):  # it has just ended
            self._wire.sendall(json.dumps({"execute": order}).encode() + b"\n")


def _message(line: bytes) -> object:
    """A message; None for what is none, as --qemu may be anything."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
