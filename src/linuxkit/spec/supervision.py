"""The keys that say how a container is kept running: readiness, health, restarts, stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from linuxkit.spec import text
from linuxkit.spec.decode import Key, Problem
from linuxkit.spec.parts import Strings  # noqa: TC001 - the decoder reads annotations
from linuxkit.spec.record import Record
from linuxkit.spec.text import Duration  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT_LIMIT = 1_000_000
_PORT = 65535


class Ready(Record):
    """How a service is known to be ready; one of `exec`, `tcp`, `file` and `notify`."""

    exec: Annotated[
        Strings | None,
        Key("Program run in the container; it is ready when it ends with 0.", argv=True),
    ] = None
    tcp: Annotated[
        int | None, Key("Port that takes connections on 127.0.0.1 or ::1.", least=1, most=_PORT)
    ] = None
    file: Annotated[
        str | None, Key("File that is there in the container.", read=text.absolute_path)
    ] = None
    notify: Annotated[bool | None, Key("It says so itself, as sd_notify(3) does.")] = None
    interval: Annotated[Duration | None, Key("Between two tries: `1s`.", read=text.duration)] = None
    timeout: Annotated[
        Duration | None,
        Key("A service that is not ready after this time has failed: `2m`.", read=text.duration),
    ] = None

    def problems(self) -> Iterator[Problem]:
        """There is one way to know it."""
        yield from _one_of(self, "exec", "tcp", "file", "notify")
        if self.notify and self.interval:
            yield Problem("interval", 'has "interval", but nobody is asked with "notify"')


class Health(Record):
    """How a service is known to be well while it runs; one of `exec`, `tcp` and `file`."""

    exec: Annotated[
        Strings | None,
        Key("Program run in the container; all is well when it ends with 0.", argv=True),
    ] = None
    tcp: Annotated[
        int | None, Key("Port that takes connections on 127.0.0.1 or ::1.", least=1, most=_PORT)
    ] = None
    file: Annotated[
        str | None, Key("File that is there in the container.", read=text.absolute_path)
    ] = None
    interval: Annotated[Duration | None, Key("Between two checks: `30s`.", read=text.duration)] = (
        None
    )
    timeout: Annotated[
        Duration | None, Key("A check that takes longer has failed: `10s`.", read=text.duration)
    ] = None
    retries: Annotated[
        int | None,
        Key("So many in a row must fail before the service is started anew: 3.",
            least=1, most=COUNT_LIMIT),
    ] = None  # fmt: skip
    start_period: Annotated[
        Duration | None,
        Key("Failures this soon after the start do not count: none.", name="startPeriod",
            read=text.duration),
    ] = None  # fmt: skip

    def problems(self) -> Iterator[Problem]:
        """There is one way to know it."""
        yield from _one_of(self, "exec", "tcp", "file")


class BackOff(Record):
    """How long a service rests before it is started again."""

    first: Annotated[Duration | None, Key("The first time: `1s`.", read=text.duration)] = None
    most: Annotated[
        Duration | None, Key("It doubles each time, up to this: `30s`.", read=text.duration)
    ] = None
    limit: Annotated[
        int | None,
        Key("After so many starts in a row that did not last it is given up: 10; 0 for never.",
            least=0, most=COUNT_LIMIT),
    ] = None  # fmt: skip
    stable: Annotated[
        Duration | None,
        Key("A run that lasted this long ends the row: `1m`.", read=text.duration),
    ] = None


class Stop(Record):
    """How a container is asked to end."""

    signal: Annotated[
        str | None, Key("The signal, such as `SIGINT`: `SIGTERM`.", read=text.signal)
    ] = None
    grace: Annotated[
        Duration | None, Key("It is killed after this time: `10s`.", read=text.duration)
    ] = None


class Watchdog(Record):
    """The hardware's watchdog, fed by PID 1: it resets a machine that hangs."""

    device: Annotated[str | None, Key("Its device: `/dev/watchdog`.", read=text.absolute_path)] = (
        None
    )
    timeout: Annotated[
        Duration | None,
        Key("It resets the machine after this time without a sign of life: `30s`.",
            read=text.duration),
    ] = None  # fmt: skip

    def problems(self) -> Iterator[Problem]:
        """The kernel counts in seconds."""
        if self.timeout and not 1000 <= self.timeout.ms <= 3_600_000:  # noqa: PLR2004
            yield Problem("timeout", 'has a "timeout" that is not between 1s and 1h')


def _one_of(probe: Ready | Health, *keys: str) -> Iterator[Problem]:
    said = [key for key in keys if getattr(probe, key)]
    known = f"give it one of {', '.join(keys)}"
    if not said:
        yield Problem(keys[0], "says nothing to look at", known, "LK0205")
    if len(said) > 1:
        both = " and ".join(f'"{key}"' for key in said[:2])
        yield Problem(said[1], f"has both {both}", known, "LK0212")
