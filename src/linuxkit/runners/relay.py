"""Callers of a guest's control ports, where such a port is a plain line and knows of no callers.

A machine of QEMU is told when a caller comes and goes.  A line is always open: what the guest says
to somebody who has left is dropped here, and it is told that he has left, so that what he asked
for ends (a new request ends the one before, ``guest/README.md``).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

_CHUNK = 1 << 16
_LEFT = b"\n0 hangup\n"  # no request, which ends the one before


class Relay:
    """One line: the socket at which callers are awaited, and ours to the guest."""

    def __init__(self, listener: int, wire: socket.socket) -> None:
        """``listener`` is duplicated; ``wire`` is the relay's from here on."""
        self._listener = socket.socket(fileno=os.dup(listener))
        self._wire = wire
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on both sides."""
        with contextlib.suppress(OSError):  # it is over: the guest has hung up
            self._wire.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        with self._listener, self._wire:
            while self._await():
                caller, _ = self._listener.accept()
                with caller:
                    self._pass_on(caller)
                try:
                    self._wire.sendall(_LEFT)
                except OSError:
                    return

    def _await(self) -> bool:
        """Drop what the guest says until somebody calls; False: the guest is gone."""
        while True:
            readable, _, _ = select.select([self._wire, self._listener], [], [])
            if self._wire in readable:
                if not _read(self._wire):
                    return False
            elif self._listener in readable:
                return True

    def _pass_on(self, caller: socket.socket) -> None:
        """Both ways until one side hangs up; who does not read holds up this line only."""
        others = {caller: self._wire, self._wire: caller}
        while True:
            readable, _, _ = select.select(list(others), [], [])
            for side in readable:
                data = _read(side)
                try:
                    others[side].sendall(data)
                except OSError:
                    return
                if not data:
                    return


def _read(side: socket.socket) -> bytes:
    try:
        return side.recv(_CHUNK)
    except OSError:
        return b""
