"""Frozen values with named fields."""

from __future__ import annotations

import pytest

from linuxkit.spec.record import Record, names, needs, own_annotations, replace


class Base(Record):
    word: str
    number: int | None = None


class More(Base):
    last: tuple[int, ...] = ()
    word: str = "given"


def test_fields_and_defaults():
    assert names(More) == ("word", "number", "last")
    assert needs(Base, "word")
    assert not needs(More, "word")
    one = Base(word="x")
    assert (one.word, one.number) == ("x", None)
    assert repr(one) == "Base(word='x')"
    assert (More().word, More(last=(1,)).last) == ("given", (1,))
    assert own_annotations(More) == {"last": tuple[int, ...], "word": str}


def test_equality_is_of_class_and_fields():
    assert Base(word="x") == Base(word="x", number=None)
    assert Base(word="x") != Base(word="y")
    assert Base(word="given") != More()
    assert len({Base(word="x"), Base(word="x", number=None), Base(word="x", number=1)}) == 2


def test_replace_makes_another():
    one = More(number=1)
    two = replace(one, word="w")
    assert (one.word, two.word, two.number, type(two)) == ("given", "w", 1, More)


@pytest.mark.parametrize("values", [{}, {"word": "x", "wrod": "y"}, {"number": 1}])
def test_wrong_fields_are_refused(values):
    with pytest.raises(TypeError, match=r"Base: missing or unknown: (word|wrod)$"):
        Base(**values)


def test_nothing_can_be_changed():
    one = Base(word="x")
    with pytest.raises(AttributeError, match=r"Base.word cannot be changed"):
        one.word = "y"
    with pytest.raises(AttributeError):
        del one.word
    assert one.word == "x"
