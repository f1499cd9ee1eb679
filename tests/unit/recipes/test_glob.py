"""Path patterns."""

from __future__ import annotations

import pytest

from linuxkit.recipes.glob import matcher


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("usr/sbin/nginx", ["usr/sbin/nginx"], ["usr/sbin/nginx2", "usr/sbin", "x/usr/sbin/nginx"]),
        ("usr/bin/*", ["usr/bin/a", "usr/bin/.a"], ["usr/bin", "usr/bin/a/b"]),
        ("usr/**", ["usr", "usr/a", "usr/a/b"], ["usrx", "etc/usr/a"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "x/a"]),
        ("a/**/x", ["a/x", "a/b/x", "a/b/c/x"], ["a", "ax", "b/a/x"]),
        ("lib?.so", ["liba.so"], ["lib.so", "lib/.so", "libab.so"]),
        ("a[b].+", ["a[b].+"], ["ab.+"]),
        ("**", ["a", "a/b"], []),
        ("a\nb", ["a\nb"], ["a"]),
    ],
)
def test_patterns(pattern, fits, misses):
    match = matcher([pattern])
    assert [path for path in fits if not match(path)] == []
    assert [path for path in misses if match(path)] == []


def test_several_and_none():
    match = matcher(["a", "b/*"])
    assert match("a")
    assert match("b/c")
    assert not match("c")
    assert not matcher([])("a")
