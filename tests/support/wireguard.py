"""Keys of tunnels."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


class Peer:
    """A key pair of WireGuard."""

    def __init__(self) -> None:
        key = X25519PrivateKey.generate()
        raw, plain, none = serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        self.private = base64.b64encode(key.private_bytes(raw, plain, none)).decode()
        self.public = base64.b64encode(key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)).decode()
