"""How PID 1 keeps a container: what the YAML says and does not say, as values for the boot table.

Pure.  The records are written by :mod:`linuxkit.build.boot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.spec.record import replace
from linuxkit.spec.supervision import BackOff, Health, Ready, Stop
from linuxkit.spec.text import SIGNALS, Bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.spec.model import Container, ImageSettings
    from linuxkit.spec.text import Duration

NOTIFY_DIR = "/run/notify"
"""Where PID 1 listens, in a folder for each service: ``NAME/socket``."""

_INSIDE = "/dev/notify"
"""The same folder in the container: /dev is always there and always its own."""

_ONLY_TOLD = ("ro", "rprivate", "nosuid", "nodev", "noexec")  # a read-only socket can be sent to

_KEYS = (
    "restart", "backoff", "critical", "after", "requires", "ready", "health", "stop", "timeout",
)  # fmt: skip
_TIMEOUT_MS = {"onboot": 0, "services": 120_000, "onshutdown": 60_000}
_GRACE_MS = 10_000
_SIGTERM = 15
_READY_PROBE_MS = 10_000


class Supervision(NamedTuple):
    """Times are in ms; a probe is empty, or its record's fields."""

    policy: str = "continue"  # what follows when the unit has failed for good
    stop_signal: int = _SIGTERM
    grace: int = _GRACE_MS
    timeout: int = 0  # 0: none
    restart: str = "no"
    back_off: tuple[int, int, int, int] = (0, 0, 0, 0)  # first, most, limit, stable
    ready: tuple[str, ...] = ()
    health: tuple[str, ...] = ()


def keys_said(entry: Container) -> tuple[str, ...]:
    """The keys of ``entry`` that only an init of ours heeds."""
    return tuple(key for key in _KEYS if getattr(entry, key, None) is not None)


def supervision(section: str, entry: Container) -> Supervision:
    """What holds for ``entry`` of the section, with the defaults."""
    stop = entry.stop or Stop()
    made = Supervision(
        stop_signal=_number(stop.signal or "SIGTERM"),
        grace=_ms(stop.grace, _GRACE_MS),
        timeout=_TIMEOUT_MS[section],
    )
    if section != "services":
        limit = _ms(getattr(entry, "timeout", None), made.timeout)
        said = getattr(entry, "on_failure", None) or "stop"
        # only a boot that is under way can be stopped; afterwards a failure is reported
        policy = "continue" if section == "onshutdown" and said == "stop" else said
        return made._replace(timeout=limit, policy=policy)
    critical = getattr(entry, "critical", None)
    rest = getattr(entry, "backoff", None) or BackOff()
    ready = getattr(entry, "ready", None)
    health = getattr(entry, "health", None)
    return made._replace(
        policy="reboot" if critical is True else critical or "continue",
        restart=getattr(entry, "restart", None) or "on-failure",
        back_off=(
            _ms(rest.first, 1000),
            max(_ms(rest.first, 1000), _ms(rest.most, 30_000)),
            10 if rest.limit is None else rest.limit,
            _ms(rest.stable, 60_000),
        ),
        timeout=_ms(ready.timeout, made.timeout) if ready else made.timeout,
        ready=_ready(ready, entry.name) if ready else (),
        health=_health(health) if health else (),
    )


def notifying(settings: ImageSettings, entry: Container, env: Sequence[str]) -> ImageSettings:
    """``settings`` with the socket of a service that tells when it is ready.

    ``env`` is the image's environment, which holds where the settings have none.
    """
    ready = getattr(entry, "ready", None)
    if not ready or not ready.notify:
        return settings
    own = env if settings.env is None else settings.env
    return replace(
        settings,
        env=(*own, f"NOTIFY_SOCKET={_INSIDE}/socket"),
        binds=(*(settings.binds or ()), Bind(f"{NOTIFY_DIR}/{entry.name}", _INSIDE, _ONLY_TOLD)),
    )


def _ready(ready: Ready, name: str) -> tuple[str, ...]:
    interval = str(_ms(ready.interval, 1000))
    if ready.notify:
        return interval, str(_READY_PROBE_MS), "notify", f"{NOTIFY_DIR}/{name}/socket"
    return interval, str(_READY_PROBE_MS), *_probe(ready)


def _health(health: Health) -> tuple[str, ...]:
    return (
        str(_ms(health.interval, 30_000)),
        str(_ms(health.timeout, 10_000)),
        str(health.retries or 3),
        str(_ms(health.start_period, 0)),
        *_probe(health),
    )


def _probe(probe: Ready | Health) -> tuple[str, ...]:
    if probe.exec:
        return "exec", *probe.exec
    if probe.tcp:
        return "tcp", str(probe.tcp)
    return "file", probe.file or ""


def _ms(duration: Duration | None, default: int) -> int:
    return duration.ms if duration else default


def _number(signal: str) -> int:
    return int(signal) if signal.isdecimal() else SIGNALS[signal]
