"""Layers that deceived other programs: what they become together stays inside, and is bounded."""

from __future__ import annotations

import time

import pytest

from linuxkit.base.errors import Error
from linuxkit.tree.merge import Tree
from support.archives import (
    file,
    hardlink,
    symlink,
)


def merged(*layers: list) -> list[str]:
    tree = Tree()
    for layer in layers:
        tree.apply(layer)
    return [f"{e.path} -> {e.link}" if e.link else e.path for e in tree.entries()]


def test_writing_through_a_symlink_stays_inside():
    """CVE-2025-45582 (GNU tar), CVE-2026-42574 (apko): two steps."""
    paths = merged([symlink("x", "../../etc")], [file("x/passwd")])
    assert paths == ["etc", "etc/passwd", "x -> ../../etc"]
    paths = merged([symlink("x", "/../etc/./")], [file("x/passwd")])
    assert paths == ["etc", "etc/passwd", "x -> /../etc/./"]


def test_changing_a_symlink_itself():
    """CVE-2024-12718, CVE-2021-32760: metadata of what a link points to."""
    tree = Tree()
    tree.apply([file("secret", mode=0o600), symlink("x", "secret")])
    tree.apply([file("x", mode=0o666)])
    assert [(e.path, e.mode) for e in tree.entries()] == [("secret", 0o600), ("x", 0o666)]


def test_long_chains_of_links():
    """CVE-2025-4517: resolution that gives up and is then believed."""
    chain = [symlink(f"l{n}", f"l{n + 1}") for n in range(41)]
    assert "l41/x" in merged([*chain[1:], file("l1/x")])
    with pytest.raises(Error) as caught:
        merged([*chain, file("l0/x")])
    assert caught.value.code == "LK0607"
    deep = "/".join(["d" * 200] * 20)
    with pytest.raises(Error) as caught:
        merged([symlink("a", deep), symlink("a/b", deep + "/."), file("a/b/x")])
    assert caught.value.code == "LK0601"


@pytest.mark.parametrize("target", ["loop", ".", "loop/loop", "/loop"])
def test_loops(target):
    entries = [symlink("loop", target), file("loop/x")]
    if target == ".":
        assert merged(entries) == ["loop -> .", "x"]
        return
    with pytest.raises(Error) as caught:
        merged(entries)
    assert caught.value.code == "LK0607"


def test_targets_of_many_components_are_bounded():
    tree = Tree()
    tree.apply([symlink("x", "a/../" * 800 + "b")])
    with pytest.raises(Error) as caught:
        tree.apply([file("x/y")])
    assert caught.value.code == "LK0607"


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ([[hardlink("a", "b"), file("b")]], "LK0608"),  # before its target
        ([[hardlink("a", "a")]], "LK0608"),
        ([[file("a"), hardlink("a", "a")]], "LK0608"),
        ([[symlink("d", "."), file("a"), hardlink("d/a", "a")]], "LK0608"),  # itself, by a detour
        ([[file("d/a"), hardlink("b", "d")]], "LK0608"),
        ([[hardlink("a", "etc/shadow")]], "LK0608"),
        ([[file("a")], [file(".wh.a"), hardlink("b", "a")]], "LK0608"),
        ([[file(".wh.a"), hardlink("b", ".wh.a")]], "LK0608"),
        ([[file("a"), hardlink("b", "a/x")]], "LK0607"),
        ([[file("a"), file("a/b")]], "LK0607"),
        ([[file(".wh..")]], "LK0609"),
        ([[file(".wh...")]], "LK0609"),
        ([[file("a/.wh.")]], "LK0609"),
        ([[file(".wh..wh.plnk")]], "LK0609"),
        ([[file(".wh.a/b")]], "LK0609"),
        ([[file(".wh..wh..opq/x")]], "LK0609"),
    ],
)
def test_layers_refused(layers, code):
    with pytest.raises(Error) as caught:
        merged(*layers)
    assert caught.value.code == code


def test_whiteouts_and_opaque_directories_take_linear_time():
    """GHSA-rp3h-jf77-q9p4 (containerd)."""

    def seconds(count: int) -> float:
        lower = [file(f"d{n % 50}/f{n}") for n in range(count)]
        upper = []
        for n in range(count):
            upper.append(file(f"d{n % 50}/.wh.f{n}"))
            upper.append(file(f"d{n % 50}/.wh..wh..opq"))
            upper.append(file(f"d{n % 50}/g{n}"))
        tree = Tree()
        started = time.process_time()
        tree.apply(lower)
        tree.apply(upper)
        assert len(tree) == 50 + count
        return time.process_time() - started

    seconds(1000)
    small = min(seconds(5_000) for _ in range(3))
    # Ten times as much: quadratic would be a hundred times as long, and memory counts a little.
    assert min(seconds(50_000) for _ in range(2)) < 10 * small * 4


def test_deep_names_do_not_fill_the_memory():
    import tracemalloc

    tree = Tree()
    tracemalloc.start()
    for n in range(20):
        tree.add(file(f"{n}/" + "d/" * 2000 + "f"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tree) == 20 * 2002
    assert peak < 30_000_000


def test_names_in_a_tree_are_limited():
    tree = Tree(limit=5)
    tree.add(file("a/b/c/d"))
    tree.add(file("e"))
    with pytest.raises(Error) as caught:
        tree.add(file("f"))
    assert caught.value.code == "LK0605"
    tree = Tree(limit=2)
    for _ in range(5):  # what was replaced or removed does not count
        tree.add(file("a/b"))
        tree.add(file("a"))
        tree.remove("a")
    assert len(tree) == 0
