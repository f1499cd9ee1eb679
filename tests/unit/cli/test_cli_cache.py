"""``linuxkit cache``: thin over the store."""

from __future__ import annotations

import io
import json
import sys
import tarfile

import pytest

from linuxkit.base import platform
from linuxkit.cli.main import main
from linuxkit.oci import inventory
from linuxkit.oci.image import closure, open_image
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes.stock import Shelf
from support.images import image


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    made = Store(tmp_path / "cache", sync=False)
    for arch in ("amd64", "arm64"):
        image(made, f"docker.io/library/{arch}:latest", {"a": arch}, arch=arch)
    return made


def test_ls_and_rm(store, capsys):
    assert main(["cache", "ls"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "docker.io/library/amd64:latest", "docker.io/library/arm64:latest"
    ]  # fmt: skip
    assert main(["cache", "rm", "arm64"]) == 0
    assert main(["cache", "ls", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    found = store.find("docker.io/library/amd64:latest")
    assert row["digest"] == found.digest
    assert row["platforms"] == ["linux/amd64"]
    assert row["size"] == sum(blob.size for blob in closure(store, found))
    assert main(["cache", "rm", "arm64"]) == 1
    assert "LK0401" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_export_and_import(store, tmp_path, capsys, form):
    file = str(tmp_path / "out.tar")
    words = ["cache", "export", "arm64", "--format", form, "--platform", "linux/arm64"]
    assert main([*words, "--outfile", file]) == 0
    assert main(["cache", "--cache", str(tmp_path / "new"), "import", file]) == 0
    assert main(["cache", "--cache", str(tmp_path / "new"), "import", file, "--name", "x:1"]) == 0
    assert capsys.readouterr().out.split() == [
        "docker.io/library/arm64:latest", "docker.io/library/x:1"
    ]  # fmt: skip


def test_by_pipes(store, tmp_path, capsysbinary, monkeypatch):
    assert main(["cache", "export", "amd64", "--outfile", "-"]) == 0
    data = capsysbinary.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["cache", "--cache", str(tmp_path / "new"), "import", "-"]) == 0
    assert capsysbinary.readouterr().out == b"docker.io/library/amd64:latest\n"


def test_a_stock_package_is_meant_by_its_short_name(store, tmp_path, capsys):
    arch, out = platform.host().oci, tmp_path / "x.tar"
    words = ["cache", "export", "@pkg:sysctl", "--format", "filesystem", "--outfile", str(out)]
    full = Shelf().reference("sysctl", arch)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert f"LK0401 the store has no {full}" in said
    assert "`linuxkit pkg build sysctl` makes it" in said
    image(store, full, {"a": "b"}, arch=arch)
    assert main(words) == 0
    with tarfile.open(out) as made:
        assert made.extractfile("a").read() == b"b"
    other = next(each for each in platform.names() if each != arch)
    assert main([*words, "--platform", f"linux/{other}"]) == 1
    assert f"LK0401 the store has no {Shelf().reference('sysctl', other)}" in capsys.readouterr().err
    assert main(["cache", "export", "@pkg:sysctI", "--outfile", "-"]) == 2
    assert 'did you mean "sysctl"?' in capsys.readouterr().err
    assert main(["cache", "rm", "@pkg:sysctl"]) == 0
    assert store.find(full) is None
    assert main(["cache", "pull", "@pkg:sysctl"]) == 1
    assert "is a stock package, which lies in no registry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"services: []\n", "LK0602"), (b"\x1f\x8bjunk", "LK0615"), (bytes(10240), "LK0327")],
)
@pytest.mark.parametrize("verb", ["cache", "bundle"])
def test_what_is_no_archive_is_named(data, code, verb, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.tar").write_bytes(data)
    assert main([verb, "import", str(tmp_path / "a.tar")]) in {1, 2}
    assert f"error: {code} {tmp_path}/a.tar: " in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main([verb, "import", "-"]) in {1, 2}
    assert f"error: {code} standard input: " in capsys.readouterr().err


def test_the_files_of_another_platform(store, tmp_path, capsys):
    words = ["cache", "export", "amd64", "--format", "filesystem", "--outfile", str(tmp_path / "x")]
    assert main([*words, "--platform", "linux/amd64"]) == 0
    assert main([*words, "--platform", "linux/riscv64"]) == 1
    assert "LK0306" in capsys.readouterr().err
    assert main(["cache", "import", str(tmp_path / "none")]) == 2
    assert "LK0102" in capsys.readouterr().err


def test_pull_from_a_registry_that_is_not_there(store, capsys):
    words = ["cache", "pull", "amd64", "--mirror", "http://127.0.0.1:1"]
    assert main(words) == 3
    assert "docker.io" in capsys.readouterr().err


def test_gc_frees_what_rm_forgot(store, capsys):
    before = sum(blob.size for blob in inventory.blobs(store))
    assert main(["cache", "rm", "arm64"]) == 0
    store.release()
    assert main(["cache", "gc", "--dry-run", "--grace", "0", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert sum(blob.size for blob in inventory.blobs(store)) == before
    assert main(["cache", "gc", "--grace", "0"]) == 0
    assert "3 blobs" in capsys.readouterr().out
    after = sum(blob.size for blob in inventory.blobs(store))
    assert planned["size"] == before - after > 0
    assert main(["cache", "gc", "--grace", "0", "--keep", "1d"]) == 0
    assert "removed: nothing" in capsys.readouterr().out
    assert main(["cache", "gc", "--keep", "soon"]) == 2
    assert "LK0113" in capsys.readouterr().err


def test_fsck_tells_and_repairs(store, capsys):
    assert main(["cache", "fsck"]) == 0
    assert capsys.readouterr().out.endswith(": ok\n")
    found = store.find("docker.io/library/amd64:latest")
    layer = open_image(store, found, Platform("linux", "amd64")).manifest.layers[0]
    store.path(layer.digest).write_bytes(b"x")
    assert main(["cache", "fsck", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["code"], finding["digest"], finding["repaired"]) == ("LK0305", layer.digest, "")
    assert main(["cache", "fsck", "--repair", "--offline"]) == 1
    said = capsys.readouterr().out
    assert "put aside" in said
    assert "hint: linuxkit cache pull docker.io/library/amd64:latest" in said


def test_du(store, capsys):
    assert main(["cache", "du", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == sum(blob.size for blob in inventory.blobs(store))
    assert main(["cache", "du"]) == 0
    assert "docker.io/library/arm64:latest" in capsys.readouterr().out


def test_clean_asks_on_a_terminal(store, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main(["cache", "clean"]) == 1
    assert len(store.names()) == 2
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    store.release()
    assert main(["cache", "clean", "--yes"]) == 0
    assert store.names() == ()
    assert list(inventory.blobs(store)) == []
