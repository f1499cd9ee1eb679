"""The ids of each confined container in the system: 65,536 that nobody else has.

A range follows from the container's name, so that it stays when others come and go.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SIZE = 65536
_FIRST = 16  # the ranges below are left to people and to programs of the root
_COUNT = 32768 - _FIRST  # ids stay below 2^31


def ranges(names: Iterable[str]) -> Mapping[str, int]:
    """Name → the first id of its range; of two names with one range the later takes the next."""
    taken: dict[int, str] = {}
    for name in dict.fromkeys(names):
        slot = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _COUNT
        while slot in taken:
            slot = (slot + 1) % _COUNT
        taken[slot] = name
    return {name: (_FIRST + slot) * SIZE for slot, name in taken.items()}
