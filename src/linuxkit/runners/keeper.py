"""Keeps a machine that runs in the background: a process of its own that outlives the command.

It starts the machine, writes down what the guest says, and ends it when it is told to (SIGTERM):
first in order, then by the power button, at last by force.  The emulator dies with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.runners import machines
from linuxkit.runners.control import PORTS, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from linuxkit.runners.machines import Machine
    from linuxkit.runners.running import Running

    Start = Callable[[tuple[int, ...], Callable[[bytes], None]], Running]

_LOG_BYTES = 4 << 20
_ORDERLY_S, _BUTTON_S = 60.0, 10.0


def keep(name: str, start: Start, *, system: str, publish: tuple[str, ...]) -> Machine:
    """Start a machine in the background; ``start`` makes it, with its control sockets and a sink.

    Comes back when the emulator runs.  Raises LK0841 (bad name), LK0842 (it runs already), and what
    ``start`` raises.
    """
    folder = machines.root() / machines.checked_name(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise files.os_error(error, "make", folder) from error
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _detach(folder, writer, start, system, publish)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    if said != b"{}":
        value = json.loads(said or b'["LK0802", "the process that keeps it died", "", ""]')
        code, message, hint, detail = value
        raise Error(code, message, hint=hint, detail=detail)
    return machines.find(name)


def _detach(
    folder: Path, writer: int, start: Start, system: str, publish: tuple[str, ...]
) -> NoReturn:
    """In the child: a daemon of its own session, whose parent does not wait for it."""
    status = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        _run(folder, writer, start, system, publish)
        status = 0
    except Error as error:
        first = error.all()[0]
        _tell(writer, [first.code, first.message, first.hint, first.detail])
    except OSError as error:
        _tell(writer, ["LK0102", f"cannot keep the machine: {error}", "", ""])
    finally:
        os._exit(status)


def _tell(writer: int, value: object) -> None:
    with contextlib.suppress(OSError):  # it was told before
        os.write(writer, json.dumps(value).encode())
        os.close(writer)


def _run(
    folder: Path, writer: int, start: Start, system: str, publish: tuple[str, ...]
) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not files.lock(lock, wait=False):
        raise Error(
            "LK0842",
            f'a machine called "{folder.name}" runs already',
            hint=f"stop it first: linuxkit stop {folder.name}",
        )
    full = machines.CONSOLE + machines.OLD
    for old in (machines.RESULT, machines.REPORT, machines.CONSOLE, full):
        (folder / old).unlink(missing_ok=True)
    console = _Log(folder / machines.CONSOLE)
    with _listening(folder) as sockets, start(sockets, console.write) as machine:
        facts = {
            "pid": os.getpid(), "ticks": machines.start_ticks(os.getpid()), "system": system,
            "started": int(time.time()), "publish": list(publish), "emulator": machine.pid,
        }  # fmt: skip
        files.write(folder / machines.FACTS, json.dumps(facts).encode(), mode=0o600, sync=False)
        ender = threading.Thread(target=_end, args=(machine, stop), daemon=True)
        ender.start()
        report = (folder / machines.REPORT).open("wb")
        _tell(writer, {})
        for record in machine.follow():
            with contextlib.suppress(OSError):  # a full disk: what waits is written with the next
                report.write(json.dumps(record._asdict()).encode() + b"\n")
                report.flush()
        with contextlib.suppress(OSError):
            report.close()
        machine.close()
        try:
            result = machine.result()
            ended = {
                "status": result.status, "reason": result.reason, "power": result.power,
                "failed": list(result.failed), "elapsed_s": round(result.elapsed_s, 3),
            }  # fmt: skip
        except Error as error:
            ended = {"status": 1, "reason": error.message, "power": "", "failed": []}
    files.write(folder / machines.RESULT, json.dumps(ended).encode(), mode=0o600, sync=False)


def _end(machine: Running, stop: threading.Event) -> None:
    """Wait until somebody wants it to end; then end it, each way given its time."""
    stop.wait()
    for ask, limit_s in ((machine.poweroff, _ORDERLY_S), (machine.press, _BUTTON_S)):
        ask()
        deadline = time.monotonic() + limit_s
        while not machine.ended and time.monotonic() < deadline:
            time.sleep(0.05)
    machine.close()


class _Log:
    """A file that is renamed when it is full, over the one before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > _LOG_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + machines.OLD))
            self._file = self._path.open("wb", buffering=0)
        with contextlib.suppress(OSError):  # a full disk loses the console, not the machine
            self._file.write(data)


@contextlib.contextmanager
def _listening(folder: Path) -> Iterator[tuple[int, ...]]:
    """The sockets at which callers reach the guest's control ports."""
    with contextlib.ExitStack() as stack:
        handles = []
        for number in range(PORTS):
            made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with address(folder, number) as path:
                (folder / f"control{number}").unlink(missing_ok=True)
                made.bind(path)
            made.listen(1)
            handles.append(made.fileno())
        yield tuple(handles)
