"""Whatever strangers send as a signature, or somebody has made of a lock: refused, never a crash."""

from __future__ import annotations

import contextlib
import json

import hypothesis.strategies as st
from hypothesis import given, settings

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import cosign, keys
from linuxkit.oci.cosign import RefusedError, Subject
from linuxkit.oci.keys import PrivateKey, PublicKey
from linuxkit.sources import lock

PRIVATE = PrivateKey(keys.generate()[0], "key")
PUBLIC = PublicKey(PRIVATE.public_pem, "key")
MANIFEST = b"{}"
SUBJECT = Subject(digests.of_bytes(MANIFEST), MANIFEST, ("h.test/a",))
WORDS = st.sampled_from(
    ["critical", "identity", "image", "type", "docker-reference", "docker-manifest-digest", "mediaType",
     "dsseEnvelope", "messageSignature", "payload", "payloadType", "signatures", "sig", "signature",
     "version", "images", "includes", "packages", "debs", "digest", "platforms", "tag", "inputs",
     "h.test/a", "linux/amd64", "amd64", "sha256", SUBJECT.digest, "cosign container image signature",
     cosign.BUNDLE_TYPE]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(VALUES | st.binary(max_size=40))
def test_only_a_signature_of_ours_for_this_image_holds(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with contextlib.suppress(RefusedError):
        cosign.check_payload(data, cosign.sign(PRIVATE, data), SUBJECT, [PUBLIC])
        assert json.loads(data)["critical"]["image"]["docker-manifest-digest"] == SUBJECT.digest
    with contextlib.suppress(RefusedError):
        cosign.check_bundle(data, SUBJECT, [PUBLIC])
        raise AssertionError("nobody has signed this")


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS, VALUES, max_size=5) | st.binary(max_size=40))
def test_a_lock_is_read_or_refused_and_then_is_written_the_same(value):
    data = value if isinstance(value, bytes) else json.dumps({**value, "version": 1}).encode()
    with contextlib.suppress(Error):
        found = lock.decode(data, "x")
        again = lock.encode(found)
        assert lock.encode(lock.decode(again, "x")) == again
