from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.tree import path as paths


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a", "a"),
        ("usr/bin/x", "usr/bin/x"),
        (b"usr/bin/x", "usr/bin/x"),
        ("./a", "a"),
        ("././a/./b/.", "a/b"),
        ("a/", "a"),
        ("a//b", "a/b"),
        (".hidden", ".hidden"),
        ("a/.hidden/b", "a/.hidden/b"),
        ("...", "..."),
        ("a/..b/c..", "a/..b/c.."),
        ("a b\tc\nd", "a b\tc\nd"),
        ("ü/ß", "ü/ß"),
        ("ü/ß".encode(), "ü/ß"),
        (b"\xff\xfe", "\udcff\udcfe"),
        ("\udcc3\udca4", "ä"),  # escapes that were UTF-8 all along: one name, one spelling
        ("x" * 255, "x" * 255),
        ("ä" * 127, "ä" * 127),
        ("/".join(["x" * 63] * 64), "/".join(["x" * 63] * 64)),  # 4095 bytes
        ("./" + "/".join(["x"] * 2047), "/".join(["x"] * 2047)),
    ],
)
def test_clean(name, cleaned):
    assert paths.clean(name) == cleaned
    assert paths.clean_or_root(name) == cleaned
    assert paths.clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        (b"", "is empty"),
        ("..", 'climbs with ".."'),
        ("../etc/x", 'climbs with ".."'),
        ("a/../../x", 'climbs with ".."'),
        ("a/..", 'climbs with ".."'),
        ("a/../b", 'climbs with ".."'),
        ("./..", 'climbs with ".."'),
        ("../", 'climbs with ".."'),
        ("/etc/x", "is absolute"),
        ("/..", "is absolute"),
        ("//x", "is absolute"),
        ("a\0b", "holds a NUL character"),
        ("a/.\0", "holds a NUL character"),
        ("x" * 256, "has a component of more than 255 bytes"),
        ("ä" * 128, "has a component of more than 255 bytes"),
        ("x/" * 2048 + "y", "is longer than 4096 bytes"),
        ("\ud800", "is no text that a file system can hold"),
    ],
)
def test_refused(name, why):
    for check in (paths.clean, paths.clean_or_root):
        with pytest.raises(Error) as caught:
            check(name, what="word")
        assert caught.value.code == "LK0601"
        assert caught.value.message.startswith('the word "')
        assert caught.value.message.endswith(why)


@pytest.mark.parametrize("name", [".", "./", "./.", "/", "//", "/./", b".", b"./"])
def test_root(name):
    assert paths.clean_or_root(name) == ""
    with pytest.raises(Error) as caught:
        paths.clean(name)
    assert caught.value.code == "LK0601"


def test_refusals_are_safe_to_print():
    with pytest.raises(Error) as caught:
        paths.clean("\x1b[31m/../\x07\u202e")
    assert caught.value.message.isprintable()
    assert "\\x1b[31m" in caught.value.message


@pytest.mark.parametrize("text", ["x", "../../etc", "/", "a b", "x" * 4096, "\udcff"])
def test_link_target_is_any_text(text):
    assert paths.target(text) == text
    assert paths.target(paths.encode(text)) == text


@pytest.mark.parametrize("text", ["", "a\0b", "x" * 4097, "\ud800"])
def test_link_target_refused(text):
    with pytest.raises(Error) as caught:
        paths.target(text)
    assert caught.value.code == "LK0601"


def test_parents():
    assert paths.parents("a") == ()
    assert paths.parents("a/b/c") == ("a", "a/b")
