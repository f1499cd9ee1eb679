"""Keys that sign and check: ECDSA, RSA and Ed25519 in PEM, as ``cosign`` uses them.

What is signed is left to :mod:`linuxkit.oci.cosign`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        PrivateKeyTypes,
        PublicKeyTypes,
    )

    from linuxkit.base.digest import Digest

_LIMIT = 64 << 10  # bytes of a key file
_RSA_BITS = 2048, 8192
_KINDS = "ECDSA on P-256, RSA of 2048 to 8192 bits, or Ed25519"


class PublicKey:
    """A key that checks signatures; ``data`` is PEM (SubjectPublicKeyInfo, RFC 7468).

    Raises LK0444 for anything else.
    """

    def __init__(self, data: bytes, name: str) -> None:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            self._key = serialization.load_pem_public_key(_bounded(data, name))
        except (ValueError, UnsupportedAlgorithm) as error:
            _refuse(name, "is not a public key in PEM", "cosign calls it cosign.pub", error)
        _check_kind(self._key, name)
        self.name = name

    @property
    def fingerprint(self) -> Digest:
        """The digest of its DER form, by which it is named in locks and reports."""
        return digests.of_bytes(_der(self._key))

    def holds(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is one of ``data`` by the owner of this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        key = self._key
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """A key that signs: PEM (PKCS #8, also with a password, or the older forms of OpenSSL).

    Raises LK0444 for anything else, a wrong password too.
    """

    def __init__(self, data: bytes, name: str, password: str = "") -> None:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        if b"ENCRYPTED SIGSTORE PRIVATE KEY" in data or b"ENCRYPTED COSIGN PRIVATE KEY" in data:
            _refuse(
                name,
                "is encrypted in cosign's own way, which linuxkit cannot read",
                "sign with cosign, or make a key of your own: linuxkit sign --generate-key FILE",
            )
        secret = password.encode() or None
        encrypted = b"ENCRYPTED" in data
        if encrypted and secret is None:
            _refuse(name, "has a password", "put it into LINUXKIT_KEY_PASSWORD")
        try:
            found = serialization.load_pem_private_key(
                _bounded(data, name), secret if encrypted else None
            )
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            hint = "is the password right?" if encrypted else "write its name, not the public key's"
            _refuse(name, "is not a private key in PEM, or cannot be opened", hint, error)
        _check_kind(found.public_key(), name)
        self._key: PrivateKeyTypes = found

    @property
    def public_pem(self) -> bytes:
        """The key that checks what this one signs."""
        return _pem(self._key.public_key())

    def sign(self, data: bytes) -> bytes:
        """A signature of ``data``, of the kind that :meth:`PublicKey.holds` takes."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        key = self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        assert isinstance(key, ed25519.Ed25519PrivateKey)  # noqa: S101 - looked at when it came
        return key.sign(data)


def generate(password: str = "") -> tuple[bytes, bytes]:
    """A new key on P-256: private (PKCS #8) and public, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        how = serialization.BestAvailableEncryption(password.encode())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
    )
    return private, _pem(key.public_key())


def _check_kind(key: PublicKeyTypes, name: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    least, most = _RSA_BITS
    good = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1))
        or (isinstance(key, rsa.RSAPublicKey) and least <= key.key_size <= most)
    )
    if not good:
        _refuse(name, "is a key of a kind that is not taken", f"take {_KINDS}")


def _pem(key: PublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _der(key: PublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > _LIMIT:
        _refuse(name, f"has more than {_LIMIT >> 10} KiB", "it is no key")
    return data


def _refuse(name: str, why: str, hint: str, cause: Exception | None = None) -> NoReturn:
    raise Error("LK0444", f"{printable(name)} {why}", hint=hint) from cause
