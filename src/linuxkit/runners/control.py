"""Asks a guest's init over its control ports; the protocol is in ``guest/README.md``.

Answers come from the guest: every length and line is bounded, text is for the caller to clean.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
from typing import TYPE_CHECKING, NamedTuple, Self

from linuxkit.base import files
from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.runners.machines import Machine

PORT = "org.linuxkit.control."  # and a digit
PORTS = 4

_MAX_REQUEST = 4095
_MAX_FRAME = 1 << 16
_MAX_NOISE = 1 << 20  # of answers to others that are still in the pipe
_CHUNK = 1 << 16
_MAX_REASON = 200
_MAX_LIST = 1 << 20  # bytes; of the 512 units that there can be, each has much less than 2048
_HEAD = re.compile(rb"(out|err|end) ([0-9]{1,7})\n")
_ENDED, _NONSENSE = "it has just ended", "what it says makes no sense"
_PLAIN = frozenset(range(0x21, 0x7F)) - {ord("%")}


class Frame(NamedTuple):
    """A piece of an answer: "out" or "err" with bytes, or "end" with a status."""

    kind: str
    data: bytes = b""
    status: int = 0


class UnitLine(NamedTuple):
    """A unit as the guest lists it."""

    name: str
    state: str
    pid: int
    starts: int
    status: int
    signal: int
    log_bytes: int
    hidden_lines: int
    lost_bytes: int
    detail: str


@contextlib.contextmanager
def address(folder: Path, number: int) -> Iterator[str]:
    """A short path of the socket ``number`` in ``folder``: socket addresses have 107 bytes."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/control{number}"
    finally:
        os.close(handle)


class Control:
    """A line to a machine's init, of its own as long as it is open.  Use as a context manager."""

    def __init__(self, machine: Machine, *, timeout_s: float = 30.0) -> None:
        """Take a free port of the machine.  Raises LK0843 (none is free), LK0844 (no answer)."""
        self._machine = machine
        self._timeout_s = timeout_s
        self._stack = contextlib.ExitStack()
        self._rest = b""
        try:
            self._wire = self._stack.enter_context(self._connected())
        except BaseException:
            self._stack.close()
            raise

    def ask(self, *words: str, patient: bool = False) -> Iterator[Frame]:
        """The frames of an answer, the last with its status.

        ``patient``: the answer may take its time, as of a command or a log that is followed.
        Raises LK0844 when there is none or it makes no sense, LK0845 for a request too long.
        """
        ident = secrets.token_hex(8)
        line = f"{ident} {' '.join(map(_coded, words))}\n".encode()
        if len(line) > _MAX_REQUEST:
            raise Error("LK0845", f"the command has {len(line)} bytes; {_MAX_REQUEST} are possible")
        try:
            # the line end before it ends what somebody before us left half said
            self._wire.sendall(b"\n" + line)
            self._skip_to(ident.encode() + b" ")
            while True:
                frame = self._frame()
                self._wire.settimeout(None if patient else self._timeout_s)  # it does answer
                yield frame
                if frame.kind == "end":
                    return
                self._expect(ident.encode() + b" ")
        except TimeoutError as error:
            raise self._silent(f"nothing came within {self._timeout_s:g} s") from error
        except OSError as error:
            raise files.os_error(error, "ask", self._machine.folder) from error

    def obey(self, *words: str, patient: bool = False) -> Iterator[bytes]:
        """What an answer that must be a success has to say.

        Raises as :meth:`ask`, and LK0846 with the init's own reason when it is none.
        """
        reason = b""
        for frame in self.ask(*words, patient=patient):
            if frame.kind == "out":
                yield frame.data
            reason = (reason + frame.data)[-_MAX_REASON:] if frame.kind == "err" else reason
            if frame.status:
                text = printable(reason.decode(errors="replace").strip(), _MAX_REASON)
                raise Error(
                    "LK0846",
                    f"{printable(words[1], 300)}: {text or f'status {frame.status}'}",
                    hint=f"linuxkit ps {self._machine.name} lists its units",
                )

    def units(self) -> tuple[UnitLine, ...]:
        """Every unit.  Raises as :meth:`ask`."""
        text = b""
        for frame in self.ask("list"):
            text += frame.data if frame.kind == "out" else b""
            if len(text) > _MAX_LIST:
                raise self._silent(_NONSENSE)
        return tuple(unit for line in text.splitlines() if (unit := _unit(line)) is not None)

    def close(self) -> None:
        """Hang up; what was asked for and goes on ends."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> socket.socket:
        for number in range(PORTS):
            path = self._machine.folder / f"control{number}.lock"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not files.lock(handle, wait=False):
                os.close(handle)
                continue
            self._stack.callback(os.close, handle)
            wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            wire.settimeout(self._timeout_s)
            try:
                with address(self._machine.folder, number) as short:
                    wire.connect(short)
            except OSError as error:
                wire.close()
                gone = isinstance(error, ConnectionError | FileNotFoundError)
                raise self._silent(_ENDED if gone else str(error)) from error
            return wire
        raise Error(
            "LK0843",
            f'all {PORTS} lines to the machine "{self._machine.name}" are in use',
            hint="end one of the commands that follow its logs or run something in it",
        )

    def _silent(self, why: str) -> Error:
        hint = "it may be starting still, or its init has no control ports"
        return Error(
            "LK0844",
            f'the machine "{self._machine.name}" does not answer: {why}',
            hint="linuxkit ps tells whether it runs" if why is _ENDED else hint,
        )

    def _more(self) -> None:
        data = self._wire.recv(_CHUNK)
        if not data:
            raise self._silent(_ENDED)
        self._rest += data

    def _skip_to(self, head: bytes) -> None:
        skipped = 0
        while head not in self._rest:
            keep = len(head) - 1
            skipped += max(0, len(self._rest) - keep)
            self._rest = self._rest[-keep:]
            if skipped > _MAX_NOISE:
                raise self._silent(_NONSENSE)
            self._more()
        self._rest = self._rest.partition(head)[2]

    def _expect(self, head: bytes) -> None:
        while len(self._rest) < len(head):
            self._more()
        if not self._rest.startswith(head):
            raise self._silent(_NONSENSE)
        self._rest = self._rest[len(head) :]

    def _frame(self) -> Frame:
        while b"\n" not in self._rest and len(self._rest) < 16:  # noqa: PLR2004 - a head has less
            self._more()
        match = _HEAD.match(self._rest)
        if match is None or (match[1] != b"end" and int(match[2]) > _MAX_FRAME):
            raise self._silent(_NONSENSE)
        self._rest = self._rest[match.end() :]
        kind, number = match[1].decode(), int(match[2])
        if kind == "end":
            return Frame(kind, status=number)
        while len(self._rest) < number:
            self._more()
        data, self._rest = self._rest[:number], self._rest[number:]
        return Frame(kind, data)


def _coded(word: str) -> str:
    """A word of a request: bytes that are no plain characters as ``%xx``."""
    raw = word.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw)


def _unit(line: bytes) -> UnitLine | None:
    fields = line.decode("utf-8", "replace").split("\t")
    if len(fields) != len(UnitLine._fields):
        return None
    name, state, *numbers, detail = fields
    try:
        said = json.loads(detail)
        counts = [int(number) for number in numbers]
    except (ValueError, RecursionError):
        return None
    texts = printable(name, 300), printable(state, 32)
    return UnitLine._make((*texts, *counts, printable(str(said), 400)))
