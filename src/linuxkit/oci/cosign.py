"""Signatures of images as ``cosign`` makes them with a key: read strictly, checked, and made.

Two forms.  The tag form: a manifest under ``sha256-HEX.sig`` whose layers are payloads ("simple
signing", containers/image, docs/containers-signature.5.md), each with its signature in an
annotation (cosign, specs/SIGNATURE_SPEC.md).  The bundle form: an artifact about the image that
holds a sigstore bundle (protobuf-specs, sigstore_bundle.proto) with a DSSE envelope (in-toto) or a
plain signature.

Everything here comes from strangers.  Fetching it is left to :mod:`linuxkit.oci.signatures`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable
from linuxkit.oci import model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.keys import PrivateKey, PublicKey

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
PAYLOAD_LIMIT = 64 << 10  # bytes
BUNDLE_LIMIT = 1 << 20
_SIGNATURE_LIMIT = 4 << 10  # characters
_KIND = "cosign container image signature"
_STATEMENT = "application/vnd.in-toto+json"
_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
_HUB = "docker.io/", "index.docker.io/"


class Subject(NamedTuple):
    """The image that must be signed, and the repositories that it may be signed as."""

    digest: Digest
    manifest: bytes
    names: Sequence[str]  # such as docker.io/library/alpine


class RefusedError(Exception):
    """A signature that says nothing of our image; the text is why."""


def payload(repository: str, digest: Digest) -> bytes:
    """What is signed: that the image with ``digest`` is one of ``repository``."""
    return digests.canonical_json(
        {
            "critical": {
                "identity": {"docker-reference": repository},
                "image": {"docker-manifest-digest": digest},
                "type": _KIND,
            },
            "optional": None,
        }
    )


def sign(key: PrivateKey, data: bytes) -> str:
    """The signature of a payload, as its annotation has it."""
    return base64.b64encode(key.sign(data)).decode()


def check_payload(
    data: bytes, signature: str, subject: Subject, keys: Sequence[PublicKey]
) -> PublicKey:
    """The key that has signed this payload, which must be about the image.

    Raises RefusedError.
    """
    if len(data) > PAYLOAD_LIMIT or len(signature) > _SIGNATURE_LIMIT:
        raise RefusedError("it is too large")
    key = _signer(_decoded(signature, "signature"), data, keys)
    critical = _object(_json(data), "critical")
    if critical.get("type") != _KIND:
        raise RefusedError("it is about something else than an image")
    digest = _object(critical, "image").get("docker-manifest-digest")
    if digest != subject.digest:
        raise RefusedError(f"it is about another image: {printable(str(digest))}")
    name = _object(critical, "identity").get("docker-reference", "")
    if not isinstance(name, str) or (name and _bare(name) not in map(_bare, subject.names)):
        raise RefusedError(f"it is for images of {printable(str(name))}")
    return key


def check_bundle(data: bytes, subject: Subject, keys: Sequence[PublicKey]) -> PublicKey:
    """The key that has signed what this sigstore bundle holds, which must be about the image.

    A certificate in it is not looked at: our keys are the only ones that are trusted.  Raises
    RefusedError.
    """
    if len(data) > BUNDLE_LIMIT:
        raise RefusedError("it is too large")
    value = _json(data)
    if value.get("mediaType") != BUNDLE_TYPE:
        raise RefusedError("it is a bundle of another version")
    if ("dsseEnvelope" in value) == ("messageSignature" in value):
        raise RefusedError("it is no proper bundle")
    if "messageSignature" in value:
        message = _object(value, "messageSignature")
        signature = _decoded(message.get("signature"), "signature")
        return _signer(signature, subject.manifest, keys)
    return _check_envelope(_object(value, "dsseEnvelope"), subject, keys)


def _check_envelope(
    envelope: dict[str, Any], subject: Subject, keys: Sequence[PublicKey]
) -> PublicKey:
    """DSSE, protocol.md: the signature covers the type and the payload."""
    if envelope.get("payloadType") != _STATEMENT:
        raise RefusedError("it holds no in-toto statement")
    body = _decoded(envelope.get("payload"), "payload")
    covered = pre_authentication(_STATEMENT, body)
    listed = envelope.get("signatures")
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        raise RefusedError("it has not exactly one signature")
    key = _signer(_decoded(listed[0].get("sig"), "signature"), covered, keys)
    statement = _json(body)
    if statement.get("predicateType") != _PREDICATE:
        kind = printable(str(statement.get("predicateType")))
        raise RefusedError(f"it attests something else than the image: {kind}")
    subjects = statement.get("subject")
    wanted = digests.hex_of(subject.digest)
    for each in subjects if isinstance(subjects, list) else []:
        found = each.get("digest") if isinstance(each, dict) else None
        if isinstance(found, dict) and found.get("sha256") == wanted:
            return key
    raise RefusedError("it is about another image")


def pre_authentication(kind: str, body: bytes) -> bytes:
    """What a DSSE signature covers (PAE)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def _signer(signature: bytes, data: bytes, keys: Sequence[PublicKey]) -> PublicKey:
    for key in keys:
        if key.holds(signature, data):
            return key
    raise RefusedError("no key of ours made it")


def _decoded(text: object, what: str) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except ValueError:
        raise RefusedError(f"its {what} is not base64") from None


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = model.read_json(data, "")
    except Error:
        raise RefusedError("it is no proper JSON") from None
    if not isinstance(value, dict):
        raise RefusedError("it is no JSON object")
    return value


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise RefusedError(f'it has no "{key}"')
    return found


def _bare(name: str) -> str:
    """A repository by one spelling, without tag and digest."""
    name = name.partition("@")[0]
    colon = name.rfind(":")
    name = name[:colon] if colon > name.rfind("/") else name
    return _HUB[0] + name.removeprefix(_HUB[1]) if name.startswith(_HUB[1]) else name
