"""A machine under way: its process, console, control channel and what its guest reports.

One thread does all reading, so that a machine never waits for its observer; every method may be
called from any thread.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

from linuxkit.base import proc
from linuxkit.base.errors import Error, printable
from linuxkit.runners.report import Guest, Lines, Record, ended_badly, parse
from linuxkit.runners.result import Result, judge

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from linuxkit.runners.qmp import Qmp

_CHUNK = 1 << 16
_CONSOLE = 8 << 20  # bytes of console output kept, the newest
_STDERR = 1 << 16
_DRAIN_S = 1.0
_GRACE_S = 3.0
_TAIL_LINES = 15
NO_DEATHS: Mapping[int, str] = MappingProxyType({})


class Wires(NamedTuple):
    """Our ends of the channels to the emulator."""

    report: socket.socket
    control: Qmp | None  # None: it takes no orders

    @staticmethod
    @contextlib.contextmanager
    def console(*, attached: bool) -> Iterator[tuple[int | None, int | None]]:
        """What QEMU gets as its standard input and output.

        A terminal is opened anew for it: QEMU makes its descriptors non-blocking, and that would
        reach every descriptor of this process which stems from the same open.
        """
        if not attached:
            yield proc.PIPE, proc.PIPE
            return
        try:
            name = os.ttyname(0) if os.isatty(0) and os.isatty(1) else ""
        except OSError:
            name = ""  # a terminal of another mount namespace
        if not name:
            sys.stdout.flush()
            yield None, None
            return
        handle = os.open(name, os.O_RDWR | os.O_NOCTTY)
        try:
            yield handle, handle
        finally:
            os.close(handle)


class Running:
    """A machine that was started.  As a context manager it ends with its block."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: Sequence[str],
        wires: Wires,
        began: float,
        sink: Callable[[bytes], None] | None = None,
        *,
        emulator: str = "QEMU",
        switch: bool = True,
        deaths: Mapping[int, str] = NO_DEATHS,
        after: Sequence[Callable[[], None]] = (),
    ) -> None:
        """``sink`` is called with what the console shows, on the reading thread.

        ``switch``: whether the guest can turn the machine off; if not, it is done for it.
        ``deaths``: the reasons that exit statuses of an ``emulator`` without orders stand for.
        ``after`` is called when the machine has ended, as for programs that it needed.
        """
        self.emulator = emulator
        self._deaths, self._after = deaths, list(after)
        self.argv = tuple(argv)
        self._sink = sink
        self._switch = switch
        self._process = process
        self._wires = wires
        self._began = began
        self._changed = threading.Condition()
        self._guest = Guest()
        self._report = Lines()
        self._console, self._stderr = bytearray(), bytearray()
        self._killed = False
        self._code: int | None = None
        self._elapsed_s = 0.0
        self._pidfd = os.pidfd_open(process.pid)
        self._thread = threading.Thread(target=self._pump, name="machine", daemon=True)
        self._thread.start()

    # Observing

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """The machine is off and everything it said is here."""
        return self._code is not None

    @property
    def said(self) -> tuple[str, ...]:
        """The last lines the emulator itself wrote, such as warnings."""
        return tuple(_tail(self._stderr))

    @property
    def console(self) -> bytes:
        """What the guest's console showed so far; empty when it is attached to a terminal."""
        with self._changed:
            return bytes(self._console)

    @property
    def records(self) -> tuple[Record, ...]:
        """What the guest reported so far."""
        with self._changed:
            return tuple(self._guest.records)

    def follow(self, timeout_s: float | None = None) -> Iterator[Record]:
        """Each record as it comes, until the machine has ended or the time is over."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        seen = 0
        while True:
            with self._changed:
                left = None if deadline is None else deadline - time.monotonic()
                if len(self._guest.records) == seen and self._code is None:
                    if left is not None and left <= 0:
                        return
                    self._changed.wait(left)
                new = self._guest.records[seen:]
                done = self._code is not None
            seen += len(new)
            yield from new
            if done and not new:
                return

    def wait_for(
        self, wanted: Callable[[Guest], Record | None], what: str, timeout_s: float = 60.0
    ) -> Record:
        """Wait until ``wanted`` finds its record.  Raises LK0804 (ended first), LK0805 (time)."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = wanted(self._guest)
                if found is not None:
                    return found
                if self._code is not None:
                    raise self._failure("LK0804", f"the machine ended before {what}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._failure("LK0805", f"{what}: not within {timeout_s:g} s")
                self._changed.wait(left)

    def wait_unit(self, name: str, state: str = "running", *, timeout_s: float = 60.0) -> Record:
        """Wait until the unit has been in this state.  Raises LK0804 also when it failed."""

        def find(guest: Guest) -> Record | None:
            for record in guest.records:
                if record.event == "unit" and record.name == name:
                    if record.state == state:
                        return record
                    if ended_badly(record):
                        raise self._failure(
                            "LK0804", f"{name} {record.state} ({record.detail or record.status})"
                        )
            return None

        return self.wait_for(find, f"{name} is {state}", timeout_s)

    def wait_ready(self, *, timeout_s: float = 60.0) -> Record:
        """Wait until the guest says that everything was started."""

        def find(guest: Guest) -> Record | None:
            for record in guest.records:
                if record.event == "boot" and record.state == "ready":
                    return record
                if record.event == "boot" and record.state == "failed":
                    raise self._failure("LK0804", f"the boot failed: {record.detail}")
            return None

        return self.wait_for(find, "the guest is ready", timeout_s)

    # Acting

    def write(self, text: str | bytes) -> None:
        """Write on the guest's console, when it is not attached to a terminal."""
        stdin = self._process.stdin
        if stdin:
            stdin.write(text.encode() if isinstance(text, str) else text)
            stdin.flush()

    def poweroff(self) -> None:
        """Ask the guest to stop in order: its init, or the power button when that is silent."""
        if self.records:
            self._tell(b"poweroff\n")
        else:
            self.press()

    def press(self) -> None:
        """Press the power button, where there is one."""
        if self._wires.control:
            self._wires.control.press()

    def unplug(self) -> None:
        """End the machine without its doing anything about it, and do not wait."""
        if self._wires.control:
            self._wires.control.quit()
        else:
            self._killed = True
            self._process.kill()

    def reboot(self) -> None:
        """Ask the guest's init to restart the machine."""
        self._tell(b"reboot\n")

    def wait(self, timeout_s: float | None = None) -> Result:
        """Wait until the machine has ended.  Raises LK0805, and LK0802 when QEMU itself failed."""
        self._thread.join(timeout_s)
        if self._code is None:
            raise self._failure("LK0805", f"the machine did not end within {timeout_s:g} s")
        return self.result()

    def close(self) -> None:
        """End the machine at once, however it does."""
        if not self.ended:
            self.unplug()
            self._thread.join(_GRACE_S)
        if not self.ended:
            self._process.kill()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with contextlib.suppress(OSError):  # what was typed last may be undeliverable
                    stream.close()
        self._wires.report.close()
        if self._wires.control:
            self._wires.control.close()
        while self._after:  # only once, however often this is called
            self._after.pop()()

    def result(self, *, timed_out: bool = False) -> Result:
        """How it ended.  Raises LK0802 and LK0803 when the emulator itself failed."""
        code = self._code
        if code is None:
            raise self._failure("LK0805", "the machine still runs")
        reason = self._reason(code)
        if not timed_out and self._emulator_is_to_blame(code, reason):
            raise self._emulator_failed(code)
        guest = self._guest
        return Result(
            judge(guest, reason, code, timed_out=timed_out),
            reason,
            bool(guest.records),
            guest.ready,
            guest.power,
            guest.failed,
            tuple(guest.records),
            guest.dropped + self._report.dropped,
            self._elapsed_s,
            timed_out,
        )

    def _reason(self, code: int) -> str:
        if self._wires.control:
            return self._wires.control.reason
        return "host-kill" if self._killed else self._deaths.get(code, "")

    def _emulator_is_to_blame(self, code: int, reason: str) -> bool:
        if self._wires.control:
            return code < 0 or (code != 0 and not self._wires.control.up)
        return code != 0 and not reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The reading thread

    def _pump(self) -> None:
        process, wires = self._process, self._wires
        sources: dict[int, Callable[[bytes], None]] = {
            wires.report.fileno(): self._take_report,
        }
        if wires.control:
            sources[wires.control.fileno()] = wires.control.take
        if process.stdout:
            sources[process.stdout.fileno()] = self._take_console
        if process.stderr:
            sources[process.stderr.fileno()] = self._take_stderr
        with selectors.DefaultSelector() as selector:
            for handle in sources:
                selector.register(handle, selectors.EVENT_READ)
            selector.register(self._pidfd, selectors.EVENT_READ)
            code = self._read_all(selector, sources)
        os.close(self._pidfd)
        with self._changed:
            self._elapsed_s = time.monotonic() - self._began
            self._code = code
            self._changed.notify_all()

    def _read_all(
        self, selector: selectors.BaseSelector, sources: dict[int, Callable[[bytes], None]]
    ) -> int:
        """Read until the process is gone and so is what it wrote; its helpers may outlive it."""
        deadline: float | None = None
        while deadline is None or (sources and time.monotonic() < deadline):
            for key, _ in selector.select(None if deadline is None else _DRAIN_S):
                if key.fd == self._pidfd:
                    selector.unregister(self._pidfd)
                    deadline = time.monotonic() + _DRAIN_S
                    continue
                data = _read(key.fd)
                if data:
                    sources[key.fd](data)
                else:
                    selector.unregister(key.fd)
                    del sources[key.fd]
        return self._process.wait()

    def _take_report(self, data: bytes) -> None:
        now = int((time.monotonic() - self._began) * 1000)
        with self._changed:
            for line in self._report.feed(data):
                record = parse(line)
                if record is None:
                    self._report.dropped += 1
                else:
                    self._guest.take(record._replace(host_ms=now))
            off = self._guest.power in {"poweroff", "halt"} and not self._switch
            self._changed.notify_all()
        if off:  # the guest has written everything down before it said so
            self.unplug()

    def _take_console(self, data: bytes) -> None:
        if self._sink:
            self._sink(data)
        with self._changed:
            self._console += data
            del self._console[:-_CONSOLE]
            self._changed.notify_all()

    def _take_stderr(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-_STDERR]

    def _tell(self, order: bytes) -> None:
        """Tell the guest's init."""
        with contextlib.suppress(OSError):  # it has just ended
            self._wires.report.sendall(order)

    # Failures

    def _failure(self, code: str, message: str) -> Error:
        shown = [("console", self._console), (self.emulator, self._stderr)]
        detail = "\n".join(f"{who}: {line}" for who, text in shown for line in _tail(text))
        return Error(code, message, detail=detail)

    def _emulator_failed(self, code: int) -> Error:
        stderr = "\n".join(_tail(self._stderr))
        detail = proc.replay(self.argv, stderr)
        if "hostfwd" in stderr or "host forwarding" in stderr:
            return Error(
                "LK0803",
                "a port of this host cannot be forwarded: it is in use, or you may not use it",
                hint="publish another port, for example --publish 8080:80",
                detail=detail,
            )
        return Error("LK0802", f"{self.emulator} {proc.status(code)}", detail=detail)


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, _CHUNK)
    except ConnectionResetError:
        return b""


def _tail(text: bytearray) -> list[str]:
    lines = bytes(text[-_TAIL_LINES * 400 :]).decode(errors="replace").splitlines()
    return [printable(line) for line in lines if line.strip()][-_TAIL_LINES:]
