"""Runs commands cut off from this machine: own root, no network, no privileges, limits, a time-out.

The far side is ``inside``.  What is built, and of what, is ``commands``'s business.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from linuxkit.base import events, proc
from linuxkit.base.errors import Error, printable
from linuxkit.recipes import inside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import IO, BinaryIO

_TAIL = 12
_MAX_LOG = 64 << 20
_MAX_LINE = 4096
_MAX_ANSWER = 4096
_END_S = 30
_HINT = (
    "it takes user namespaces, which root always has; Debian: sysctl "
    "kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000, "
    "Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0"
)


class Places(NamedTuple):
    """Folders of this machine and where the commands see them."""

    root: Path  # /, read-only
    src: Path  # /src, read-only
    build: Path  # /build, empty, theirs
    tmp: Path  # /tmp, empty, theirs


class Job(NamedTuple):
    """What to run: ``limits`` are those of setrlimit(2) by name, in their units."""

    places: Places
    steps: Sequence[str]
    env: Mapping[str, str]
    limits: Mapping[str, int]
    timeout_s: float


class Failure(NamedTuple):
    """The step that failed, by number, how, and what was said last."""

    step: int
    status: int
    tail: str


def owner() -> int | None:
    """Whom the commands' folders must belong to outside, so that they see them as their own.

    None where that is who we are.
    """
    return inside.OUTSIDE if os.geteuid() == 0 else None


def run(job: Job, log: BinaryIO) -> Failure | None:
    """Run the steps in turn until one fails; all that they say goes to ``log`` and the listener.

    Nothing that they start outlives this call.  Raises LK0561 (there can be no sandbox here),
    LK0562 (time-out).
    """
    scratch = job.places.build.parent / "job.json"
    told = {
        **{name: str(path) for name, path in job.places._asdict().items()},
        "steps": list(job.steps), "env": dict(job.env), "limits": dict(job.limits),
    }  # fmt: skip
    scratch.write_text(json.dumps(told), encoding="utf-8")
    reading, writing = os.pipe()
    try:
        argv: list[str | Path] = [
            sys.executable, "-I", "-S", inside.__file__, scratch, str(writing)
        ]  # fmt: skip
        process = proc.start(
            argv, stdin=proc.DEVNULL, stdout=proc.PIPE, stderr=proc.STDOUT, pass_fds=[writing]
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    said = _Listener(log)
    pipe = process.stdout
    assert pipe is not None  # noqa: S101 - it was asked for
    try:
        in_time = _follow(pipe, said, job.timeout_s)
    finally:
        process.kill()  # process 1 inside dies with it, and all others with that
        process.wait()
        with pipe:
            _follow(pipe, said, _END_S)  # until the last of them is gone
        with open(reading, "rb") as pipe:  # noqa: PTH123
            answer = pipe.read(_MAX_ANSWER)
    said.end()
    if not in_time:
        raise Error(
            "LK0562", f"the commands did not end within {job.timeout_s:g} s", detail=said.tail(),
            hint="if they need longer, say so: build: {limits: {timeout: SECONDS}}",
        )  # fmt: skip
    return _result(answer, said.tail())


def _result(answer: bytes, tail: str) -> Failure | None:
    """What the far side has written, which no command can reach."""
    found: dict[str, Any] = json.loads(answer or b'{"refused": "it ended without a word"}')
    if "refused" in found:
        why = printable(found["refused"])
        raise Error("LK0561", f"no sandbox can be made: {why}", hint=_HINT, detail=tail)
    return Failure(found["step"], found["status"], tail) if "step" in found else None


def _follow(pipe: IO[bytes], said: _Listener, timeout_s: float) -> bool:
    """Listen until nobody is there to say more; whether that was in time."""
    ends = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        while (left := ends - time.monotonic()) > 0:
            if not waiting.select(left):
                continue
            data = os.read(pipe.fileno(), 64 << 10)
            if not data:
                return True
            said.take(data)
    return False


class _Listener:
    """Cuts what is said into lines for people, and keeps all of it up to a limit."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._left = _MAX_LOG
        self._part = b""
        self._last: deque[str] = deque(maxlen=_TAIL)

    def take(self, data: bytes) -> None:
        self._log.write(data[: self._left])
        self._left -= min(len(data), self._left)
        *lines, self._part = (self._part + data).split(b"\n")
        if len(self._part) > _MAX_LINE:
            lines.append(self._part)
            self._part = b""
        for line in lines:
            self._line(line)

    def end(self) -> None:
        if self._part:
            self._line(self._part)
            self._part = b""
        self._log.flush()

    def _line(self, raw: bytes) -> None:
        text = printable(raw.decode(errors="replace").expandtabs(), _MAX_LINE)
        self._last.append(text)
        events.note(text, level="debug")

    def tail(self) -> str:
        return "\n".join(self._last)
