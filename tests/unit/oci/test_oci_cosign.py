"""Signatures in both forms of cosign: each thing that may be wrong with one is told apart."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import cosign, keys
from linuxkit.oci.cosign import RefusedError, Subject
from linuxkit.oci.keys import PrivateKey, PublicKey

MANIFEST = b'{"schemaVersion":2}'
DIGEST = digests.of_bytes(MANIFEST)
NAME = "docker.io/library/web"
SUBJECT = Subject(DIGEST, MANIFEST, (NAME,))
RECORDED = Path(__file__).parent / "recorded"
PEM = serialization.Encoding.PEM


def pem(key, password: bytes = b"", form=serialization.PrivateFormat.PKCS8) -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, form, how)


KINDS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture(scope="module", params=KINDS)
def key(request) -> PrivateKey:
    return PrivateKey(pem(KINDS[request.param]()), "key")


@pytest.fixture(scope="module")
def other() -> PublicKey:
    return PublicKey(keys.generate()[1], "other")


def public(key: PrivateKey) -> PublicKey:
    return PublicKey(key.public_pem, "key.pub")


def signed(key: PrivateKey, data: bytes) -> tuple[bytes, str]:
    return data, cosign.sign(key, data)


def test_what_we_sign_holds(key, other):
    data, signature = signed(key, cosign.payload(NAME, DIGEST))
    mine = public(key)
    assert cosign.check_payload(data, signature, SUBJECT, [other, mine]) is mine
    assert mine.fingerprint == public(key).fingerprint != other.fingerprint
    hub = Subject(DIGEST, MANIFEST, ("h.test/copy", "index.docker.io/library/web"))
    assert cosign.check_payload(data, signature, hub, [mine]) is mine


def payload(**changes) -> bytes:
    value = json.loads(cosign.payload(NAME, DIGEST))
    critical = value["critical"]
    for name, change in changes.items():
        if name == "type":
            critical["type"] = change
        elif name == "digest":
            critical["image"]["docker-manifest-digest"] = change
        elif name == "reference":
            critical["identity"]["docker-reference"] = change
        else:
            critical.pop(change)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (payload(digest=digests.of_bytes(b"x")), "about another image: sha256:"),
        (payload(digest=None), "about another image"),
        (payload(reference="docker.io/library/web2"), "for images of docker.io/library/web2"),
        (payload(reference="h.test/library/web"), "for images of h.test"),
        (payload(reference=["docker.io/library/web"]), "for images of"),
        (payload(type="x"), "something else than an image"),
        (payload(without="image"), 'no "image"'),
        (payload(without="identity"), 'no "identity"'),
        (b"[]", "no JSON object"),
        (b'{"critical":1}', 'no "critical"'),
        (b'{"critical":{},"critical":{}}', "no proper JSON"),
        (b"\xff", "no proper JSON"),
        (b"[" * 50_000, "no proper JSON"),
        (b" " * (cosign.PAYLOAD_LIMIT + 1), "too large"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_good_signature_of_something_else(data, why):
    mine = PrivateKey(pem(KINDS["p256"]()), "key")
    with pytest.raises(RefusedError, match=why):
        cosign.check_payload(*signed(mine, data), SUBJECT, [public(mine)])


@pytest.mark.parametrize("reference", ["", NAME + ":1", f"{NAME}@{DIGEST}", "index.docker.io/library/web"])
def test_spellings_of_a_repository(reference):
    mine = PrivateKey(pem(KINDS["p256"]()), "key")
    data, signature = signed(mine, payload(reference=reference))
    assert cosign.check_payload(data, signature, SUBJECT, [public(mine)])


def test_bad_signatures(key, other):
    data, signature = signed(key, cosign.payload(NAME, DIGEST))
    mine = public(key)
    for change, why in (
        ((data, signature, [other]), "no key of ours"),
        ((data, signature, []), "no key of ours"),
        ((data.replace(b"web", b"wob"), signature, [mine]), "no key of ours"),
        ((data, "", [mine]), "no key of ours"),
        ((data, "%%", [mine]), "not base64"),
        ((data, base64.b64encode(b"x" * 64).decode(), [mine]), "no key of ours"),
        ((data, "A" * 5000, [mine]), "too large"),
    ):
        with pytest.raises(RefusedError, match=why):
            cosign.check_payload(change[0], change[1], SUBJECT, change[2])


# Bundles


def statement(**changes) -> dict:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x"}, {"name": NAME, "digest": {"sha256": digests.hex_of(DIGEST)}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
        **changes,
    }


def bundle(key: PrivateKey, body: object = None, kind="application/vnd.in-toto+json", **changes) -> bytes:
    data = json.dumps(statement() if body is None else body).encode()
    signature = key.sign(cosign.pre_authentication(kind, data))
    value = {
        "mediaType": cosign.BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {
            "payload": base64.b64encode(data).decode(),
            "payloadType": kind,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
        **changes,
    }
    return json.dumps({name: each for name, each in value.items() if each is not None}).encode()


def message(key: PrivateKey, data: bytes = MANIFEST) -> dict:
    return {"dsseEnvelope": None, "messageSignature": {"signature": cosign.sign(key, data)}}


def test_bundles_hold(key, other):
    mine = public(key)
    assert cosign.check_bundle(bundle(key), SUBJECT, [other, mine]) is mine
    assert cosign.check_bundle(bundle(key, **message(key)), SUBJECT, [mine]) is mine


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda k: bundle(k, statement(subject=[])), "about another image"),
        (lambda k: bundle(k, statement(subject=[3, {"digest": 4}])), "about another image"),
        (lambda k: bundle(k, statement(predicateType="https://spdx.dev/Document")), "attests something else"),
        (lambda k: bundle(k, kind="text/plain"), "no in-toto statement"),
        (lambda k: bundle(k, []), "no JSON object"),
        (lambda k: bundle(k, mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"), "another version"),
        (lambda k: bundle(k, dsseEnvelope=None), "no proper bundle"),
        (lambda k: bundle(k, messageSignature={}), "no proper bundle"),
        (lambda k: bundle(k, dsseEnvelope={}), "no in-toto statement"),
        (lambda k: bundle(k, **message(k, b"else")), "no key of ours"),
        (lambda k: bundle(k, dsseEnvelope=None, messageSignature={"signature": 3}), "no key of ours"),
        (lambda k: bundle(PrivateKey(keys.generate()[0], "x")), "no key of ours"),
        (lambda _k: b"{}" + b" " * cosign.BUNDLE_LIMIT, "too large"),
    ],
)
def test_bundles_of_something_else(make, why):
    mine = PrivateKey(pem(KINDS["p256"]()), "key")
    with pytest.raises(RefusedError, match=why):
        cosign.check_bundle(make(mine), SUBJECT, [public(mine)])


def test_a_bundle_that_cosign_3_has_written():
    """Recorded: `cosign sign --key` of version 3.1.1 pushes this as a referrer."""
    manifest = (RECORDED / "cosign-3.1.1-manifest.json").read_bytes()
    data = (RECORDED / "cosign-3.1.1-bundle.json").read_bytes()
    theirs = PublicKey((RECORDED / "cosign-3.1.1.pub").read_bytes(), "theirs")
    digest = digests.of_bytes(manifest)
    assert cosign.check_bundle(data, Subject(digest, manifest, ()), [theirs]) is theirs
    with pytest.raises(RefusedError, match="about another image"):
        cosign.check_bundle(data, SUBJECT, [theirs])
    with pytest.raises(RefusedError, match="no key of ours"):
        cosign.check_bundle(data, Subject(digest, manifest, ()), [PublicKey(keys.generate()[1], "x")])


def test_a_signature_covers_the_type():
    mine = PrivateKey(pem(KINDS["p256"]()), "key")
    value = json.loads(bundle(mine))
    plain = base64.b64decode(value["dsseEnvelope"]["payload"])
    value["dsseEnvelope"]["signatures"] = [{"sig": cosign.sign(mine, plain)}]
    with pytest.raises(RefusedError, match="no key of ours"):
        cosign.check_bundle(json.dumps(value).encode(), SUBJECT, [public(mine)])
    value["dsseEnvelope"]["signatures"] = []
    with pytest.raises(RefusedError, match="exactly one"):
        cosign.check_bundle(json.dumps(value).encode(), SUBJECT, [public(mine)])


# Keys


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        (b"x" * (1 << 20), "64 KiB"),
        (ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo), "of a kind"),
        (rsa.generate_private_key(65537, 1024).public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo), "of a kind"),  # noqa: S505 - that is the test
        (keys.generate()[0], "not a public key"),
    ],
)  # fmt: skip
def test_no_public_key(data, said):
    with pytest.raises(Error, match=said) as caught:
        PublicKey(data, "k.pub")
    assert caught.value.code == "LK0444"


def test_private_keys_with_and_without_passwords():
    plain = KINDS["p256"]()
    old = serialization.PrivateFormat.TraditionalOpenSSL
    for data, password in ((pem(plain), ""), (pem(plain), "idle"), (pem(plain, b"pw"), "pw"), (pem(plain, form=old), "")):
        assert public(PrivateKey(data, "k", password)).holds(plain.sign(b"x", ec.ECDSA(hashes())), b"x")
    for data, password, said in (
        (pem(plain, b"pw"), "", "has a password"),
        (pem(plain, b"pw"), "no", "cannot be opened"),
        (b"", "", "not a private key"),
        (keys.generate()[1], "", "not a private key"),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nx", "pw", "cosign's own way"),
    ):
        with pytest.raises(Error, match=said) as caught:
            PrivateKey(data, "k", password)
        assert caught.value.code == "LK0444"


def hashes():
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


def test_generated_keys():
    private, mine = keys.generate("pw")
    assert b"ENCRYPTED PRIVATE KEY" in private
    assert PrivateKey(private, "k", "pw").public_pem == mine
