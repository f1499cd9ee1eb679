"""A store with every kind of damage: all of it is found, and put right."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.cli.main import main
from linuxkit.oci import fsck, inventory, mend, usage
from linuxkit.oci.image import closure, is_whole, open_image, write_index
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.registry import Client, options
from linuxkit.oci.store import Store
from support.images import image
from support.registry import running

if TYPE_CHECKING:
    from pathlib import Path

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
NAME = "docker.io/team/web:1"
KEY = digests.of_bytes(b"key")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store", sync=False)
    parts = [image(made, arch, {"a": arch}, {"b": "2"}, arch=arch) for arch in ("amd64", "arm64")]
    both = [each._replace(platform=p) for each, p in zip(parts, (AMD, ARM), strict=True)]
    made.set_name(NAME, write_index(made, both))
    for arch in ("amd64", "arm64"):
        made.remove_name(arch)
    made.set_derived(KEY, "tar", made.put(b"segment"), 7)
    return made


def root(store: Store) -> Descriptor:
    found = store.find(NAME)
    assert found is not None
    return found


def layer(store: Store) -> Descriptor:
    """One that only one platform has."""
    return open_image(store, root(store), AMD).manifest.layers[0]


def codes(store: Store) -> list[str]:
    return [finding.code for finding in fsck.check(Store(store.root)).findings]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def client(site, store) -> Client:
    """Reaches a registry that has a good copy."""
    site.push(store, NAME, "team/web:1")
    return Client(options([f"http://{site.host}"]))


def test_a_good_store(store):
    checked = fsck.check(store)
    assert checked.findings == ()
    assert checked.blobs == len(closure(store, root(store))) + 1
    assert checked.size == sum(blob.size for blob in inventory.blobs(store))


@pytest.mark.parametrize("what", ["a bit", "the end", "all of it"])
def test_damaged_blobs_are_put_aside_and_fetched_again(store, client, what):
    for blob in list(inventory.blobs(store)):
        data = bytearray(store.path(blob.digest).read_bytes())
        data[len(data) // 2] ^= 4 if what == "a bit" else 0
        del data[{"a bit": len(data), "the end": -1, "all of it": 0}[what] :]
        store.path(blob.digest).write_bytes(data)
    assert set(codes(store)) >= {"LK0305"}
    found = fsck.check(store)
    done = mend.mend(store, found.findings, client)
    assert all(finding.repaired for finding in done), done
    assert codes(store) == []
    assert is_whole(store, root(store), ARM)
    assert len(list(inventory.quarantined(store))) == found.blobs
    assert store.derived(KEY, "tar") is None, "it is made again, not fetched"


def test_every_part_that_is_missing_is_told_and_fetched(store, client):
    parts = closure(store, root(store))
    for part in parts:
        if part.digest == root(store).digest or part.media_type.endswith("manifest.v1+json"):
            continue  # of an index, a manifest that is not there was never fetched
        store.path(part.digest).unlink()
        (finding,) = {f.digest: f for f in fsck.check(store).findings}.values()
        assert (finding.code, finding.name, finding.digest) == ("LK0303", NAME, part.digest)
        assert finding.hint == f"linuxkit cache pull {NAME}"
        done = mend.mend(store, [finding], client)
        assert [f.repaired for f in done] == ["fetched again"]
        assert codes(store) == []


def test_without_its_registry_an_image_stays_broken_and_says_so(store):
    lost = layer(store)
    store.path(lost.digest).write_bytes(b"rubbish")
    done = mend.mend(store, fsck.check(store).findings, None)
    assert [(f.code, bool(f.repaired)) for f in done] == [("LK0305", True), ("LK0303", False)]
    assert codes(store) == ["LK0303"]


def test_a_dead_name_is_dropped(store):
    store.path(root(store).digest).unlink()
    found = fsck.check(store).findings
    assert [f.code for f in found] == ["LK0350"]
    (done,) = mend.mend(store, found, None)
    assert done.repaired
    assert store.names() == ()
    assert codes(store) == []


def test_what_is_made_here_is_dropped_and_not_fetched(store):
    image(store, "linuxkit.stock/init:1", {"init": "x"})
    found = store.find("linuxkit.stock/init:1")
    assert found is not None
    store.path(open_image(store, found, AMD).manifest.layers[0].digest).unlink()
    (done,) = mend.mend(store, fsck.check(store).findings, None, made="linuxkit.stock/")
    assert "made again" in done.repaired
    assert [name for name, _ in store.names()] == [NAME]


def test_a_blob_of_another_size_than_announced(store):
    entry = json.loads(store.at.index.read_text())
    manifest = store.put(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": layer(store).digest, "size": 3},
        "layers": [],
    }).encode())  # fmt: skip
    size = store.path(manifest).stat().st_size
    entry["manifests"] = [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest,
        "size": size, "annotations": {"org.opencontainers.image.ref.name": "x"},
    }]  # fmt: skip
    store.at.index.write_text(json.dumps(entry))
    assert codes(store) == ["LK0304"]


def test_an_index_that_is_none(store):
    good = store.at.index.read_text()
    store.at.index.write_text(good[:-20])
    found = fsck.check(store).findings
    assert [f.code for f in found] == ["LK0310"]
    mend.mend(store, found, None)
    assert store.names() == ()
    assert codes(store) == []
    assert [path.name for path in inventory.quarantined(store)] == ["index.json"]


def test_an_entry_of_the_index_that_is_none(store):
    value = json.loads(store.at.index.read_text())
    value["manifests"].insert(0, {"digest": "sha256:1"})
    store.at.index.write_text(json.dumps(value))
    found = fsck.check(Store(store.root)).findings
    assert [f.code for f in found] == ["LK0310"]
    mend.mend(store, found, None)
    assert [name for name, _ in Store(store.root).names()] == [NAME]


def test_leftovers_and_strays_and_records_that_lead_nowhere(store):
    (store.at.tmp / "0123").write_bytes(b"half")
    (store.root / ".index.json.77-0").write_bytes(b"half")
    (store.at.blobs / "notes.txt").write_text("x")
    long_ago = time.time() - 60
    os.utime(store.at.tmp / "0123", (long_ago, long_ago))
    store.set_derived(KEY, "listing", digests.of_bytes(b"gone"), 4)
    store.at.record(KEY, "torn").write_bytes(b"sha256:12")
    found = fsck.check(store).findings
    assert sorted(f.code for f in found) == ["LK0351", "LK0351", "LK0352", "LK0352", "LK0353"]
    assert all(f.repaired for f in mend.mend(store, found, None))
    assert codes(store) == []
    assert [path.name for path in inventory.quarantined(store)] == ["notes.txt"]


def test_a_draft_that_somebody_writes_is_no_leftover(store):
    with store.writer() as blob:
        blob.write(b"x")
        (draft,) = store.at.tmp.iterdir()
        os.utime(draft, (1, 1))
        assert codes(store) == []


def test_what_takes_the_space(store):
    image(store, "docker.io/team/other:1", {"b": "2"}, {"c": "3" * 999})
    store.put(b"!<arch>\nrest")
    store.put(b"nobody's")
    found = usage.measure(store)
    other, web = found.images
    assert other.shared == web.shared == open_image(store, root(store), AMD).manifest.layers[1].size
    assert other.own > 999
    parts = {part.kind: (part.files, part.size) for part in found.parts if part.files}
    assert parts["segments"] == (1, 7)
    assert parts["Debian packages"] == (1, 12)
    assert parts["named by nothing"] == (1, 8)
    assert found.total == sum(blob.size for blob in inventory.blobs(store))


def test_a_dead_name_is_fetched_where_it_is_published(store, client):
    store.path(root(store).digest).unlink()
    (done,) = mend.mend(store, fsck.check(store).findings, client)
    assert done.repaired == "fetched again"
    assert is_whole(store, root(store), AMD)


def test_only_what_is_published_is_forgotten(store, client, site, capsys, monkeypatch):
    monkeypatch.setenv("LINUXKIT_CACHE", str(store.root))
    image(store, "docker.io/team/mine:1", {"x": "1"})
    monkeypatch.setenv("LINUXKIT_MIRROR", f"http://{site.host}")
    assert main(["cache", "rm", "team/mine:1", "--published-only"]) == 0
    assert len(store.names()) == 2
    assert main(["cache", "clean", "--published-only"]) == 0
    assert capsys.readouterr().out == f"{NAME}\n"
    assert [name for name, _ in store.names()] == ["docker.io/team/mine:1"]


def test_a_layout_file_that_cannot_be_read(store):
    store.at.layout.write_text("{")
    found = fsck.check(Store(store.root)).findings
    assert [f.code for f in found] == ["LK0310"]
    assert all(f.repaired for f in mend.mend(Store(store.root), found, None))
    assert codes(store) == []
    assert [name for name, _ in Store(store.root).names()] == [NAME]
