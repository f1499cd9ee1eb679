"""A blob that is being written: unseen until it is whole, and nothing when it fails."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci.store import Store
from support.stores import D, X, drafts, refused


def test_writer_mends_a_bad_blob(kept: Store) -> None:
    kept.put(b"x")
    kept.path(X).write_bytes(b"y")
    with kept.writer(X, 1) as blob:
        blob.write(b"x")
    assert kept.read(X, 1) == b"x"


def test_writer_tells_what_it_stored(kept: Store) -> None:
    with kept.writer() as blob:
        assert blob.write(b"hel") == 3
        assert blob.write(memoryview(b"lo")) == 2
    assert (blob.digest, blob.size) == (digests.of_bytes(b"hello"), 5)
    assert kept.read(blob.digest, 5) == b"hello"


@pytest.mark.parametrize(
    ("data", "size", "code", "says"),
    [
        (b"y", 1, "LK0305", "have the digest"),
        (b"", 1, "LK0304", "only 0 bytes came where 1 were announced"),
        (b"xx", 1, "LK0304", "more than 1 bytes came where 1"),
        (b"y", None, "LK0305", "have the digest"),
    ],
)
def test_writer_refuses_other_bytes(
    kept: Store, data: bytes, size: int | None, code: str, says: str
) -> None:
    with refused(code, says), kept.writer(X, size) as blob:
        blob.write(data)
    assert not kept.has(X)
    assert drafts(kept) == []
    assert list((kept.root / "blobs" / "sha256").iterdir()) == []


def test_writer_stops_at_once_when_too_much_comes(kept: Store) -> None:
    with refused("LK0304"), kept.writer(X, 10) as blob:
        blob.write(b"x" * 10)
        blob.write(b"x")
        pytest.fail("an endless stream would fill the disk")


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, TimeoutError])
def test_an_error_inside_the_block_passes_and_leaves_nothing(
    kept: Store, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), kept.writer() as blob:  # noqa: PT012
        blob.write(b"x")
        raise kind
    assert not kept.has(X)
    assert drafts(kept) == []


def test_nobody_sees_a_blob_before_it_is_whole(kept: Store) -> None:
    with kept.writer(X, 1) as blob:
        blob.write(b"x")
        assert not kept.has(X)
        assert list((kept.root / "blobs" / "sha256").iterdir()) == []


def test_order_of_what_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name never points at bytes that a power cut can still take."""
    Store(tmp_path).put(b"warm")
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        done.append("sync draft" if path.parent.name == "tmp" else f"sync {path.name}")
        sync(handle)

    def renamed(source: Path, target: Path) -> None:
        done.append(f"rename {target.name[:10]}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    kept = Store(tmp_path)
    kept.put(b"x")
    kept.set_derived(X, "tar", X, 1)
    kept.set_name("a", D)
    assert done == [
        "sync draft", f"rename {X[7:17]}", "sync sha256",
        "rename tar",
        "sync draft", "rename index.json", f"sync {tmp_path.name}",
    ]  # fmt: skip
    done.clear()
    careless = Store(tmp_path, sync=False)
    careless.put(b"y")
    careless.set_name("b", D)
    assert [step for step in done if step.startswith("sync")] == []


def test_temporary_has_no_name_and_lies_in_the_store(kept: Store) -> None:
    with kept.temporary() as scratch:
        scratch.write(b"abc")
        scratch.seek(1)
        assert scratch.read() == b"bc"
        assert os.fstat(scratch.fileno()).st_nlink == 0
        assert drafts(kept) == []
        assert os.fstat(scratch.fileno()).st_dev == kept.root.stat().st_dev
        handle = scratch.fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def age(path: Path, seconds: int) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_sweeps_up_what_the_dead_have_left(kept: Store) -> None:
    kept.put(b"a")
    folder = kept.root / "linuxkit" / "tmp"
    for name, seconds in (("old", 3700), ("young", 3500), ("held", 3700)):
        (folder / name).write_bytes(b"")
        age(folder / name, seconds)
    with (folder / "held").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        Store(kept.root, sync=False).put(b"b")
        assert sorted(drafts(kept)) == ["held", "young"]
    Store(kept.root, sync=False).put(b"c")
    assert drafts(kept) == ["young"]


def test_never_sweeps_a_draft_under_way(kept: Store) -> None:
    with kept.writer() as blob:
        blob.write(b"x")
        (name,) = drafts(kept)
        age(kept.root / "linuxkit" / "tmp" / name, 100_000)
        Store(kept.root, sync=False).put(b"other")
        assert drafts(kept) == [name]
    assert kept.read(X, 1) == b"x"
