"""The verbs around images: metadata, tools, and what build says of formats."""

from __future__ import annotations

import json

import pytest

from linuxkit.cli.main import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_a_seed_is_the_same_twice(tmp_path):
    assert main(["metadata", "create", "a.iso", "hello"]) == 0
    (tmp_path / "text").write_text("hello")
    assert main(["metadata", "create", "b.iso", "--data-file", "text"]) == 0
    assert (tmp_path / "a.iso").read_bytes() == (tmp_path / "b.iso").read_bytes()
    assert b"hello" in (tmp_path / "a.iso").read_bytes()
    assert main(["metadata", "create", "c.iso", "--user-data", "text"]) == 0
    data = (tmp_path / "c.iso").read_bytes()
    assert data[16 * 2048 + 40 : 16 * 2048 + 46] == b"cidata"
    assert b"user-data" in data
    assert b"meta-data" in data


@pytest.mark.parametrize("words", [[], ["text", "--data-file", "f"], ["--user-data", "none"]])
def test_a_seed_of_nothing_or_two_things(tmp_path, words, capsys):
    assert main(["metadata", "create", "a.iso", *words]) != 0
    assert not (tmp_path / "a.iso").exists()
    assert "error: LK01" in capsys.readouterr().err


def test_tools_are_listed_without_fetching_any(capsys):
    assert main(["--json", "tools", "ls"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"erofs", "firmware", "grub"} <= {tool["name"] for tool in found}
    assert not any(tool["ready"] for tool in found)
    assert all(tool["bytes"] > 10_000 for tool in found)
    assert main(["tools", "path", "erof"]) == 2
    assert "erofs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-f", "kernel+iso,iso-bios"], "LK0747"), (["-f", "vhd", "-f", "dynamic-vhd"], "LK0747"),
        (["-f", "raw-efy"], "LK0701"), (["--tools", "mine"], "LK0113"),
    ],
)  # fmt: skip
def test_build_refuses_before_any_work(words, code, capsys, tmp_path):
    (tmp_path / "a.yml").write_text("kernel: {image: a/b}\n")
    assert main(["build", *words, "a.yml"]) == 2
    assert code in capsys.readouterr().err
