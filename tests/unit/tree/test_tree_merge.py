"""Merging layers: who wins, what whiteouts hide, where hard links lead."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.tree.entry import Entry, Kind
from linuxkit.tree.merge import Tree
from support.archives import file, folder, hardlink, symlink


def merged(*layers: list[Entry]) -> Tree:
    tree = Tree()
    for layer in layers:
        tree.apply(layer)
    return tree


def shown(tree: Tree) -> list[str]:
    lines = []
    for e in tree.entries():
        data = b"".join(e.content.chunks()).decode()
        mark = {Kind.DIR: "/", Kind.SYMLINK: f" -> {e.link}", Kind.HARDLINK: f" => {e.link}"}
        lines.append(e.path + mark.get(e.kind, f" {data}".rstrip()))
    assert len(lines) == len(tree)
    return lines


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], []),
        ([[file("b"), file("a")]], ["a", "b"]),
        # parents first, and names within a directory, not whole paths, decide
        ([[file("a/x"), file("a-b"), file("a.b")]], ["a/", "a/x", "a-b", "a.b"]),
        # the last of the same name counts
        ([[file("a", b"1"), file("a", b"2")]], ["a 2"]),
        ([[file("a", b"1")], [file("a", b"2")]], ["a 2"]),
        ([[file("a")], [symlink("a", "b")]], ["a -> b"]),
        ([[file("a"), folder("a"), file("a/b")]], ["a/", "a/b"]),
        # what replaces a directory takes all below it away; a directory does not
        ([[file("d/x"), file("d/y/z")], [file("d")]], ["d"]),
        ([[file("d/x")], [symlink("d", "e")]], ["d -> e"]),
        ([[file("d/x")], [folder("d")]], ["d/", "d/x"]),
        ([[file("d/x")], [symlink("d", "e"), folder("d")]], ["d/"]),
        ([[symlink("d", "e"), file("e/x")], [folder("d")]], ["d/", "e/", "e/x"]),
        ([[file("d/x"), symlink("d", "e")], [file("d/y")]], ["d -> e", "e/", "e/y"]),
        # writing through links stays in the tree
        (
            [[symlink("lib", "usr/lib")], [file("lib/x")]],
            ["lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/x"],
        ),
        (
            [[folder("usr/lib"), symlink("lib", "/usr/lib")], [file("lib/x")]],
            ["lib -> /usr/lib", "usr/", "usr/lib/", "usr/lib/x"],
        ),
        (
            [[symlink("a", "b/c/../d"), symlink("b", "e")], [folder("a")], [file("b/x")]],
            ["a/", "b -> e", "e/", "e/x"],
        ),
        (
            [[symlink("a", "./b/../c/"), file("a/x")]],
            ["a -> ./b/../c/", "b/", "c/", "c/x"],
        ),
        ([[symlink("d/l", ".."), file("d/l/x")]], ["d/", "d/l -> ..", "x"]),
        ([[symlink("l", "d"), folder("d"), folder("l/e")]], ["d/", "d/e/", "l -> d"]),
    ],
)
def test_layers(layers, expected):
    assert shown(merged(*layers)) == expected


BASE = [file("a/b/c", b"0"), file("a/b/d"), file("a/e"), file("f")]


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        ([file(".wh.f")], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e"]),
        ([file(".wh.a")], ["f"]),
        ([file("a/.wh.b")], ["a/", "a/e", "f"]),
        ([file("a/b/.wh.c")], ["a/", "a/b/", "a/b/d", "a/e", "f"]),
        ([file(".wh.nothing"), file("x/y/.wh.z")], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e", "f"]),
        # the layer's own entries stay, whether they come before or after
        ([file("f", b"1"), file(".wh.f")], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e", "f 1"]),
        ([file(".wh.f"), file("f", b"1")], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e", "f 1"]),
        ([folder("a"), file("a/n"), file(".wh.a")], ["a/", "a/n", "f"]),
        ([file(".wh.a"), file("a/b/n")], ["a/", "a/b/", "a/b/n", "f"]),
        # opaque
        ([file("a/.wh..wh..opq")], ["a/", "f"]),
        ([file("a/b/n"), file("a/.wh..wh..opq")], ["a/", "a/b/", "a/b/n", "f"]),
        ([file("a/.wh..wh..opq"), file("a/b/n")], ["a/", "a/b/", "a/b/n", "f"]),
        ([file(".wh..wh..opq"), file("n")], ["n"]),
        ([file("no/.wh..wh..opq")], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e", "f"]),
        ([file("f/.wh..wh..opq")], None),
        # whatever kind the mark has, its name decides
        ([folder(".wh.f"), folder("a/.wh..wh..opq")], ["a/"]),
        ([symlink(".wh.a", "x"), hardlink(".wh.f", "y")], []),
        ([Entry(".wh.f", Kind.CHAR)], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e"]),
        # through links, too
        ([symlink("l", "a")], ["a/", "a/b/", "a/b/c 0", "a/b/d", "a/e", "f", "l -> a"]),
    ],
)
def test_whiteouts(upper, expected):
    tree = merged(BASE)
    if expected is None:
        with pytest.raises(Error) as caught:
            tree.apply(upper)
        assert caught.value.code == "LK0607"
        return
    tree.apply(upper)
    assert shown(tree) == expected


def test_whiteouts_through_a_link_of_a_lower_layer():
    tree = merged([file("usr/lib/x"), file("usr/lib/y"), symlink("lib", "usr/lib")])
    tree.apply([file("lib/.wh.x")])
    assert shown(tree) == ["lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/y"]
    tree.apply([file("lib/.wh..wh..opq")])
    assert shown(tree) == ["lib -> usr/lib", "usr/", "usr/lib/"]


def test_hidden_names_that_begin_with_a_dot():
    tree = merged([file(".profile"), file("..x")], [file(".wh..profile"), file(".wh...x")])
    assert shown(tree) == []


def test_names_without_whiteouts_are_just_names():
    tree = Tree()
    tree.apply([file("a"), file(".wh.a"), file("d/.wh..wh..opq")], whiteouts=False)
    assert shown(tree) == [".wh.a", "a", "d/", "d/.wh..wh..opq"]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([[file("b", b"1"), hardlink("a", "b"), hardlink("c", "a")]], ["a 1", "b => a", "c => a"]),
        # the object lives on under its other names
        ([[file("a", b"1"), hardlink("b", "a")], [file(".wh.a")]], ["b 1"]),
        (
            [[file("a", b"1"), hardlink("b", "a"), hardlink("c", "a")], [file("a", b"2")]],
            ["a 2", "b 1", "c => b"],
        ),
        ([[file("a", b"1")], [hardlink("b", "a")]], ["a 1", "b => a"]),
        ([[file("a", b"1"), hardlink("b", "a")], [hardlink("b", "a")]], ["a 1", "b => a"]),
        ([[file("a", b"1"), file("b", b"2"), hardlink("b", "a")]], ["a 1", "b => a"]),
        # a link's target and its own place are found through symbolic links
        (
            [[file("d/a", b"1"), symlink("l", "d"), hardlink("l/b", "l/a")]],
            ["d/", "d/a 1", "d/b => d/a", "l -> d"],
        ),
        # to a symbolic link: a second one
        ([[symlink("a", "x"), hardlink("b", "a")]], ["a -> x", "b -> x"]),
        # in place of the directory that holds the target
        ([[file("d/a", b"1"), hardlink("d", "d/a")]], ["d 1"]),
    ],
)
def test_hard_links(layers, expected):
    assert shown(merged(*layers)) == expected


def test_hard_links_share_metadata_and_other_kinds_link_too():
    tree = merged([
        Entry("z", Kind.FIFO, 0o600, 1, 2, 3, xattrs={"user.a": b""}),
        Entry("a", Kind.HARDLINK, 0o777, 9, 9, 9, link="z"),
    ])  # fmt: skip
    first, second = tree.entries()
    assert (first.path, first.kind, first.mode, first.uid) == ("a", Kind.FIFO, 0o600, 1)
    assert first.xattrs == {"user.a": b""}
    assert (second.path, second.kind, second.link, second.mode) == ("z", Kind.HARDLINK, "a", 0o600)


def test_get():
    tree = merged([file("d/a", b"1", mode=0o600), hardlink("d/b", "d/a"), symlink("l", "d")])
    assert tree.get("d/b").kind is Kind.FILE
    assert tree.get("d/b").path == "d/b"
    assert tree.get("d/b").content.size == 1
    assert tree.get("d").kind is Kind.DIR
    assert tree.get("d").path == "d"
    assert tree.get("l").link == "d"
    for missing in ("x", "l/a", "d/a/x", "d/x", "x/y", ""):
        assert tree.get(missing) is None


def test_remove():
    tree = merged([file("d/a/b"), file("d/c"), symlink("l", "d")])
    assert tree.remove("d/a") is True
    assert shown(tree) == ["d/", "d/c", "l -> d"]
    for missing in ("d/a", "x", "x/y", "l/c", "d/c/x", ""):
        assert tree.remove(missing) is False
    assert tree.remove("l") is True
    assert tree.remove("d") is True
    assert shown(tree) == []


def test_directories_made_in_passing():
    tree = merged([file("a/b/c")])
    made = tree.get("a/b")
    assert (made.path, made.mode, made.uid, made.gid, made.mtime) == ("a/b", 0o755, 0, 0, 0)
    tree.apply([folder("a/b", 0o700, uid=5, mtime=9)])
    made = tree.get("a/b")
    assert (made.mode, made.uid, made.mtime) == (0o700, 5, 9)
    tree.add(file("a/b/d"))
    assert tree.get("a/b").mode == 0o700
    assert tree.get("a").path == "a"
    assert [e.path for e in tree.entries()] == ["a", "a/b", "a/b/c", "a/b/d"]


def test_names_below_a_file():
    for entry in (file("a/b"), folder("a/b/c")):
        with pytest.raises(Error) as caught:
            merged([file("a"), entry])
        assert caught.value.code == "LK0607"
        assert '"a"' in caught.value.message


def test_a_tree_of_entries_that_came_from_a_tree():
    one = merged([file("a", b"1"), hardlink("b", "a"), file("c/d")])
    two = Tree()
    two.apply(one.entries())
    assert shown(two) == shown(one)
