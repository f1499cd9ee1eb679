"""The keys of Secure Boot: RSA keys with certificates that they have signed themselves.

A folder has three of them: PK owns the machine, KEK may change what it trusts, and db signs what it
starts (UEFI, 32.3).  Nothing here is a secret but the files that end in ".key".
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Self

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509 as x509s
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    from linuxkit.base.digest import Digest

ROLES = ("PK", "KEK", "db")
_BITS = 2048  # all that every firmware takes
_LIMIT = 64 << 10  # bytes of a file
_YEARS = 20  # firmware does not look at the date, but tools do


class Certificate:
    """Who may sign; ``data`` is PEM.  Raises LK0770 for anything but RSA of 2048 bits."""

    def __init__(self, data: bytes, name: str) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import rsa

        try:
            found = x509.load_pem_x509_certificate(data)
            key = found.public_key()
        except ValueError as error:
            raise _bad(name, "is not a certificate in PEM") from error
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size != _BITS:
            raise _bad(name, f"has no RSA key of {_BITS} bits, which all firmware takes")
        self._found: x509s.Certificate = found
        self._key: RSAPublicKey = key

    @classmethod
    def of_der(cls, data: bytes, name: str) -> Self:
        """The same of DER."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        try:
            found = x509.load_der_x509_certificate(data)
        except ValueError as error:
            raise _bad(name, "is not a certificate in DER") from error
        return cls(found.public_bytes(Encoding.PEM), name)

    @property
    def der(self) -> bytes:
        """The certificate as firmware has it."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self._found.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate as people pass it on."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self._found.public_bytes(Encoding.PEM).decode()

    @property
    def public_pem(self) -> bytes:
        """Its public key as tools for TPMs take it (SubjectPublicKeyInfo in PEM)."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def public_pkcs1(self) -> bytes:
        """Its public key alone (RSAPublicKey of RFC 8017, in DER)."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.DER, PublicFormat.PKCS1)

    @property
    def issuer(self) -> bytes:
        """The name of who made it, in DER."""
        return self._found.issuer.public_bytes()

    @property
    def serial(self) -> int:
        """Its number among those of the issuer."""
        return self._found.serial_number

    @property
    def made(self) -> dt.datetime:
        """When it was made, in UTC."""
        return self._found.not_valid_before_utc

    @property
    def fingerprint(self) -> Digest:
        """The digest of its DER form."""
        return digests.of_bytes(self.der)

    def holds(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is one of ``data`` by this certificate's key (PKCS #1 v1.5)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        try:
            self._key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def fits(self, key: RSAPrivateKey) -> bool:
        """Whether ``key`` is the one that this certificate is about."""
        return key.public_key() == self._key


class Signer:
    """A certificate and its private key; what it signs is always the same for the same bytes."""

    def __init__(self, certificate: Certificate, key: RSAPrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    def sign(self, data: bytes) -> bytes:
        """A signature of ``data`` (PKCS #1 v1.5 with SHA-256, RFC 8017)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def certificate(folder: Path, role: str) -> Certificate:
    """The certificate of ``role`` in a folder of keys.  Raises LK0770, LK0102."""
    path = folder / f"{role}.crt"
    return Certificate(_read(path), str(path))


def of_folder(folder: Path) -> dict[str, Certificate]:
    """The certificates of a folder of keys, by role.  Raises LK0770, LK0102."""
    return {role: certificate(folder, role) for role in ROLES}


def signer(folder: Path, role: str) -> Signer:
    """Certificate and private key of ``role``.  Raises LK0770, LK0102."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    found, path = certificate(folder, role), folder / f"{role}.key"
    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:
        raise _bad(str(path), "is not a private key in PEM without a password") from error
    if not isinstance(key, rsa.RSAPrivateKey) or not found.fits(key):
        raise _bad(str(path), f"is not the key of the certificate {role}.crt")
    return Signer(found, key)


def create(folder: Path) -> None:
    """Make a key and a certificate for each role in ``folder``, which must not have any.

    Raises LK0771, LK0102.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        there = [path for role in ROLES for path in folder.glob(f"{role}.*")]
    except OSError as error:
        raise files.os_error(error, "make", folder) from error
    if there:
        raise Error(
            "LK0771", f"{there[0]} is there already",
            hint="choose another folder: whoever loses a key cannot sign for its machines any more",
        )  # fmt: skip
    made = {role: _pair(role) for role in ROLES}  # all, or no file at all
    for role, (key, certificate) in made.items():
        files.write(folder / f"{role}.key", key, mode=0o600)
        files.write(folder / f"{role}.crt", certificate)


def _pair(role: str) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(65537, _BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"linuxkit {role}")])
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )  # fmt: skip
    return private, made.public_bytes(serialization.Encoding.PEM)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT)
    except FileNotFoundError as error:
        raise _bad(str(path), "is not there") from error
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _bad(name: str, why: str) -> Error:
    return Error("LK0770", f"{name} {why}", hint="to make a folder of keys: linuxkit keys new DIR")
