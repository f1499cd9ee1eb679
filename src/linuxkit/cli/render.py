"""How events and errors look: bars on a terminal, plain lines elsewhere, JSON lines on request.

Everything goes to standard error, from any thread; standard output belongs to results.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from linuxkit.base import events

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from rich.progress import Progress, TaskID

    from linuxkit.base.errors import Error
    from linuxkit.base.events import Event
    from linuxkit.cli.arguments import Globals

_BOLD, _RED, _GREEN, _YELLOW, _DIM, _PLAIN = "1", "1;31", "32", "1;33", "2", "0"
_SHOW_AFTER_S = 0.4  # work that is over sooner shows no bar
_TELL_AFTER_S = 1.0  # work that took longer says how long
_CONTROLS = {c: f"\\x{c:02x}" for c in (*range(32), *range(0x7F, 0xA0)) if chr(c) not in "\n\t"}
_TOLD_AT_START = frozenset({"download", "build"})  # may take long; the rest is told only if it did
_QUIET, _NORMAL, _DETAILED = 0, 1, 2


def reporter(given: Globals) -> Lines:
    """The reporter that suits the flags and the terminal."""
    if given.json:
        return json_lines()
    if given.verbose > _QUIET and sys.stderr.isatty() and not _is_dumb():
        return Bars(given.verbose)
    return Lines(given.verbose)


def _is_dumb() -> bool:
    """Whether the terminal is one that shows escape sequences instead of obeying them."""
    return (os.environ.get("TERM") or "dumb") == "dumb"


def plain() -> Lines:
    """Plain lines, for what goes wrong before the flags are known."""
    return Lines(_NORMAL)


def json_lines() -> Json:
    """One JSON object a line."""
    return Json(_NORMAL)


def size(value: int) -> str:
    """``value`` bytes for people: 512 B, 3.4 KiB, 11.2 MiB."""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":  # noqa: PLR2004 - that is what Ki means
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def columns(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> str:
    """Cells below each other, those of the columns ``right`` to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def clean(text: str) -> str:
    """``text`` without control characters; line ends and tabs stay."""
    return text.translate(_CONTROLS)


def error_fields(error: Error) -> dict[str, object]:
    """One error for a program; ``where`` is None when it has no place."""
    where = error.where
    place = where and {"file": where.file, "line": where.line, "column": where.column}
    return {
        "code": error.code, "message": error.message, "hint": error.hint,
        "where": place, "detail": error.detail,
    }  # fmt: skip


def _quantity(amount: int, unit: str) -> str:
    return size(amount) if unit == "B" else f"{amount} {unit}"


class Lines:
    """A reporter that writes one line a fact, and is also how errors are shown."""

    def __init__(self, verbose: int, stream: TextIO | None = None) -> None:
        self._verbose = verbose
        self._stream = stream or sys.stderr
        self._lock = threading.RLock()
        self._tasks: dict[int, tuple[events.Started, float]] = {}
        terminal = self._stream.isatty()
        self._colour = terminal and not _is_dumb() and not os.environ.get("NO_COLOR")
        # A guest may have put the terminal into raw mode; otherwise the return does no harm.
        self._newline = "\r\n" if terminal else "\n"

    def __call__(self, event: Event) -> None:
        """Show ``event`` as far as the verbosity goes."""
        with self._lock:
            match event:
                case events.Started():
                    self._tasks[event.task] = (event, time.monotonic())
                    self._started(event)
                case events.Advanced():
                    self._advanced(event)
                case events.Finished():
                    if event.task in self._tasks:
                        begun, at = self._tasks.pop(event.task)
                        self._finished(begun, time.monotonic() - at, ok=event.ok)
                case events.Note():
                    self._note(event)
                case events.Measured():
                    if self._verbose >= _DETAILED:
                        self._line(f"{event.what}: {_quantity(event.value, event.unit)}")
                case events.Unit():
                    self._unit(event)

    def errors(self, error: Error) -> None:
        """Show every error with its place, what to do, and its details."""
        every = error.all()
        for each in every:
            place = f"{each.where}: " if each.where else ""
            self._line(f"{self._paint('error:', _RED)} {each.code} {place}{clean(each.message)}")
            for line in each.where.caret().splitlines() if each.where else ():
                self._line(clean(line))
            for line in each.detail.splitlines():
                self._line(f"    {clean(line)}")
            if each.hint:
                self._line(f"{self._paint('hint:', _BOLD)} {clean(each.hint)}")
        if len(every) > 1:
            self._line(f"{len(every)} errors")

    def failure(self, text: str, hint: str = "") -> None:
        """Show an end that is no error of ours: an interrupt, a defect."""
        self._line(f"{self._paint('error:', _RED)} {clean(text)}")
        if hint:
            self._line(f"{self._paint('hint:', _BOLD)} {hint}")

    def close(self) -> None:
        """Leave the terminal as it was."""

    def _started(self, event: events.Started) -> None:
        if self._verbose >= (_NORMAL if event.action in _TOLD_AT_START else _DETAILED):
            much = f" ({_quantity(event.total, event.unit)})" if event.total else ""
            self._line(f"{event.action} {clean(event.what)}{much}")

    def _advanced(self, event: events.Advanced) -> None:
        pass

    def _finished(self, begun: events.Started, took_s: float, *, ok: bool) -> None:
        if self._verbose >= _NORMAL and (not ok or took_s >= _TELL_AFTER_S):
            how = f"done in {took_s:.1f} s" if ok else "failed"
            self._line(f"{begun.action} {clean(begun.what)}: {how}")

    def _note(self, event: events.Note) -> None:
        text = clean(event.text)
        if event.level == "warning":
            code = f"{event.code} " if event.code else ""
            self._line(f"{self._paint('warning:', _YELLOW)} {code}{text}")
        elif self._verbose >= (_NORMAL if event.level == "info" else _DETAILED):
            self._line(text if event.level == "info" else self._paint(text, _DIM))

    def _unit(self, event: events.Unit) -> None:
        failed = event.state == "failed"
        if self._verbose < (_QUIET if failed else _NORMAL):
            return
        if event.state in {"phase", "starting"} and self._verbose < _DETAILED:
            return
        colour = {"failed": _RED, "restarting": _YELLOW, "running": _GREEN, "ready": _GREEN}.get(
            event.state, _PLAIN
        )
        state = self._paint(f"{event.state:10}", colour)
        detail = f" {event.detail}" if event.detail else ""
        at = self._paint(f"[{event.t_ms / 1000:8.3f}]", _DIM)
        self._line(f"{at} {state} {clean(event.unit)}{clean(detail)}")

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour != _PLAIN else text

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(text + self._newline)
            self._stream.flush()


class Json(Lines):
    """A reporter for programs: one JSON object a line, nothing left out."""

    def __call__(self, event: Event) -> None:
        """Write the event."""
        self._object(type(event).__name__.lower(), event._asdict())

    def errors(self, error: Error) -> None:
        """Write every error."""
        for each in error.all():
            self._object("error", error_fields(each))

    def failure(self, text: str, hint: str = "") -> None:
        """Write an end that is no error of ours."""
        self._object("error", {"code": "", "message": text, "hint": hint})

    def _object(self, kind: str, fields: dict[str, object]) -> None:
        self._line(json.dumps({"event": kind, **fields}, ensure_ascii=False))


class Bars(Lines):
    """A reporter for terminals: bars for work that takes its time, drawn by rich."""

    def __init__(self, verbose: int, stream: TextIO | None = None) -> None:
        super().__init__(verbose, stream)
        self._progress: Progress | None = None
        self._bars: dict[int, TaskID] = {}
        self._done: dict[int, int] = {}
        self._timer: threading.Timer | None = None

    def close(self) -> None:
        """Take the bars away."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
                self._timer = None
            if self._progress:
                self._progress.stop()
                self._progress = None
                self._bars.clear()

    def _started(self, event: events.Started) -> None:
        self._done[event.task] = 0
        if self._progress:
            self._add(event)
        elif self._timer is None:
            self._timer = threading.Timer(_SHOW_AFTER_S, self._show)
            self._timer.daemon = True
            self._timer.start()

    def _advanced(self, event: events.Advanced) -> None:
        if event.task not in self._tasks:
            return
        self._done[event.task] += event.done
        if self._progress and event.task in self._bars:
            self._progress.update(
                self._bars[event.task],
                completed=self._done[event.task],
                much=self._much(self._tasks[event.task][0]),
            )

    def _finished(self, begun: events.Started, took_s: float, *, ok: bool) -> None:
        done = self._done.pop(begun.task, 0)
        bar = self._bars.pop(begun.task, None)
        if self._progress and bar is not None:
            self._progress.remove_task(bar)
        if not ok or took_s >= _TELL_AFTER_S:
            mark = self._paint("✓", _GREEN) if ok else self._paint("✗", _RED)
            much = f" {_quantity(done, begun.unit)}" if done else ""
            self._line(f"{mark} {begun.action} {clean(begun.what)}{much} {took_s:.1f} s")
        if not self._tasks:
            self.close()

    def _show(self) -> None:
        """Called by the timer: what is still under way gets bars."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._timer is None or not self._tasks:
                return
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[much]}", markup=False),
                TimeElapsedColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._progress.start()
            for begun, _ in self._tasks.values():
                self._add(begun)

    def _add(self, event: events.Started) -> None:
        if self._progress:
            self._bars[event.task] = self._progress.add_task(
                f"{event.action} {clean(event.what)}",
                total=event.total or None,
                completed=self._done.get(event.task, 0),
                much=self._much(event),
            )

    def _much(self, event: events.Started) -> str:
        done = self._done.get(event.task, 0)
        of = f" of {_quantity(event.total, event.unit)}" if event.total else ""
        return _quantity(done, event.unit) + of if done or of else ""

    def _line(self, text: str) -> None:
        with self._lock:
            if self._progress:
                from rich.text import Text

                self._progress.console.print(Text.from_ansi(text), soft_wrap=True)
            else:
                super()._line(text)
