"""The root that commands of recipes see: whole on the disk before anybody may believe in it."""

from __future__ import annotations

import pytest

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.oci.store import Store
from linuxkit.recipes import buildroot
from linuxkit.sources.packages import pool_of


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", sync=False)


PARTS = buildroot.Parts("nothing", (), {"etc/link": "passwd"})


def test_a_root_is_on_the_disk_before_its_stamp(store, monkeypatch):
    sync, seen = files.sync_file_system, []

    def watched(folder):
        seen.append(((folder / "etc/link").readlink().name, list(folder.parent.glob("*.epoch"))))
        sync(folder)

    monkeypatch.setattr(files, "sync_file_system", watched)
    made = buildroot.make(PARTS, pool_of(store), store)
    assert (made.folder / "etc/passwd").is_file()
    assert buildroot.make(PARTS, pool_of(store), store) == made
    assert seen == [("passwd", [])]


def test_a_root_that_cannot_be_written_to_the_disk_is_none(store, monkeypatch):
    def full(folder):
        raise OSError(28, "full", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_file_system", full)
        with pytest.raises(Error) as caught:
            buildroot.make(PARTS, pool_of(store), store)
    assert caught.value.code == "LK0102"
    assert not [path for path in buildroot.roots(store).iterdir() if path.suffix != ".lock"]


def test_syncing_tells_what_the_kernel_says(tmp_path):
    files.sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.sync_file_system(tmp_path / "none")
