"""``linuxkit cache``: thin over the store."""

from __future__ import annotations

import io
import json
import sys

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.store import Store
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
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "docker.io/library/amd64:latest", "docker.io/library/arm64:latest"
    ]  # fmt: skip
    assert main(["cache", "rm", "arm64"]) == 0
    assert main(["cache", "ls", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["digest"] == store.find("docker.io/library/amd64:latest").digest
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


def test_the_files_of_another_platform(store, tmp_path, capsys):
    words = ["cache", "export", "amd64", "--format", "filesystem", "--outfile", str(tmp_path / "x")]
    assert main([*words, "--platform", "linux/amd64"]) == 0
    assert main([*words, "--platform", "linux/riscv64"]) == 1
    assert "LK0306" in capsys.readouterr().err
    assert main(["cache", "import", str(tmp_path / "none")]) == 1
    assert "LK0102" in capsys.readouterr().err


def test_pull_from_a_registry_that_is_not_there(store, capsys):
    words = ["cache", "pull", "amd64", "--mirror", "http://127.0.0.1:1"]
    assert main(words) == 3
    assert "docker.io" in capsys.readouterr().err
