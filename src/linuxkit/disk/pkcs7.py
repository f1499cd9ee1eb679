"""Signatures as firmware reads them: SignedData of PKCS #7 (RFC 2315) with one signer.

No time is part of them, so equal content and key give equal bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.disk import der

if TYPE_CHECKING:
    from linuxkit.disk.certificates import Certificate, Signer

DATA = "1.2.840.113549.1.7.1"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_RSA = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.value(der.NULL))
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.value(der.NULL))
SIGNATURE = 256
"""Bytes of a signature, which stands at the end of it all."""


class Content(NamedTuple):
    """What is signed: its kind, and its value in DER; None: whoever checks it has it already."""

    kind: str
    value: bytes | None = None


def attributes(content: Content) -> bytes:
    """What the signature is over, where the content is part of it (RFC 2315, 9.2 and 9.3)."""
    inner = content.value or b""
    # The digest leaves out tag and length of the value.
    start = 2 + (inner[1] & 0x7F if inner[1] & 0x80 else 0)
    digest = hashlib.sha256(inner[start:]).digest()
    kind = der.sequence(
        der.oid(_CONTENT_TYPE), der.value(der.SET, der.oid(content.kind))
    )
    message = der.sequence(
        der.oid(_MESSAGE_DIGEST), der.value(der.SET, der.octets(digest))
    )
    return der.value(der.SET, *sorted((kind, message)))


def signed(content: Content, certificate: Certificate, signature: bytes) -> bytes:
    """SignedData with everything in place; whether ``signature`` is one is not looked at."""
    about = b""
    if content.value is not None:
        about = b"\xa0" + attributes(content)[1:]
    who = der.sequence(
        der.integer(1),
        der.sequence(certificate.issuer, der.integer(certificate.serial)),
        SHA256,
        about,
        _RSA,
        der.octets(signature),
    )
    return der.sequence(
        der.integer(1),
        der.value(der.SET, SHA256),
        _info(content),
        der.tagged(0, certificate.der),
        der.value(der.SET, who),
    )


def certificate(data: bytes, content: Content) -> bytes:
    """The certificate (DER) in ``data``, where :func:`signed` has put it for ``content``.

    Nothing else of ``data`` is looked at.  Raises ValueError.
    """
    _, info, rest = data.partition(_info(content))
    if not info:
        raise ValueError("the content is another")
    return der.content(rest)


def _info(content: Content) -> bytes:
    """ContentInfo."""
    value = b"" if content.value is None else der.tagged(0, content.value)
    return der.sequence(der.oid(content.kind), value)


def wrapped(data: bytes) -> bytes:
    """SignedData as a content of its own."""
    return der.sequence(der.oid(_SIGNED_DATA), der.tagged(0, data))


def sign(content: Content, signer: Signer) -> bytes:
    """Sign ``content``, whose value is part of the result."""
    return signed(content, signer.certificate, signer.sign(attributes(content)))


def sign_detached(data: bytes, signer: Signer) -> bytes:
    """Sign ``data``, which is not part of the result."""
    return signed(Content(DATA), signer.certificate, signer.sign(data))
