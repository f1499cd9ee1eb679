"""Package indices and dependency closures."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian.control import Index, Relation, relations, stanza
from linuxkit.recipes.debian.lock import check_pool
from linuxkit.recipes.debian.solver import closure

SHA = "0" * 64


def index(text: str, **more: str) -> Index:
    """Lines like ``name version; depends; provides`` become an index."""
    made = Index()
    for suite, lines in {"main": text, **more}.items():
        stanzas = []
        for line in filter(None, map(str.strip, lines.splitlines())):
            head, depends, provides = (*map(str.strip, line.split(";")), "", "")[:3]
            name, version = (*head.split(), "1")[:2]
            stanza_ = [f"Package: {name}", f"Version: {version}", "Architecture: amd64"]
            stanza_ += [f"Depends: {depends}"] * bool(depends)
            stanza_ += [f"Provides: {provides}"] * bool(provides)
            stanza_ += [f"Filename: pool/{name}.deb", "Size: 1", f"SHA256: {SHA}"]
            stanzas.append("\n".join(stanza_))
        made.add(suite, "\n\n".join(stanzas).encode())
    return made


def names(made: Index, *wanted: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [p.name for p in closure(made, wanted, arch="amd64", exclude=exclude)]


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("a", "a", "a"),
        ("a; b\nb; c\nc", "a", "a b c"),
        ("a; b\nb; a", "a", "a b"),  # a circle
        ("a; b | c\nb\nc", "a", "a b"),  # the first alternative
        ("a; b | c\nb\nc", "a c", "a c"),  # one that is wanted anyway
        ("a; b | c\nb; nowhere\nc", "a", "a c"),  # the first cannot be had
        ("a; b (>= 2) | c\nb 1\nc", "a", "a c"),
        ("a; b (>= 2)\nb 2:0", "a", "a b"),
        ("a; b (<< 2), b (>> 1)\nb 1.5", "a", "a b"),
        ("a; virtual\nb; ; virtual\nc; ; virtual", "a", "a b"),  # providers by name
        ("a; virtual\nb; nowhere; virtual\nc; ; virtual", "a", "a c"),
        ("a; v (>= 2)\nb; ; v\nc; ; v (= 3)", "a", "a c"),  # a version needs a versioned provide
        ("a; b:any, c:native, d:amd64\nb\nc\nd", "a", "a b c d"),
        ("a; b | c, c\nb\nc", "a", "a b c"),
    ],
)
def test_closure(text, wanted, expected):
    assert names(index(text), *wanted.split()) == expected.split()


def test_exclude_counts_as_met():
    made = index("a; b, c\nb; nowhere\nc")
    assert names(made, "a", exclude=("b",)) == ["a", "c"]


def test_newest_of_all_suites():
    made = index("a; b\nb 1.0-1", security="b 1.0-1+deb13u1", updates="b 1.0-1~")
    found = closure(made, ["a"], arch="amd64")
    assert [(p.name, p.version, p.suite) for p in found][1] == ("b", "1.0-1+deb13u1", "security")


@pytest.mark.parametrize(
    ("text", "wanted", "code", "words"),
    [
        ("abc", "abd", "LK0502", ["abd", "amd64"]),
        ("a; b\nb; c\nc; d (>= 2) | e:arm64\nd 1\ne", "a", "LK0503",
         ["a → b → c needs d (>= 2) | e:arm64"]),
        ("a; v (>= 1)\nb; ; v", "a", "LK0503", ["a needs v (>= 1)"]),
    ],
)  # fmt: skip
def test_failures(text, wanted, code, words):
    with pytest.raises(Error) as caught:
        names(index(text), wanted)
    assert caught.value.code == code
    for word in words:
        assert word in caught.value.message


def test_unknown_package_has_a_suggestion():
    with pytest.raises(Error) as caught:
        names(index("nginx-light"), "nginx-ligth")
    assert caught.value.hint == 'did you mean "nginx-light"?'


def test_relations():
    assert relations("a, b:any (>= 1:2~) | c (= 3) ,") == (
        (Relation("a"),), (Relation("b", "any", ">=", "1:2~"), Relation("c", "", "=", "3")),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["a b", "a (2)", "a (> 2)", "A", "a (>= 2", "a | , b", "a [amd64]"])
def test_bad_relations(text):
    with pytest.raises(Error) as caught:
        relations(text)
    assert caught.value.code == "LK0504"


def test_stanza():
    assert stanza("Package: a\nDepends: b,\n c\nX-Y:z") == {
        "package": "a", "depends": "b,\nc", "x-y": "z",
    }  # fmt: skip


@pytest.mark.parametrize("text", [" x", "Package a", "A: 1\na: 2", ": 1", "A : 1"])
def test_bad_stanzas(text):
    with pytest.raises(Error) as caught:
        stanza(text)
    assert caught.value.code == "LK0504"


@pytest.mark.parametrize(
    "line", ["Filename: ../x.deb", "Filename: /pool/x", "Filename: a b", "Size: -1", "Size: x",
             "SHA256: 00", "Version: 1 2"],
)  # fmt: skip
def test_damaged_entries(line):
    fields = {"Package": "abc", "Version": "1", "Architecture": "amd64", "Filename": "pool/a.deb",
              "Size": "1", "SHA256": SHA}  # fmt: skip
    name, _, value = line.partition(": ")
    fields[name] = value
    made = Index()
    made.add("main", "\n".join(f"{k}: {v}" for k, v in fields.items()).encode())
    with pytest.raises(Error):
        made.candidate("abc")


@pytest.mark.parametrize("path", ["", "/a", "a/../b", "..", "a//b", "a b", "a?b", "a\n"])
def test_pool_paths(path):
    with pytest.raises(Error):
        check_pool(path)
