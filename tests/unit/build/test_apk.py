"""The package databases of init images, joined."""

from __future__ import annotations

import tarfile

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.build import apk
from linuxkit.sources.store import Stored
from support.images import image


@pytest.fixture
def store(tmp_path):
    return linuxkit.open_store(tmp_path / "cache")


def build(store, tmp_path, inits, name="t"):
    yml = tmp_path / "in.yml"
    yml.write_text(f"init: [{', '.join(inits)}]\nfiles: [{{path: last, contents: x}}]\n")
    spec = linuxkit.load([yml], arch="amd64")
    plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")
    system = linuxkit.assemble(plan, store=store)
    linuxkit.emit(system, ["tar"], directory=tmp_path, name=name)
    with tarfile.open(tmp_path / f"{name}.tar") as archive:
        found = [m for m in archive if m.name == apk.PATH]
        return found, [archive.extractfile(m).read() for m in found]


def init(store, number, database):
    files = {"lib/apk/db/installed": database} if database else {"other": "x"}
    image(store, f"docker.io/lk/i{number}:1", files)
    return f"lk/i{number}:1"


def test_several_are_joined_after_the_last_init_image(store, tmp_path):
    inits = [init(store, 1, "P:one\n"), init(store, 2, ""), init(store, 3, "P:three\n")]
    members, contents = build(store, tmp_path, inits)
    assert contents == [b"P:one\n", b"P:three\n", b"P:one\n\n\nP:three\n\n\n"]
    assert (members[-1].mtime, members[-1].mode) == (0, 0o644)
    assert members[-1].pax_headers["LINUXKIT.source"] == "LINUXKIT.apkinit"
    assert members[-1].pax_headers["LINUXKIT.location"] == "init"
    with tarfile.open(tmp_path / "t.tar") as archive:
        names = archive.getnames()
    assert names.index("last") > len(names) - 1 - names[::-1].index(apk.PATH)


def test_a_warm_build_is_the_same(store, tmp_path):
    inits = [init(store, 1, "P:one\n"), init(store, 2, "P:two\n")]
    build(store, tmp_path, inits)
    build(store, tmp_path, inits, name="again")
    assert (tmp_path / "t.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()


def test_one_stays_as_it_is(store, tmp_path):
    _, contents = build(store, tmp_path, [init(store, 1, "P:one\n"), init(store, 2, "")])
    assert contents == [b"P:one\n"]


def test_too_much_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr(apk, "_LIMIT", 10)
    with pytest.raises(Error) as error:
        build(store, tmp_path, [init(store, 1, "P:one\n"), init(store, 2, "P:two\n")])
    assert error.value.code == "LK0712"
