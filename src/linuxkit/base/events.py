"""What long work tells its listener: typed events, and the reporter of the current context.

Libraries emit; the command line decides how that looks (bars, lines or JSON).
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Started(NamedTuple):
    """Work on ``what`` began; ``total`` bytes (``unit`` "B") or items are ahead, 0 if unknown."""

    task: int
    action: str  # "download", "build", "assemble", "compress", "write" ...
    what: str
    total: int = 0
    unit: str = "B"


class Advanced(NamedTuple):
    """``done`` more bytes or items of a task."""

    task: int
    done: int


class Finished(NamedTuple):
    """The task ended; ``ok`` is false when an exception ended it."""

    task: int
    ok: bool


class Note(NamedTuple):
    """A line for the user.  ``level``: "debug", "info" or "warning"."""

    level: str
    text: str
    code: str = ""


class Measured(NamedTuple):
    """A fact with a number, such as the size of a part."""

    what: str
    value: int
    unit: str = "B"


class Unit(NamedTuple):
    """A guest's unit changed its state; ``t_ms`` is its uptime in milliseconds."""

    unit: str
    state: str
    t_ms: int
    detail: str = ""


Event = Started | Advanced | Finished | Note | Measured | Unit


class Reporter(Protocol):
    """Anything that takes events; it must be quick and callable from any thread."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""


def _silent(_event: Event) -> None:
    return


_current: ContextVar[Reporter] = ContextVar("reporter", default=_silent)
_last_task = 0


def emit(event: Event) -> None:
    """Hand ``event`` to the current reporter."""
    _current.get()(event)


def note(text: str, *, level: str = "info", code: str = "") -> None:
    """Emit a line for the user."""
    emit(Note(level, text, code))


@contextlib.contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Make ``reporter`` the current one inside the block."""
    token = _current.set(reporter)
    try:
        yield
    finally:
        _current.reset(token)


class Task:
    """A piece of work under way."""

    def __init__(self, number: int) -> None:
        self._number = number

    def advance(self, done: int) -> None:
        """Say that ``done`` more bytes or items are through."""
        emit(Advanced(self._number, done))


@contextlib.contextmanager
def task(action: str, what: str, total: int = 0, unit: str = "B") -> Iterator[Task]:
    """Announce work, and its end however it ends."""
    global _last_task  # noqa: PLW0603 - a plain counter; two threads may share a number harmlessly
    _last_task += 1
    number = _last_task
    emit(Started(number, action, what, total, unit))
    try:
        yield Task(number)
    except BaseException:
        emit(Finished(number, ok=False))
        raise
    emit(Finished(number, ok=True))
