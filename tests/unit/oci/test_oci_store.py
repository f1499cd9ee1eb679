"""What lies in the store, and what is believed of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci import model, store
from linuxkit.oci.store import Blob, Store
from support.stores import NOTHING, D, X, drafts, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

# ---- blobs


def test_put_and_read(kept: Store) -> None:
    digest = kept.put(b"x")
    assert digest == X
    assert kept.has(X)
    assert kept.has(X, 1)
    assert not kept.has(X, 2)
    assert kept.read(X, 1) == b"x"
    with kept.open(X, 1) as blob:
        assert blob.read() == b"x"
    assert kept.path(X).read_bytes() == b"x"
    assert drafts(kept) == []


def test_nothing_is_made_before_the_first_write(kept: Store) -> None:
    assert kept.find("a") is None
    assert kept.names() == ()
    assert not kept.has(X)
    assert kept.derived(X, "tar") is None
    assert not kept.remove_name("a")
    with refused("LK0303", X):
        kept.open(X)
    assert not kept.root.exists()


def test_layout_on_disk(kept: Store) -> None:
    kept.put(b"x")
    kept.set_derived(X, "cpio.zstd.3", X, 1)
    found = sorted(str(p.relative_to(kept.root)) for p in kept.root.rglob("*") if p.is_file())
    assert found == [
        ".lock",
        "blobs/sha256/" + X[7:],
        "index.json",
        f"linuxkit/derived/{X[7:9]}/{X[7:]}/cpio.zstd.3",
        "linuxkit/leases/0",
        "oci-layout",
    ]
    assert json.loads((kept.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((kept.root / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": model.OCI_INDEX,
        "manifests": [],
    }


def test_blobs_obey_the_umask(kept: Store) -> None:
    before = os.umask(0o027)
    try:
        kept.put(b"x")
    finally:
        os.umask(before)
    assert kept.path(X).stat().st_mode & 0o777 == 0o640


def test_put_leaves_a_good_blob_alone_and_mends_a_bad_one(kept: Store) -> None:
    kept.put(b"x")
    first = kept.path(X).stat().st_ino
    kept.put(b"x")
    assert kept.path(X).stat().st_ino == first
    kept.path(X).write_bytes(b"y")
    kept.put(b"x")
    assert kept.read(X, 1) == b"x"


def test_empty_blob(kept: Store) -> None:
    with kept.writer(digests.of_bytes(b""), 0):
        pass
    assert kept.read(digests.of_bytes(b""), 0) == b""


def test_damage_is_found_on_reading(kept: Store) -> None:
    kept.put(b"x")
    kept.path(X).write_bytes(b"y")
    with refused("LK0305", f"remove {kept.path(X)}"):
        kept.read(X, 1)
    kept.path(X).write_bytes(b"")
    with refused("LK0304", "0 bytes lie there instead of 1"):
        kept.open(X, 1)


def test_read_has_a_limit(kept: Store) -> None:
    kept.put(b"x")
    with refused("LK0308", "more than 0 bytes"):
        kept.read(X, 0)


def test_a_folder_in_place_of_a_blob(kept: Store) -> None:
    kept.put(b"nothing")
    kept.path(X).mkdir()
    with refused("LK0102", "Is a directory"):
        kept.open(X)
    with refused("LK0102", "Is a directory"):
        kept.put(b"x")


def test_a_file_in_place_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    kept = Store(tmp_path / "f")
    assert not kept.has(X)
    assert kept.find("a") is None
    with refused("LK0102", "Not a directory"):
        kept.put(b"x")


def test_the_cache_may_be_cleaned_at_any_time(kept: Store) -> None:
    kept.put(b"x")
    subprocess.run(["rm", "-r", kept.root], check=True)
    kept.put(b"x")
    kept.set_name("a", D)
    assert kept.read(X, 1) == b"x"
    assert kept.find("a") is not None


@pytest.mark.timeout(20)
def test_a_cache_without_our_folder(kept: Store) -> None:
    """As the Go tool leaves it; making the folder takes the lock, which changing a name holds."""
    own = kept.root / "linuxkit"
    for change in (
        lambda: kept.set_name("a", D),
        lambda: kept.remove_name("a"),
        lambda: kept.put(b"x"),
        lambda: kept.set_derived(X, "tar", X, 1),
    ):
        shutil.rmtree(own, ignore_errors=True)
        change()
        assert own.is_dir()


# ---- derived forms

KEY = digests.of_bytes(b"key")


def test_derived(kept: Store) -> None:
    assert kept.derived(KEY, "tar") is None
    kept.put(b"x")
    kept.set_derived(KEY, "tar", X, 1)
    assert kept.derived(KEY, "tar") == Blob(X, 1)
    assert kept.derived(KEY, "cpio.zstd.3") is None
    assert kept.derived(NOTHING, "tar") is None
    kept.set_derived(KEY, "tar", kept.put(b"yy"), 2)
    assert kept.derived(KEY, "tar") == Blob(digests.of_bytes(b"yy"), 2)
    assert drafts(kept) == []


def test_derived_whose_blob_is_gone_or_short(kept: Store) -> None:
    kept.put(b"x")
    kept.set_derived(KEY, "tar", X, 1)
    kept.path(X).write_bytes(b"")
    assert kept.derived(KEY, "tar") is None
    kept.path(X).unlink()
    assert kept.derived(KEY, "tar") is None


@pytest.mark.parametrize(
    "record",
    [b"", b"\0" * 73, b"sha256:", X.encode() + b" 1", X.encode() + b" 01\n", X.encode() + b" 1\n\n",
     b"sha256:" + b"/" * 64 + b" 1\n", X.encode() + b" -1\n", X.encode() + b" 1\n" * 1000],
)  # fmt: skip
def test_torn_record_is_no_record(kept: Store, record: bytes) -> None:
    kept.put(b"x")
    kept.set_derived(KEY, "tar", X, 1)
    (kept.root / "linuxkit" / "derived" / KEY[7:9] / KEY[7:] / "tar").write_bytes(record)
    assert kept.derived(KEY, "tar") is None


@pytest.mark.parametrize("form", ["", "../x", "a/b", ".hidden", "UPPER", "a" * 65, "a\n"])
def test_name_of_a_form(kept: Store, form: str) -> None:
    with pytest.raises(ValueError, match="not the name of a form"):
        kept.derived(KEY, form)


# ---- places


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINUXKIT_CACHE", "/some/where")
    assert store.default_root() == Path("/some/where")
    monkeypatch.setenv("LINUXKIT_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.default_root() == tmp_path / ".linuxkit" / "cache"


READ_ONLY = """
import tempfile  # while the interpreter's folder can still be read
import os, sys
from pathlib import Path
from typing import TYPE_CHECKING
from linuxkit.base.errors import Error
from linuxkit.oci.model import Descriptor
from linuxkit.oci.store import Store
if os.geteuid() == 0 and sys.argv[2] == "permissions":
    os.setuid(65534)
kept = Store(Path(sys.argv[1]))
name, found = kept.names()[0]
assert kept.read(found.digest, 9) == b"x"
assert kept.derived(found.digest, "tar") is not None
assert kept.put(b"x") == found.digest
kept.set_name(name, found)
with kept.temporary() as scratch:
    scratch.write(b"t")
for change in (
    lambda: kept.put(b"new"),
    lambda: kept.set_name("b", found),
    lambda: kept.remove_name(name),
    lambda: kept.set_derived(found.digest, "cpio", found.digest, 1),
    lambda: kept.writer().__enter__(),
):
    try:
        change()
    except Error as error:
        assert error.code == "LK0102", error
        assert "--cache" in error.hint and "LINUXKIT_CACHE" in error.hint, error.hint
        print(error)
    else:
        raise SystemExit("it was written")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into; pytest's own is closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("how", ["permissions", pytest.param("mount", marks=pytest.mark.root)])
def test_read_only_cache(open_folder: Path, how: str) -> None:
    kept = Store(open_folder / "cache", sync=False)
    kept.put(b"x")
    kept.set_name("a", D)
    kept.set_derived(X, "tar", X, 1)
    script = [sys.executable, "-c", READ_ONLY, str(kept.root), how]
    folders = [Path(folder) for folder, _, _ in os.walk(kept.root)]
    if how == "mount":
        if os.geteuid():
            pytest.skip("only root may mount")
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        script = ["unshare", "--mount", "sh", "-c", mount, str(kept.root), *script]
    else:
        for folder in folders:
            folder.chmod(0o555)
    env = {**os.environ, "PYTHONPATH": str(Path(store.__file__).parents[2])}
    done = subprocess.run(script, env=env, capture_output=True, text=True, check=False)
    for folder in folders:
        folder.chmod(0o755)
    assert (done.returncode, done.stderr) == (0, "")
    reason = "Read-only file system" if how == "mount" else "Permission denied"
    assert done.stdout.count(reason) == 5
