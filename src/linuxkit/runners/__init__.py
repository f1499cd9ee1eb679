"""L5: what starts an artifact as a machine.  The protocol, and the table of runners.

A runner's module is imported when it is chosen.  Adding one takes a module, a line here, golden
commands and a page.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import TYPE_CHECKING, Protocol, cast

from linuxkit.base import events
from linuxkit.base.errors import Error, suggestion
from linuxkit.runners.image import locate, need_kernel
from linuxkit.runners.options import Disk, Forward, Network, Options
from linuxkit.runners.report import Record
from linuxkit.runners.result import Result
from linuxkit.runners.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from linuxkit.build.artifact import Artifact
    from linuxkit.runners.machines import Machine

__all__ = [
    "Disk", "Forward", "Network", "Options", "Record", "Result", "Runner", "Running",
    "find", "locate", "run", "start", "summaries",
]  # fmt: skip

DEFAULT = "qemu"

_TABLE = {
    "qemu": "QEMU: emulation everywhere, KVM where it works",
    "uml": "user-mode Linux: a kernel that is a program, quick without KVM (amd64)",
}


class Runner(Protocol):
    """Starts machines; a module of this package."""

    def start(
        self,
        artifact: Artifact,
        options: Options,
        /,
        *,
        attached: bool = False,
        lines: tuple[int, ...] = (),
        sink: Callable[[bytes], None] | None = None,
    ) -> Running:
        """Start the machine and come back at once; its console is this terminal if attached.

        ``lines`` are sockets for callers of its init, ``sink`` is given what its console shows.
        """


def summaries() -> tuple[tuple[str, str], ...]:
    """Every runner's name and what it is, for help texts."""
    return tuple(_TABLE.items())


def find(name: str) -> Runner:
    """The runner called ``name``.  Raises LK0815."""
    if name not in _TABLE:
        hint = suggestion(name, _TABLE) or f"known: {', '.join(_TABLE)}"
        raise Error("LK0815", f'there is no runner "{name}"', hint=hint)
    return cast("Runner", importlib.import_module(f"linuxkit.runners.{name}"))


def start(
    artifact: Artifact | str | Path, options: Options | None = None, *, runner: str = DEFAULT
) -> Running:
    """Start a machine whose console is kept; use it as a context manager, so that it ends."""
    return find(runner).start(_located(artifact), options or Options())


def run(
    artifact: Artifact | str | Path, options: Options | None = None, *, runner: str = DEFAULT
) -> Result:
    """Run a machine on this terminal until it ends, telling its units' states as events.

    Raises LK0801 when nothing of that name was built, and the errors of the runner; a guest that
    is not well is a result, not an error.
    """
    found, chosen = _located(artifact), options or Options()
    with _terminal_kept(), find(runner).start(found, chosen, attached=True) as machine:
        for record in machine.follow(chosen.timeout_s):
            events.emit(_event(record))
        timed_out = not machine.ended
        machine.close()
        result = machine.result(timed_out=timed_out)
        for line in machine.said:
            events.note(f"{machine.emulator}: {line}", level="debug")
        return result


def detach(
    name: str,
    artifact: Artifact | str | Path,
    options: Options | None = None,
    *,
    runner: str = DEFAULT,
) -> Machine:
    """Run a machine in the background, under ``name``; comes back when it was started.

    Raises LK0801, LK0841, LK0842 (one of this name runs), and the errors of the runner.
    """
    from linuxkit.runners.keeper import keep

    found, chosen = _located(artifact), options or Options()
    chosen.check()

    def begin(lines: tuple[int, ...], sink: Callable[[bytes], None]) -> Running:
        return find(runner).start(found, chosen, lines=lines, sink=sink)

    published = tuple(f"{f.address}:{f.host}:{f.guest}/{f.protocol}" for f in chosen.forwards)
    return keep(name, begin, system=found.name, publish=published)


def _event(record: Record) -> events.Unit:
    if record.event == "power":
        return events.Unit("machine", record.name, record.t_ms)
    return events.Unit(record.name, record.state or record.event, record.t_ms, record.detail)


def _located(artifact: Artifact | str | Path) -> Artifact:
    found = locate(artifact) if isinstance(artifact, (str, os.PathLike)) else artifact
    need_kernel(found)
    return found


@contextlib.contextmanager
def _terminal_kept() -> Iterator[None]:
    """Give the terminal back as it was, also when the emulator died without doing so."""
    import termios

    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal itself may be gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)
