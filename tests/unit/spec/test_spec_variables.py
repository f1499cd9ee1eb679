"""Variables, which only a file that declares them has."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import load, variables

SCRIPT = "echo ${PORT} $PORT ${TAG:-x} $${TAG} ${#TAG} ${PORT%/} $$ ${"


def contents(head: str, text: str = SCRIPT, **values: str) -> str:
    spec = load.parse(f"{head}\nfiles:\n- path: x\n  contents: '{text}'\n", values=values)
    return spec.files[0].contents


@pytest.mark.parametrize(
    ("head", "values", "expected"),
    [
        ("", {}, SCRIPT),
        ("variables: {}", {}, SCRIPT),
        ("variables: {OTHER: }", {}, SCRIPT),
        ("variables: {TAG: v}", {}, "echo ${PORT} $PORT v ${TAG} ${#TAG} ${PORT%/} $$ ${"),
        ("variables: {TAG: }", {}, "echo ${PORT} $PORT x ${TAG} ${#TAG} ${PORT%/} $$ ${"),
        ("variables: {TAG: v}", {"TAG": "w"},
         "echo ${PORT} $PORT w ${TAG} ${#TAG} ${PORT%/} $$ ${"),
        ("variables: {TAG: '', PORT: '80'}", {},
         "echo 80 $PORT  ${TAG} ${#TAG} ${PORT%/} $$ ${"),
        ("variables: {TAG: '${PORT}', PORT: '${TAG}'}", {},
         "echo ${TAG} $PORT ${PORT} ${TAG} ${#TAG} ${PORT%/} $$ ${"),
    ],
)  # fmt: skip
def test_only_what_is_declared_is_replaced(head, values, expected):
    assert contents(head, **values) == expected


def test_a_value_without_quotes_is_read_like_one_in_the_file():
    spec = load.parse(
        "variables: {ID: }\nservices:\n- name: a\n  image: x:${ID}\n  uid: ${ID}\n"
        '  hostname: "${ID}"\n',
        values={"ID": "7"},
    )  # fmt: skip
    (one,) = spec.services
    assert (str(one.image), one.uid, one.hostname) == ("docker.io/library/x:7", 7, "7")
    assert (spec.variables, spec.include) == (None, None)


def test_packages_are_named_by_variables_too():
    class Packages:
        def reference(self, text, *, base, where):
            return f"linuxkit.stock/{text}:0123456789abcdef"

    text = "variables: {NAME: init}\ninit: ['@pkg:${NAME}']\n"
    spec = load.parse(text, packages=Packages())
    assert str(spec.init[0]) == "linuxkit.stock/init:0123456789abcdef"


def test_each_file_declares_its_own(tmp_path):
    (tmp_path / "a.yml").write_text("variables: {TAG: a}\ninit: ['x:${TAG}']\n")
    (tmp_path / "b.yml").write_text("variables: {TAG: b}\ninit: ['y:${TAG}']\n")
    script = "files: [{path: x, contents: '${TAG}'}]\n"
    (tmp_path / "c.yml").write_text(script)
    spec = load.load([tmp_path / "a.yml", tmp_path / "b.yml", tmp_path / "c.yml"])
    assert [ref.tag for ref in spec.init] == ["b", "b"]
    assert spec.files[0].contents == "${TAG}"


MISTAKES = [
    ("variables: {TAG: }\ninit: ['x:${TAG}']", {},
     'x:2:8: the variable "TAG" has no value [LK0217]', "give it one: --set TAG=VALUE"),
    ("variables: {TAG: v}", {"TGA": "w"},
     'no file declares the variable "TGA" [LK0218]', 'did you mean "TAG"?'),
    ("{}", {"TAG": "w"}, 'no file declares the variable "TAG" [LK0218]',
     "a file that uses it has a map variables: with the key TAG"),
    ("variables: {a-b: v}", {}, 'x:1:13: "a-b" cannot be the name of a variable [LK0208]',
     'a name has letters, digits and "_", and begins with no digit'),
    ("variables: {A: 7}", {}, "x:1:16: variables.A must be a text, not the number 7 [LK0204]",
     'put it in quotes: "7"'),
    ("variables: [A]", {}, "x:1:12: variables must be a map of keys, not a list [LK0204]", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values", "message", "hint"), MISTAKES)
def test_mistakes(text, values, message, hint):
    with pytest.raises(Error) as caught:
        load.parse(text, "x", values=values)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_text_is_searched_once():
    text = "${A:-" * 200_000
    assert contents("variables: {A: }", text) == text


def test_variables_do_not_make_texts_without_end(monkeypatch):
    monkeypatch.setattr(variables, "TEXT_LIMIT", 1 << 20)
    head = f"variables: {{A: '{'x' * 1000}'}}"
    assert len(contents(head, "${A}" * 1000)) == 1_000_000
    with pytest.raises(Error, match="LK0202"):
        contents(head, "${A}" * 2000)
