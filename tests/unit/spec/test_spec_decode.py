"""The decoder with classes of its own, as a recipe has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import yaml
from linuxkit.spec.decode import Key, Problem, collect, decode, fields, path_text
from linuxkit.spec.record import Record


def upper(text):
    if not text.isupper():
        raise Error("LK0599", "not upper")
    return text


class Part(Record):
    size: Annotated[int, Key("How big.", least=1, most=9)]
    word: Annotated[str | None, Key("A word.", name="the.word", read=upper)] = None


class Base(Record):
    kind: Annotated[str, Key("What.", choices=("file", "folder"))] = "file"


class Whole(Base):
    name: Annotated[str, Key("Its name.")]
    some_parts: Annotated[tuple[Part, ...], Key("Parts.")] = ()
    words: Annotated[tuple[str, ...] | None, Key("Words.", read=upper)] = None
    pairs: Annotated[Mapping[str, str] | None, Key("Pairs.")] = None
    either: Annotated[int | str | None, Key("Either.", least=0, most=5, read=upper)] = None
    rows: Annotated[tuple[tuple[int, ...], ...], Key("Rows.")] = ()
    flag: Annotated[bool | None, Key("Flag.")] = None
    part: Annotated[Part | None, Key("A part.")] = None
    hidden: int = 3

    def problems(self) -> Iterator[Problem]:
        if self.flag and not self.words:
            yield Problem("flag", "needs words", "add some")
        for index, part in enumerate(self.some_parts):
            if part.size == 7:
                yield Problem("size", "is seven", code="LK0599", at=("someParts", index))


def read(text):
    return decode(yaml.parse(text, "x"), Whole, root="the recipe")


def refused(text):
    errors: list[Error] = []
    value = collect(yaml.parse(text, "x"), Whole, errors, "the recipe")
    assert value is None
    return [f"{e.where.line}:{e.where.column} {e.code} {e.message}" for e in errors]


def test_everything_at_once():
    assert read(
        "name: n\nkind: folder\nsomeParts:\n- {size: 2, the.word: A}\n- {size: 3}\nwords: [B]\n"
        "pairs: {a.b: c}\neither: X\nrows: [[1, 2], []]\nflag: true\npart: {size: 1}\n"
    ) == Whole(
        name="n",
        kind="folder",
        some_parts=(Part(size=2, word="A"), Part(size=3)),
        words=("B",),
        pairs={"a.b": "c"},
        either="X",
        rows=((1, 2), ()),
        flag=True,
        part=Part(size=1),
    )


def test_unset_is_the_default_and_empty_is_empty():
    assert read("name: ''") == Whole(name="")
    assert read("name: ''\nwords: []\npairs: {}").words == ()


REFUSED = {
    "kind: file": '1:1 LK0205 the recipe has no "name"',
    "name: n\nhidden: 4": '2:1 LK0203 unknown key "hidden" in the recipe',
    "name: n\nkind: flie": '2:7 LK0208 kind cannot be "flie"',
    "name: n\neither: 6": "2:9 LK0208 either must lie between 0 and 5",
    "name: n\neither: x": "2:9 LK0599 not upper",
    "name: n\neither: true": '2:9 LK0204 either must be a number or a text, not the truth value "true"',
    "name: n\neither: []": "2:9 LK0204 either must be a number or a text, not a list",
    "name: n\nwords: [A, b]": "2:12 LK0599 not upper",
    "name: n\nwords: x": "2:8 LK0204 words must be a list, not a text",
    "name: n\npairs: [x]": "2:8 LK0204 pairs must be a map of keys, not a list",
    "name: n\npairs: {x: 1}": "2:12 LK0204 pairs.x must be a text, not the number 1",
    "name: n\nrows: [[1], [a]]": "2:14 LK0204 rows[1][0] must be a whole number, not a text",
    "name: n\nflag: 1": "2:7 LK0204 flag must be true or false, not the number 1",
    "name: n\npart: {}": '2:7 LK0205 part has no "size"',
    "name: n\npart: 5": "2:7 LK0204 part must be a map of keys, not the number 5",
    "name: n\nsomeParts: [{size: 0}]": "2:20 LK0208 someParts[0].size must lie between 1 and 9",
    "[]": "1:1 LK0204 the recipe must be a map of keys, not a list",
    "name: n\nflag: true": "2:1 LK0208 the recipe needs words",
    "name: n\nsomeParts: [{size: 1}, {the.word: A, size: 7}]": (
        "2:38 LK0599 someParts[1] is seven"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    assert refused(text) == [REFUSED[text]]


def test_all_errors_are_collected_in_order():
    assert [row.split()[1] for row in refused("kind: x\nflag: 3\nwords: [a, b]\nfoo: 1")] == [
        "LK0208", "LK0204", "LK0599", "LK0599", "LK0203", "LK0205",
    ]  # fmt: skip
    with pytest.raises(Error) as caught:
        read("kind: x\nfoo: 1")
    assert len(caught.value.all()) == 3


def test_fields_tell_all_about_the_keys():
    found = fields(Whole)
    assert list(found) == [
        "name", "kind", "someParts", "words", "pairs", "either", "rows", "flag", "part",
    ]  # fmt: skip
    assert found["name"].required
    assert not found["kind"].required
    assert found["someParts"].attribute == "some_parts"
    assert fields(Part)["the.word"].key.doc == "A word."


def test_paths():
    assert path_text(()) == ""
    assert path_text(("services", 0, "binds.add", 2)) == "services[0].binds.add[2]"
    assert path_text(("a", "\x1b[1m")) == r"a.\x1b[1m"


def test_an_annotation_nobody_can_read_is_a_fault_of_the_program():
    class Odd(Record):
        value: Annotated[int | bool, Key("Odd.")]

    with pytest.raises(TypeError):
        decode(yaml.parse("value: 1", "x"), Odd)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("name: 7", 'put it in quotes: "7"'),
        ("name: true", 'put it in quotes: "true"'),
        ("name:", 'leave the key out or write ""'),
        ("name: n\nwords:", "leave the key out or write []"),
        ("name: n\nflag:", "leave the key out"),
        ("name: n\nflag: off", "write false"),
        ("name: n\nflag: maybe", ""),
        ("name: n\npart: {size: '7'}", "write decimal digits, without quotes"),
        ("name: n\nwords: x", 'write ["x"]'),
        ("name: n\nwords: |\n  x\n  y", ""),
        ("name: n\nkind: floder", 'did you mean "folder"?'),
        ("name: n\nkind: 'x'", "known: file, folder"),
    ],
)
def test_hints(text, hint):
    with pytest.raises(Error) as caught:
        read(text)
    assert caught.value.hint == hint
