"""What tells machines apart, the same for one state folder: so leases and names stay."""

from __future__ import annotations

import hashlib


def mac(identity: str) -> str:
    """The address of the machine's network card, with QEMU's own prefix."""
    return "52:54:00:" + hashlib.sha256(b"mac\0" + identity.encode()).digest()[:3].hex(":")


def uuid(identity: str) -> str:
    """The machine's own number."""
    raw = hashlib.sha256(b"uuid\0" + identity.encode()).hexdigest()
    # Version 8: "from elsewhere" (RFC 9562, section 5.8).
    return f"{raw[:8]}-{raw[8:12]}-8{raw[13:16]}-8{raw[17:20]}-{raw[20:32]}"
