"""Many packages: their order, circles, and what a failure stops."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes import forest
from linuxkit.recipes.package import Wishes


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))

    def add(name, docker="", arguments="[]"):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "build.yml").write_text(f"image: {folder.name}\nbuildArgs: {arguments}\n")
        if docker:
            (folder / "Dockerfile").write_text(docker)
        return folder

    add.root = tmp_path
    return add


def needs(tree):
    found = forest.graph(forest.load(forest.find(tree.root), Wishes()))
    return {folder.name: {one.name for one in wanted} for folder, wanted in found.items()}


def test_what_builds_upon_what(tree):
    tree("base", "FROM scratch")
    tree("mid", "FROM alpine\nCOPY --from=linuxkit/base:latest / /")
    tree("deep/er/top", "ARG M\nFROM $M", '["M=@lkt:pkg:../../../mid"]')
    tree("all", "FROM scratch", '["X_%=@lkt:pkgs:../*"]')
    tree("base/inside")
    tree(".hidden")
    (tree.root / "loop").symlink_to(tree.root)
    assert needs(tree) == {
        "base": set(), "mid": {"base"}, "top": {"mid"}, "all": {"base", "mid"},
    }  # fmt: skip


def test_circles(tree):
    tree("a", "FROM linuxkit/b:latest")
    tree("b", "FROM linuxkit/c:latest")
    tree("c", "FROM linuxkit/a:latest")
    tree("free", "FROM linuxkit/a:latest")
    with pytest.raises(Error) as caught:
        needs(tree)
    assert (caught.value.code, caught.value.message.partition(": ")[2]) == ("LK0585", "a → b → c → a")


def test_nothing_there(tree):
    with pytest.raises(Error) as caught:
        needs(tree)
    assert caught.value.code == "LK0566"


def test_a_failure_stops_what_needs_it_and_nothing_else():
    paths = {name: Path(name) for name in "abcdef"}
    wanted = {"a": "", "b": "a", "c": "b", "d": "", "e": "d", "f": "ce"}
    needs = {paths[k]: frozenset(paths[x] for x in v) for k, v in wanted.items()}
    begun = []

    def begin(folder):
        # What it needs was told to be done before it is begun.
        assert needs[folder] <= {Path(x) for x in finished}
        begun.append(str(folder))
        future = Future()
        if str(folder) == "b":
            future.set_exception(Error("LK0560", "no"))
        else:
            finished.append(str(folder))
            future.set_result((f"{folder} made",))
        return future

    finished: list[str] = []
    done = {str(one.folder): one for one in forest.work(needs, begin)}
    assert sorted(begun) == ["a", "b", "d", "e"]
    assert {name for name, one in done.items() if one.lines} == {"a", "d", "e"}
    assert done["b"].error.code == "LK0560"
    assert {name: one.blocked_by for name, one in done.items() if one.blocked_by} == {
        "c": Path("b"), "f": Path("b"),
    }  # fmt: skip


def test_another_exception_is_not_swallowed():
    def begin(folder):
        future = Future()
        future.set_exception(ZeroDivisionError())
        return future

    with pytest.raises(ZeroDivisionError):
        list(forest.work({Path("a"): frozenset()}, begin))
