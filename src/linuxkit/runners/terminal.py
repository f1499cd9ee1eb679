"""Our terminal as a machine's console, for machines that must not have it themselves.

A guest's kernel that is a process of the host could do what it likes with a terminal that it has
open, such as typing for its user (TIOCSTI).  Ctrl-A x leaves, as in QEMU.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linuxkit.runners.running import Running

_CHUNK = 4096
_ESCAPE = 1  # Ctrl-A
_LEAVE = ord("x")
_LOOK_S = 0.5


class Keys:
    """Tells what is typed for the machine from what is typed for us."""

    def __init__(self) -> None:
        self._escaped = False

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """What goes to the machine, and whether the user wants to leave.  Ctrl-A twice is one."""
        kept = bytearray()
        for byte in data:
            if not self._escaped and byte == _ESCAPE:
                self._escaped = True
                continue
            if self._escaped and byte in (_LEAVE, _LEAVE - 0x20):
                return bytes(kept), True
            if not self._escaped or byte == _ESCAPE:
                kept.append(byte)
            self._escaped = False
        return bytes(kept), False


def show(data: bytes) -> None:
    """Show what the console shows."""
    with contextlib.suppress(OSError):  # nobody looks any more
        while data:
            data = data[os.write(1, data) :]


def attach(machine: Running) -> None:
    """Pass on what is typed until the machine ends; the caller restores the terminal's settings."""
    if os.isatty(0):
        _set_raw(0)
    threading.Thread(target=_type, args=(machine,), name="keyboard", daemon=True).start()


def _type(machine: Running) -> None:
    keys = Keys()
    with contextlib.suppress(OSError, ValueError):  # the terminal or the machine is gone
        while not machine.ended:
            if not select.select([0], [], [], _LOOK_S)[0]:
                continue
            data = os.read(0, _CHUNK)
            if not data:
                return
            typed, leave = keys.take(data) if os.isatty(0) else (data, False)
            machine.write(typed)
            if leave:
                machine.unplug()
                return


def _set_raw(handle: int) -> None:
    """Every key as it is typed; what is written keeps its line ends."""
    settings = termios.tcgetattr(handle)
    settings[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP)
    settings[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
    termios.tcsetattr(handle, termios.TCSAFLUSH, settings)
