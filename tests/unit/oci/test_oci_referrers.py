"""What the store lists as being about an image."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import model, referrers
from linuxkit.oci.image import closure
from linuxkit.oci.model import Descriptor, Index
from linuxkit.oci.store import Store
from support.images import image

NAME, SBOM, SIGNATURE = "docker.io/team/web", "application/spdx+json", "application/x.signature"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", sync=False)


def layer(store: Store, data: bytes, kind: str = SBOM) -> Descriptor:
    return Descriptor(kind, store.put(data), len(data))


def test_attach_and_find(store):
    root = image(store, f"{NAME}:1", {"a": "1"})
    assert referrers.find(store, NAME, root.digest) == ()
    parts = referrers.attach(store, NAME, root, SBOM, [layer(store, b"{}x")], annotations={"b": "1", "a": "2"})
    signed = referrers.attach(store, NAME, root, SIGNATURE, [])
    assert set(referrers.find(store, NAME, root.digest)) == {parts, signed}
    assert referrers.find(store, NAME, root.digest, SBOM) == (parts,)
    assert referrers.find(store, NAME, root.digest, "x/y") == ()
    assert referrers.find(store, "docker.io/team/other", root.digest) == ()
    assert (parts.artifact_type, parts.annotations) == (SBOM, (("a", "2"), ("b", "1")))
    # Read by other eyes than ours, as the specifications have it.
    listed = json.loads(store.read(store.find(f"{NAME}:sha256-{root.digest[7:]}").digest, 1 << 20))
    assert listed["mediaType"] == model.OCI_INDEX
    assert {e["artifactType"] for e in listed["manifests"]} == {SBOM, SIGNATURE}
    manifest = json.loads(store.read(parts.digest, 1 << 20))
    assert manifest["subject"] == {"mediaType": model.OCI_MANIFEST, "digest": root.digest, "size": root.size}
    assert manifest["artifactType"] == SBOM
    assert manifest["config"] == {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                                  "digest": digests.of_bytes(b"{}")}  # fmt: skip
    empty = json.loads(store.read(signed.digest, 1 << 20))
    assert empty["layers"] == [empty["config"]]  # "layers" must not be empty
    assert store.has(digests.of_bytes(b"{}"), 2)


def test_forgetting_an_image_forgets_what_is_about_it(store):
    root = image(store, f"{NAME}:1", {"a": "1"})
    store.set_name(f"{NAME}:2", root)
    store.set_name("plain", root)  # another tool's
    other = image(store, f"{NAME}:3", {"b": "1"})
    parts = referrers.attach(store, NAME, root, SBOM, [layer(store, b"{}x")])
    referrers.attach(store, NAME, parts, SIGNATURE, [])
    store.set_name(f"{NAME}:{referrers.tag(root.digest)}.sig", parts)  # as cosign has it
    kept = [referrers.attach(store, "docker.io/team/other", root, SBOM, []),
            referrers.attach(store, NAME, other, SBOM, [])]  # fmt: skip
    referrers.forget(store, f"{NAME}:1")
    assert len(referrers.find(store, NAME, root.digest)) == 1
    referrers.forget(store, f"{NAME}:2")
    assert referrers.find(store, NAME, root.digest) == ()
    assert referrers.find(store, NAME, parts.digest) == ()
    left = {name for name, _ in store.names()}
    assert left == {"plain", f"{NAME}:3", f"{NAME}:{referrers.tag(other.digest)}",
                    f"docker.io/team/other:{referrers.tag(root.digest)}"}  # fmt: skip
    assert referrers.find(store, "docker.io/team/other", root.digest) == (kept[0],)
    referrers.forget(store, f"{NAME}:none")
    assert referrers.find(store, NAME, other.digest) == (kept[1],)


def test_equal_arguments_equal_bytes(tmp_path):
    seen = set()
    for n, order in enumerate(([SBOM, SIGNATURE], [SIGNATURE, SBOM, SBOM])):
        store = Store(tmp_path / str(n), sync=False)
        root = image(store, f"{NAME}:1", {"a": "1"})
        for kind in order:
            referrers.attach(store, NAME, root, kind, [layer(store, b"x", kind)])
        seen.add(store.find(f"{NAME}:{referrers.tag(root.digest)}"))
    assert len(seen) == 1


def test_many_attach_at_once(tmp_path):
    root = image(Store(tmp_path / "store", sync=False), f"{NAME}:1", {"a": "1"})

    def attach(n: int) -> Descriptor:
        mine = Store(tmp_path / "store", sync=False)
        return referrers.attach(mine, NAME, root, SBOM, [layer(mine, b"%d" % n)])

    with ThreadPoolExecutor(8) as workers:
        made = set(workers.map(attach, range(24)))
    assert len(made) == 24
    assert set(referrers.find(Store(tmp_path / "store"), NAME, root.digest)) == made


def test_an_index_with_a_subject_and_what_keeps_it_whole(store):
    root = image(store, f"{NAME}:1", {"a": "1"})
    part = referrers.attach(store, NAME, root, SBOM, [layer(store, b"x")])
    data = model.encode_index(Index((part,), (), root, "application/x.bundle"))
    found = Descriptor(model.OCI_INDEX, store.put(data), len(data))
    entry, subject = referrers.entry_of(data, found)
    assert (entry.artifact_type, subject.digest) == ("application/x.bundle", root.digest)
    referrers.add(store, NAME, root.digest, [entry])
    listed = store.find(f"{NAME}:{referrers.tag(root.digest)}")
    blobs = {blob.digest for blob in closure(store, listed)}
    assert {part.digest, entry.digest, digests.of_bytes(b"x"), digests.of_bytes(b"{}")} <= blobs


def test_older_artifacts_tell_their_type_by_their_configuration():
    config = Descriptor("application/x.config+json", digests.of_bytes(b"{}"), 2)
    data = model.encode_manifest(model.Manifest(config, (), (), config))
    entry, _ = referrers.entry_of(data, Descriptor(model.OCI_MANIFEST, digests.of_bytes(data), len(data)))
    assert entry.artifact_type == "application/x.config+json"


def test_too_many(store):
    root = image(store, f"{NAME}:1", {"a": "1"})
    entries = [
        Descriptor(model.OCI_MANIFEST, digests.of_bytes(b"%d" % n), 1) for n in range(referrers.COUNT_LIMIT + 1)
    ]
    with pytest.raises(Error) as error:
        referrers.add(store, NAME, root.digest, entries)
    assert error.value.code == "LK0308"
    assert referrers.find(store, NAME, root.digest) == ()
    referrers.add(store, NAME, root.digest, entries[1:])
    assert len(referrers.find(store, NAME, root.digest)) == referrers.COUNT_LIMIT


def test_somebody_elses_index_under_that_name(store):
    root = image(store, f"{NAME}:1", {"a": "1"})
    store.set_name(f"{NAME}:{referrers.tag(root.digest)}", root)
    with pytest.raises(Error) as error:
        referrers.attach(store, NAME, root, SBOM, [])
    assert error.value.code == "LK0309"
