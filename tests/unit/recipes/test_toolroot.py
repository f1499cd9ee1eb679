"""Tools are unpacked once, safely, and started through the loader that came with them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from linuxkit.base import platform, resources
from linuxkit.base.errors import Error
from linuxkit.disk import tools as tools_
from linuxkit.oci.store import Store
from linuxkit.recipes import recipe, toolroot
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.debian.mirror import Mirrors
from linuxkit.recipes.debian.pool import Pool
from linuxkit.recipes.toolroot import ToolRoot
from linuxkit.tree.entry import Bytes, Entry, Kind


def nowhere() -> Pool:
    raise AssertionError("nothing may be fetched")


def test_the_shipped_lock_fits_the_shipped_recipes():
    shelf = toolroot.shelf({})
    lock = locks.load(shelf.lock_path)
    for name in shelf.names():
        says = recipe.load(shelf.path(name))
        for arch in set(says.says.arches) & set(toolroot.ARCHES):
            locked = lock.of(name, arch)
            assert locked is not None, (name, arch)
            assert locked.inputs == says.inputs(arch), "run: linuxkit tools lock"


def test_every_program_and_file_is_a_tool_of_ours():
    known = set(toolroot.shelf({}).names())
    assert {row.tool for row in tools_.PROGRAMS.values()} <= known
    assert {row.tool for row in tools_.DATA.values()} <= known
    assert known <= {row.tool for row in (*tools_.PROGRAMS.values(), *tools_.DATA.values())}


def test_another_lock_can_be_named(tmp_path):
    shelf = toolroot.shelf({toolroot.LOCK: str(tmp_path / "other")})
    assert shelf.lock_path == tmp_path / "other"
    assert shelf.folder == resources.tools()


def test_offline_says_what_to_fetch(tmp_path):
    store = Store(tmp_path)
    pool = Pool(store, lambda: Mirrors((), ()), nowhere)
    found = ToolRoot(store, pool, toolroot.shelf({}), offline=True)
    with pytest.raises(Error) as caught:
        found.data("stub", "amd64")
    assert caught.value.code == "LK0907"
    assert "linuxkit tools fetch systemd-boot" in caught.value.hint
    assert not found.is_ready("systemd-boot", "amd64")


def test_unpacking_writes_through_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    entries = [
        Entry("lib", Kind.DIR),
        Entry("lib/real", Kind.FILE, 0o755, content=Bytes(b"real")),
        Entry("lib/same", Kind.HARDLINK, link="lib/real"),
        Entry("lib/abs", Kind.SYMLINK, link="/lib/real"),
        Entry("out", Kind.SYMLINK, link=str(outside)),
        Entry("out/evil", Kind.FILE, content=Bytes(b"evil")),
    ]
    folder = tmp_path / "tool"
    with pytest.raises(FileNotFoundError):
        toolroot._write(entries, folder)
    assert not list(outside.iterdir())
    assert not (folder / "complete").exists()
    folder = tmp_path / "good"
    toolroot._write(entries[:4], folder)
    assert (folder / "lib" / "same").read_bytes() == b"real"
    assert (folder / "lib" / "abs").read_bytes() == b"real"
    assert stat.S_IMODE((folder / "lib" / "real").stat().st_mode) == 0o555
    assert (folder / "complete").exists()


@pytest.mark.net
def test_a_program_runs_without_the_hosts_libraries(tmp_path):
    from linuxkit.sources.packages import pool_of

    store = Store(tmp_path)
    found = ToolRoot(store, pool_of(store))
    command = found.program("mkfs.fat")
    assert Path(command.words[0]).name.startswith("ld-linux")
    assert b"4.2" in tools_.run(found, "mkfs.fat", "--help")
    again = ToolRoot(store, Pool(store, lambda: Mirrors((), ()), nowhere), offline=True)
    assert again.program("mkfs.fat") == command
    assert found.is_ready("fat", platform.host().oci)
    assert found.identity == again.identity


def test_the_host_has_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Error) as caught:
        tools_.HostTools().program("mkfs.erofs")
    assert caught.value.code == "LK0901"
    assert "erofs-utils" in caught.value.hint
    with pytest.raises(Error) as caught:
        tools_.HostTools().data("grub", "arm64")
    assert caught.value.code == "LK0904"
    assert "amd64" in caught.value.hint
