"""Names that have to differ between systems and be the same for each: made of the plan's digest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linuxkit.build.system import System


def raw(system: System, purpose: str) -> bytes:
    """32 bytes for one ``purpose``, such as "disk"."""
    return hashlib.sha256(f"{purpose}\0{system.plan.digest}".encode()).digest()


def uuid(system: System, purpose: str) -> str:
    """A UUID of version 8, "from elsewhere" (RFC 9562, section 5.8)."""
    text = raw(system, purpose).hex()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-8{text[17:20]}-{text[20:32]}"


def serial(system: System, purpose: str) -> int:
    """32 bits, never 0, which tools take for "none"."""
    return int.from_bytes(raw(system, purpose)[:4], "big") or 1
