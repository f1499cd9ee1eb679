"""What a boot's records come to: a bar for each unit, as values, as text and as a drawing (SVG).

Pure: records in, text out.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from linuxkit.runners.report import Record

_ENDS = frozenset({"exited", "failed", "stopped", "restarting"})


class Bar(NamedTuple):
    """One phase or unit of the last boot.  Times are ms since the kernel started; None: not yet."""

    name: str  # "kernel", "phase onboot" or "services/web"
    start: int
    ready: int | None  # when it ran, or was ready
    end: int | None
    state: str  # the last one
    starts: int = 1


def bars(records: Iterable[Record]) -> tuple[Bar, ...]:
    """The last boot's phases and units, in the order in which they began.

    Raises LK0848 when there was none.
    """
    boot = _last_boot(records)
    if not boot:
        raise Error("LK0848", "no boot was reported", hint="upstream's init reports nothing")
    found: dict[str, Bar] = {"kernel": Bar("kernel", 0, None, boot[0].t_ms, "exited")}
    phase = ""
    for record in boot:
        if record.event == "phase" or (record.event == "boot" and record.state != "started"):
            if phase:
                found[phase] = found[phase]._replace(end=record.t_ms, state="exited")
            phase = f"phase {record.name}" if record.event == "phase" else ""
            if phase:
                found[phase] = Bar(phase, record.t_ms, None, None, "running")
        elif record.event == "unit":
            found[record.name] = _unit(found.get(record.name), record)
    return tuple(sorted(found.values(), key=lambda bar: bar.start))


def _last_boot(records: Iterable[Record]) -> list[Record]:
    boot: list[Record] = []
    for record in records:
        if record.event == "boot" and record.state == "started":
            boot = []
        boot.append(record)
    return boot


def _unit(bar: Bar | None, record: Record) -> Bar:
    """One record further; the bar is of the unit's first run, so that it tells of the boot."""
    if bar is None:
        end = record.t_ms if record.state in _ENDS else None
        return Bar(record.name, record.t_ms, None, end, record.state)
    starts = bar.starts + (record.state == "starting")
    bar = bar._replace(state=record.state, starts=starts)
    if starts > 1:
        return bar
    if record.state == "running" or (record.state == "ready" and bar.end is None):
        return bar._replace(ready=record.t_ms)
    if record.state in _ENDS:
        return bar._replace(end=record.t_ms)
    return bar


def rows(found: Sequence[Bar]) -> list[tuple[str, ...]]:
    """A table, with its head."""
    head = ("what", "start", "ready", "end", "took", "state")
    return [head, *(_row(bar) for bar in found)]


def _row(bar: Bar) -> tuple[str, ...]:
    up = bar.ready if bar.end is None or bar.name.startswith("services/") else bar.end
    took = "" if up is None else f"{(up - bar.start) / 1000:.3f}"
    state = bar.state + (f" ({bar.starts} starts)" if bar.starts > 1 else "")
    return bar.name, _seconds(bar.start), _seconds(bar.ready), _seconds(bar.end), took, state


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:.3f}"


_LEFT, _WIDTH, _ROW, _TOP = 260, 700, 20, 30
_COLOURS = {"failed": "#c33", "restarting": "#c80", "kernel": "#888", "phase": "#bcd"}


def svg(found: Sequence[Bar], title: str) -> str:
    """A drawing: light until it was ready, dark from then to its end."""
    last = max([1, *(bar.end or bar.ready or bar.start for bar in found)])
    scale = _WIDTH / last
    height = _TOP + _ROW * len(found) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 40}" height="{height}">',
        "<style>text {font: 12px sans-serif}</style>",
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="10" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in range(6):
        x = _LEFT + _WIDTH * tick / 5
        lines.append(
            f'<path d="M{x:.1f} {_TOP}V{height - 25}" stroke="#ddd"/>'
            f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">'
            f"{last * tick / 5000:.2f} s</text>"
        )
    for number, bar in enumerate(found):
        y = _TOP + _ROW * number
        up = bar.ready if bar.ready is not None else bar.end if bar.end is not None else last
        end = bar.end if bar.end is not None else last
        colour = _COLOURS.get(bar.state) or _COLOURS.get(bar.name.split(" ", maxsplit=1)[0], "#37a")
        name = escape(bar.name)
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{name}</text>')
        for left, right, opacity in ((bar.start, up, 1.0), (up, end, 0.4)):
            if right > left:
                lines.append(
                    f'<rect x="{_LEFT + left * scale:.1f}" y="{y + 3}" height="14" '
                    f'width="{(right - left) * scale:.1f}" fill="{colour}" opacity="{opacity}"/>'
                )
    return "\n".join([*lines, "</svg>"]) + "\n"
