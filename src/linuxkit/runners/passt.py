"""The user network of machines without QEMU: passt, as an unprivileged process beside them.

Addresses are those of QEMU's user network, so that a guest need not know which one it has.
``words`` decides and touches nothing; a :class:`Card` runs it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import events, proc
from linuxkit.base.errors import Error, printable
from linuxkit.runners import vhost

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from linuxkit.runners.options import Forward

_GUEST, _HOST, _NAMES, _BITS = "10.0.2.15", "10.0.2.2", "10.0.2.3", "24"
_UP_S, _GRACE_S = 20.0, 3.0
_TAIL_BYTES, _TAIL_LINES = 4096, 8


def words(wire: int, forwards: Sequence[Forward]) -> tuple[str, ...]:
    """The arguments of passt, without its own name; ``wire`` is its end of the socket."""
    return (
        "--foreground", "--quiet", "--vhost-user", "--fd", str(wire), "--ipv4-only",
        "--address", _GUEST, "--netmask", _BITS, "--gateway", _HOST, "--map-host-loopback", _HOST,
        "--dns", _NAMES, "--dns-forward", _NAMES, "--mtu", "1500",
        *(word for each in forwards for word in _forward(each)),
    )  # fmt: skip


def _forward(forward: Forward) -> tuple[str, str]:
    return (
        f"--{forward.protocol}-ports", f"{forward.address}/{forward.host}:{forward.guest}",
    )  # fmt: skip


class Card:
    """A network card for one machine at a time; after each start of its kernel it is a new one."""

    def __init__(self, program: Sequence[str], forwards: Sequence[Forward], mac: str) -> None:
        """Start it.  Raises LK0802 and LK0803 (a port is not to be had)."""
        self._program, self._forwards, self._mac = tuple(program), tuple(forwards), mac
        self._closed = False
        self._process, self._wire = self._started()
        try:
            self._listener, self.handle = _listening()
        except BaseException:
            self._stop()
            raise
        self._thread = threading.Thread(target=self._serve, name="network card", daemon=True)
        self._thread.start()

    # handle: a descriptor of the socket that the kernel connects to, as /proc/self/fd/HANDLE

    def close(self) -> None:
        """Take it away; the machine has ended, or will not start."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        with contextlib.suppress(OSError):  # nobody is on the line
            self._wire.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        os.close(self.handle)
        self._stop()

    def _serve(self) -> None:
        while True:
            try:
                guest, _ = self._listener.accept()
            except OSError:
                return  # we close
            with guest:
                vhost.relay(guest, self._wire, self._mac)
            if self._closed or not self._renew():
                return

    def _renew(self) -> bool:
        self._stop()
        try:
            self._process, self._wire = self._started()
        except Error as error:
            events.note(f"the machine has no network any more: {error}", level="warning")
            return False
        return True

    def _stop(self) -> None:
        self._wire.close()
        proc.finish(self._process, _GRACE_S)

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        ours.settimeout(_UP_S)
        with theirs, tempfile.TemporaryFile() as said:
            argv = (*self._program, *words(theirs.fileno(), self._forwards))
            process = proc.start(
                argv, stdin=proc.DEVNULL, stdout=said.fileno(), stderr=said.fileno(),
                pass_fds=(theirs.fileno(),),
            )  # fmt: skip
            theirs.close()
            if vhost.is_up(ours):
                ours.settimeout(None)
                return process, ours
            ours.close()
            proc.finish(process, _GRACE_S)
            said.seek(0)
            raise _failed(argv, process.returncode, said.read(_TAIL_BYTES))


def _listening() -> tuple[socket.socket, int]:
    """A socket, and a descriptor by which it can be reached: it has no name any more."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with tempfile.TemporaryDirectory(prefix="linuxkit-card-") as folder:
            path = Path(folder) / "card"
            made.bind(str(path))
            made.listen(1)
            return made, os.open(path, os.O_PATH | os.O_CLOEXEC)
    except BaseException:
        made.close()
        raise


def _failed(argv: Sequence[str], code: int, said: bytes) -> Error:
    lines = [printable(line) for line in said.decode(errors="replace").splitlines()[-_TAIL_LINES:]]
    detail = proc.replay(argv, "\n".join(lines))
    if any("port" in line for line in lines):
        return Error(
            "LK0803",
            "a port of this host cannot be forwarded: it is in use, or you may not use it",
            hint="publish another port, for example --publish 8080:80",
            detail=detail,
        )
    return Error(
        "LK0802", f"the user network (passt) {proc.status(code)}", detail=detail,
        hint="a machine without a network: --networking none",
    )  # fmt: skip
