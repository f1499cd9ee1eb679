"""Collecting: what stays, what goes, and who is waited for."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci import fsck, gc, inventory, uses
from linuxkit.oci.image import closure, write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.oci.trash import Trash
from support.images import image

if TYPE_CHECKING:
    from pathlib import Path

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
NOW = gc.Rules(grace_s=0)
KEY = digests.of_bytes(b"key")
OLD_S = 31 * 86400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", sync=False)


def lying(store: Store) -> set[str]:
    return {blob.digest for blob in inventory.blobs(store)}


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def records(store: Store) -> list[Path]:
    return list((store.root / "linuxkit" / "uses").iterdir())


def derived(store: Store, data: bytes, form: str = "tar") -> str:
    digest = store.put(data)
    store.set_derived(KEY, form, digest, len(data))
    return digest


def test_what_the_index_names_stays_with_all_that_it_leads_to(store):
    one = image(store, "one", {"a": "1"}, {"b": "2"})
    two = image(store, "two", {"a": "1"}, {"c": "3"}, arch="arm64")
    both = write_index(store, [one._replace(platform=AMD), two._replace(platform=ARM)])
    store.set_name("docker.io/team/web:1", both)
    attested = image(store, f"docker.io/team/web:{both.digest.replace(':', '-')}", {"sig": "x"})
    stays = {blob.digest for root in (both, attested) for blob in closure(store, root)}
    for name in ("one", "two"):
        store.remove_name(name)
    rubbish = store.put(b"nobody's")
    found = gc.collect(store, NOW)
    assert (found.blobs, found.size, found.waiting) == (1, len(b"nobody's"), 0)
    assert lying(store) == stays
    assert not Store(store.root).has(rubbish)
    store.remove_name("docker.io/team/web:1")
    gc.collect(store, NOW)
    assert lying(store) == {blob.digest for blob in closure(store, attested)}


def test_what_recent_builds_used_stays(store):
    segment, deb, other = derived(store, b"segment"), store.put(b"deb"), store.put(b"other")
    building = Store(store.root)
    assert building.derived(KEY, "tar") is not None
    building.note_use([digests.Digest(deb)])
    building.keep_uses(["web.yml", "amd64"])
    building.release()
    gc.collect(store, NOW)
    assert lying(store) == {segment, deb}
    assert not Store(store.root).has(digests.Digest(other))
    (record,) = records(store)
    age(record, OLD_S)
    found = gc.collect(store, NOW)
    assert (found.uses, found.records, found.blobs) == (1, 1, 2)
    assert lying(store) == set()
    assert records(store) == []
    assert list(inventory.records(store)) == []


def test_a_build_has_one_record(store):
    for data in (b"1", b"2"):
        building = Store(store.root, sync=False)
        building.put(data)
        building.keep_uses(["web.yml", "amd64"])
    (use,) = store.uses()
    assert use.blobs == {digests.of_bytes(b"2")}
    assert use.what == ("web.yml", "amd64")


def test_records_are_bounded(store, monkeypatch):
    monkeypatch.setattr(uses, "COUNT_LIMIT", 3)
    for n in range(5):
        store.keep_uses([str(n)])
        age(store.root / "linuxkit" / "uses" / uses.name_of([str(n)]), 100 - n)
    store.keep_uses(["last"])
    assert {use.what[0] for use in store.uses()} == {"3", "4", "last"}


def test_a_lock_file_keeps_what_it_names_as_long_as_it_is_there(store, tmp_path):
    root = image(store, "docker.io/team/web:1", {"a": "1"})
    stays = {blob.digest for blob in closure(store, root)}
    store.remove_name("docker.io/team/web:1")
    lock = tmp_path / "linuxkit.lock"
    deb = store.put(b"deb")
    sums = {"one_1_amd64": {"sha256": digests.hex_of(digests.Digest(deb))}}
    lock.write_text(json.dumps({"images": {"web": root.digest}, "debs": sums}))
    stays.add(deb)
    building = Store(store.root)
    building.keep_uses(["web.yml"], [str(lock)])
    building.release()
    age(records(store)[0], OLD_S)
    gc.collect(store, NOW)
    assert lying(store) == stays
    lock.unlink()
    gc.collect(store, NOW)
    assert lying(store) == set()


def test_names_of_what_is_made_here_stay_while_it_is_used(store):
    rules = NOW._replace(made="linuxkit.stock/")
    used = image(store, "linuxkit.stock/used:1", {"a": "1"})
    image(store, "linuxkit.stock/unused:1", {"b": "1"})
    image(store, "linuxkit.stock/new:1", {"c": "1"})
    image(store, "docker.io/team/unused:1", {"d": "1"})
    for name in ("used", "unused"):
        found = store.find(f"linuxkit.stock/{name}:1")
        assert found is not None
        age(store.path(found.digest), OLD_S)
    building = Store(store.root)
    assert building.has(used.digest)
    building.keep_uses(["web.yml"])
    building.release()
    found = gc.collect(store, rules, dry_run=True)
    assert found.names == ("linuxkit.stock/unused:1",)
    assert gc.collect(store, rules).names == ("linuxkit.stock/unused:1",)
    assert [name for name, _ in store.names()] == [
        "linuxkit.stock/used:1", "linuxkit.stock/new:1", "docker.io/team/unused:1"
    ]  # fmt: skip


def test_what_is_made_here_stays_while_a_lock_is_there(store, tmp_path):
    """A lock names it by what it is made of, which no digest tells."""
    root = image(store, "linuxkit.stock/web:1", {"a": "1"})
    age(store.path(root.digest), OLD_S)
    lock = tmp_path / "linuxkit.lock"
    lock.write_text(f"sha256:{'0' * 64}")
    building = Store(store.root)
    assert building.has(root.digest)
    building.keep_uses(["web.yml"], [str(lock)])
    building.release()
    age(records(store)[0], OLD_S)
    rules = NOW._replace(made="linuxkit.stock/")
    assert gc.collect(store, rules).names == ()
    lock.unlink()
    assert gc.collect(store, rules).names == ("linuxkit.stock/web:1",)


def test_young_ones_are_spared(store):
    young, old = store.put(b"young"), store.put(b"old")
    age(store.path(old), 7200)
    assert gc.collect(store, gc.Rules()).blobs == 1
    assert lying(store) == {young}


def test_a_dry_run_changes_nothing(store):
    derived(store, b"segment")
    store.put(b"rubbish")
    found = gc.collect(store, NOW, dry_run=True)
    assert (found.blobs, found.records, found.size) == (2, 1, len(b"segmentrubbish"))
    assert len(lying(store)) == 2
    assert store.derived(KEY, "tar") is not None


def test_a_process_that_saw_a_blob_finds_it_again(store):
    """Taken out under its eyes, back when it asks; deleted only after it has gone."""
    digest = store.put(b"seen")
    segment = derived(store, b"segment")
    store.release()
    running = Store(store.root)
    assert running.has(digest)
    found = gc.collect(store, NOW)
    assert (found.blobs, found.size, found.waiting > 0) == (2, 0, True)
    assert not running.path(digest).exists()
    with running.open(digest) as blob:
        assert blob.read() == b"seen"
    record = running.derived(KEY, "tar")
    assert record is not None
    assert record.digest == segment
    gc.collect(store, NOW)
    assert running.has(digest)
    gc.collect(store, NOW)
    running.release()
    assert gc.collect(store, NOW).size > 0
    assert not Store(store.root).has(digest)
    assert list((store.root / "linuxkit" / "trash").iterdir()) == []


def test_what_is_named_after_it_was_taken_out_comes_back(store):
    """The process names a blob that it saw, without ever opening it, and ends."""
    root = image(store, "a", {"a": "1"})
    parts = {blob.digest for blob in closure(store, root)}
    store.remove_name("a")
    store.release()
    running = Store(store.root)
    assert all(running.has(digests.Digest(part)) for part in parts)
    assert gc.collect(store, NOW).waiting > 0
    running.set_name("b", root)
    running.release()
    found = gc.collect(store, NOW)
    assert found.size == 0
    assert lying(store) == parts


def test_the_trash_is_tidied_up_while_something_is_put_there(tmp_path, monkeypatch):
    taken = tmp_path / "taken"
    taken.write_text("x")
    target = tmp_path / "trash" / "5"
    target.mkdir(parents=True)
    make = os.mkdir

    def there_and_gone(path, *more):
        try:
            make(path, *more)
        except FileExistsError:
            target.rmdir()  # its last file was rescued by another process
            raise

    monkeypatch.setattr(os, "mkdir", there_and_gone)
    assert Trash(tmp_path / "trash", tmp_path / "lock").take(taken, "name", 5)
    assert (target / "name").read_text() == "x"


def test_what_is_brought_back_is_not_taken_again_while_somebody_looks(store, monkeypatch):
    digest = store.put(b"wanted")
    other = Store(store.root)
    assert other.has(digest)  # so that it is only moved to the trash
    gc.collect(store, NOW)
    assert not other.path(digest).exists()
    reader = Store(store.root)
    rescue = reader.trash.rescue

    def take_again() -> None:
        with store.trash.taking():
            store.trash.take(store.path(digest), digests.hex_of(digest), 99)

    def too_late(name, path):
        assert rescue(name, path)  # somebody else was quicker
        taker.start()
        taker.join(0.3)  # it is held up, or done
        return False

    taker = threading.Thread(target=take_again)
    monkeypatch.setattr(reader.trash, "rescue", too_late)
    assert reader.has(digest)
    taker.join(30)
    assert not store.path(digest).exists()
    assert other.read(digest, 10) == b"wanted"


def test_a_record_written_during_a_collection_does_not_outlive_its_blob(store, monkeypatch):
    other = Store(store.root, sync=False)
    digest = other.put(b"made")
    advance = store.leases.advance

    def at_that_moment() -> None:
        other.set_derived(KEY, "tar", digest, 4)
        other.release()
        advance()

    monkeypatch.setattr(store.leases, "advance", at_that_moment)
    assert gc.collect(store, NOW)[:2] == (1, 1)
    assert not list(inventory.records(store))
    assert fsck.check(store).findings == ()


def test_layers_that_look_like_documents(store):
    """No content of a blob makes collecting fail or take long."""
    for data in (b"{", b"{}", b"[" * 10_000, b'{"layers":[1,{"digest":1}],"config":[]}',
                 gzip.compress(b"x"), b'{"manifests":[{"digest":"sha256:zz"}]}'):  # fmt: skip
        store.note_use([store.put(data)])
    store.keep_uses(["x"])
    assert gc.collect(store, NOW).blobs == 0


def test_a_store_that_is_not_there(tmp_path):
    assert gc.collect(Store(tmp_path / "none"), NOW) == gc.Collected()
    assert not (tmp_path / "none").exists()
