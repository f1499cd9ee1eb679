"""Patience: how often something is tried again, and how long the pauses between are.

What may be tried again is for :mod:`linuxkit.net.http` to say.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import events

if TYPE_CHECKING:
    from linuxkit.base.errors import Error

LONGEST_WAIT_S = 60.0  # that a server may ask for before each new try
_LONGEST_PAUSE_S = 20.0
_YEAR_S = 366 * 86400.0


class Settings(NamedTuple):
    """How patient the transport is."""

    tries: int = 4
    pause_s: float = 0.5  # doubled after each failed try, and up to a half more or less
    connect_s: float = 15.0
    read_s: float = 60.0


class Patience:
    """The tries that are left for one thing."""

    def __init__(self, settings: Settings) -> None:
        self._left = settings.tries - 1
        self._pause_s = settings.pause_s

    def spend(self, error: Error, asked_s: float, host: str) -> None:
        """Wait before the next try, at least the ``asked_s`` that ``host`` asks for.

        Raises ``error`` when no try is left, or more is asked than anybody would wait for.
        """
        if not self._left or asked_s > LONGEST_WAIT_S:
            raise error
        self._left -= 1
        # Many that were refused together must not come back together.
        pause_s = min(self._pause_s, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)  # noqa: S311
        self._pause_s *= 2
        if asked_s:
            text = f"{host} asks for patience: waiting {asked_s:.0f} s"
            events.note(text, level="warning")
        time.sleep(max(pause_s, asked_s))


def asked_s(text: str) -> float:
    """The seconds that a ``Retry-After`` header asks for (RFC 9110, section 10.2.3); 0 if none."""
    import email.utils

    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), _YEAR_S)
    try:
        then = email.utils.parsedate_to_datetime(text[:64])
        return min(max(0.0, then.timestamp() - time.time()), _YEAR_S)
    except (ValueError, OverflowError, OSError):
        return 0.0
