"""From a tree of nodes to frozen values, driven by the annotations of their classes.

Every fault in the whole tree is collected, each with its place.  Which keys there are is said by
the classes alone (:mod:`linuxkit.spec.model`, recipes); nothing here knows the language.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping as MappingType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from linuxkit.base.errors import Error, printable, raise_all, suggestion
from linuxkit.spec import argv
from linuxkit.spec.node import Mapping, Scalar, Sequence, find
from linuxkit.spec.places import key_or_value
from linuxkit.spec.record import Record, needs, own_annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from linuxkit.spec.node import Node

ERROR_LIMIT = 100

T = TypeVar("T")
Path = tuple[str | int, ...]


class Key(NamedTuple):
    """What an ``Annotated`` field says about its key in the file.

    ``name`` is its spelling where that is not the field's name in camelCase.  ``read`` turns the
    text (each item, in a list) into the value and raises an Error without a place.  ``argv`` says
    that the list is a program and its arguments.
    """

    doc: str
    name: str = ""
    read: Callable[[str], object] | None = None
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    argv: bool = False


class Problem(NamedTuple):
    """A rule over several keys that a value breaks; ``message`` goes on after its path.

    ``at`` leads from the value to the part that is wrong, ``key`` is the key to point at in it.
    """

    key: str
    message: str
    hint: str = ""
    code: str = "LK0208"
    at: Path = ()


class Field(NamedTuple):
    """A field of a class, and the key it is written as."""

    attribute: str
    name: str
    type: Any
    key: Key
    required: bool


def decode(node: Node, cls: type[T], root: str = "the file") -> T:
    """The value of ``cls`` that ``node`` describes; ``root`` is what messages call the whole.

    Raises everything that is wrong at once: LK0203 unknown key, LK0204 wrong type, LK0205 missing
    key, LK0208 bad value, and what the fields' readers raise.
    """
    errors: list[Error] = []
    value = collect(node, cls, errors, root)
    raise_all(errors)
    assert value is not None  # noqa: S101 - there is a value when there are no errors
    return value


def collect(node: Node, cls: type[T], errors: list[Error], root: str = "the file") -> T | None:
    """As :func:`decode`, but what is wrong is added to ``errors``; None when anything was.

    It stops when there are :data:`ERROR_LIMIT` of them.
    """
    try:
        value = _Decoder(errors, root).mapping(node, (), cls)
    except _EnoughError:
        return None
    return None if value is _INVALID else typing.cast("T", value)


def path_text(path: Path) -> str:
    """``("services", 0, "binds")`` as ``services[0].binds``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{printable(step)}" if text else step
    return text


@functools.cache
def fields(cls: type) -> dict[str, Field]:
    """The keys of ``cls`` by name, required ones first; fields without a :class:`Key` are none."""
    found = {f.attribute: f for base in reversed(cls.__mro__) for f in _own_fields(base)}
    ordered = sorted(found.values(), key=lambda field: not field.required)
    return {field.name: field for field in ordered}


@functools.cache
def _own_fields(cls: type) -> tuple[Field, ...]:
    if not issubclass(cls, Record):
        return ()
    found = []
    for attribute, hint in own_annotations(cls).items():
        key = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Key)), None)
        if key is not None:
            name = key.name or _camel(attribute)
            found.append(Field(attribute, name, hint.__origin__, key, needs(cls, attribute)))
    return tuple(found)


def _camel(attribute: str) -> str:
    head, *rest = attribute.split("_")
    return head + "".join(word.capitalize() for word in rest)


class _EnoughError(Exception):
    """There are more errors than anybody reads."""


class _Invalid:
    """Stands for a value that is not there because something was wrong with it."""


_INVALID = _Invalid()
_Reader = typing.Callable[["_Decoder", "Node", Path], object]


@functools.cache
def _reader_of(cls: type, name: str) -> _Reader:
    field = fields(cls)[name]
    return reader(field.type, field.key)


def reader(kind: Any, key: Key) -> _Reader:  # noqa: ANN401 - an annotation can be anything
    """How to read a value of the annotated type ``kind``."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        kinds = [arg for arg in args if arg is not types.NoneType]
        if len(kinds) == 1:
            return reader(kinds[0], key)
        both = {
            frozenset({int, str}): _Decoder.number_or_text,
            frozenset({bool, str}): _Decoder.boolean_or_text,
        }.get(frozenset(kinds))
        if both:
            return functools.partial(both, key=key)
    elif origin is tuple:
        return functools.partial(_Decoder.list, item=reader(args[0], key), key=key)
    elif origin is MappingType:
        nullable = types.NoneType in typing.get_args(args[1])
        return functools.partial(_Decoder.texts, key=key, nullable=nullable)
    elif kind is bool:
        return _Decoder.boolean
    elif kind is int:
        return functools.partial(_Decoder.number, key=key)
    elif kind is str or key.read:
        return functools.partial(_Decoder.text, key=key)
    elif isinstance(kind, type):
        return functools.partial(_Decoder.mapping, cls=kind)
    raise TypeError(f"no way to read {kind}")


class _Decoder:
    """One pass over one tree; each method reads one kind of value or notes why it cannot."""

    def __init__(self, errors: list[Error], root: str) -> None:
        self.errors = errors
        self.root = root

    def mapping(self, node: Node, path: Path, cls: type) -> object:
        if not isinstance(node, Mapping):
            return self.wrong_type(node, "a map of keys", path)
        before = len(self.errors)
        known = fields(cls)
        values: dict[str, object] = {}
        for name, (key, value) in node.items.items():
            found = known.get(name)
            if found is None:
                self.unknown(key, known, path)
                continue
            values[found.attribute] = _reader_of(cls, name)(self, value, (*path, name))
        for field in known.values():
            if field.required and field.attribute not in values:
                doc = field.key.doc
                hint = f"{field.name}: {doc[0].lower()}{doc[1:].rstrip('.')}"
                self.add("LK0205", node, f'{self.at(path)} has no "{field.name}"', hint)
        if len(self.errors) > before:
            return _INVALID
        made = cls(**values)
        self.rules(made, node, path)
        return made if len(self.errors) == before else _INVALID

    def rules(self, made: object, node: Node, path: Path) -> None:
        """Let the value say what is wrong with the whole of it."""
        check: Callable[[], Iterable[Problem]] | None = getattr(made, "problems", None)
        if check is None:
            return
        for problem in check():
            place = key_or_value(find(node, problem.at) or node, problem.key)
            subject = self.at((*path, *problem.at))
            self.add(problem.code, place, f"{subject} {problem.message}", problem.hint)

    def list(self, node: Node, path: Path, item: _Reader, key: Key) -> object:
        if not isinstance(node, Sequence):
            return self.wrong_type(node, "a list", path, is_argv=key.argv)
        values = tuple([item(self, n, (*path, i)) for i, n in enumerate(node.items)])
        return _INVALID if _INVALID in values else values

    def texts(self, node: Node, path: Path, key: Key, *, nullable: bool) -> object:
        if not isinstance(node, Mapping):
            return self.wrong_type(node, "a map of keys", path)
        values: dict[str, object] = {}
        for name, (_, value) in node.items.items():
            nothing = nullable and isinstance(value, Scalar) and value.is_null
            values[name] = None if nothing else self.text(value, (*path, name), key)
        return _INVALID if _INVALID in values.values() else types.MappingProxyType(values)

    def text(self, node: Node, path: Path, key: Key) -> object:
        if not isinstance(node, Scalar) or not node.is_text:
            return self.wrong_type(node, "a text", path)
        if key.choices and node.value not in key.choices:
            return self.not_a_choice(node, path, key)
        if key.read is None:
            return node.value
        try:
            return key.read(node.value)
        except Error as error:
            for one in error.all():
                one.where = one.where or node.where
                self.note(one)
            return _INVALID

    def number_or_text(self, node: Node, path: Path, key: Key) -> object:
        if isinstance(node, Scalar) and node.integer is not None:
            return self.number(node, path, key)
        if isinstance(node, Scalar) and node.is_text:
            return self.text(node, path, key)
        return self.wrong_type(node, "a number or a text", path)

    def boolean_or_text(self, node: Node, path: Path, key: Key) -> object:
        if isinstance(node, Scalar) and node.boolean is not None:
            return node.boolean
        if isinstance(node, Scalar) and node.is_text:
            return self.text(node, path, key)
        return self.wrong_type(node, "true, false or a text", path)

    def number(self, node: Node, path: Path, key: Key) -> object:
        value = node.integer if isinstance(node, Scalar) else None
        if value is None:
            return self.wrong_type(node, "a whole number", path)
        too_small = key.least is not None and value < key.least
        if too_small or (key.most is not None and value > key.most):
            self.add(
                "LK0208", node, f"{self.at(path)} must lie between {key.least} and {key.most}", ""
            )
            return _INVALID
        return value

    def boolean(self, node: Node, path: Path) -> object:
        value = node.boolean if isinstance(node, Scalar) else None
        return self.wrong_type(node, "true or false", path) if value is None else value

    def unknown(self, key: Scalar, known: Iterable[str], path: Path) -> None:
        inside = f" in {self.at(path)}"
        hint = suggestion(key.value, known) or f"known keys: {', '.join(known)}"
        self.add("LK0203", key, f'unknown key "{printable(key.value)}"{inside}', hint)

    def not_a_choice(self, node: Scalar, path: Path, key: Key) -> _Invalid:
        hint = suggestion(node.value, key.choices) or f"known: {', '.join(key.choices)}"
        self.add("LK0208", node, f'{self.at(path)} cannot be "{printable(node.value)}"', hint)
        return _INVALID

    def wrong_type(
        self, node: Node, expected: str, path: Path, *, is_argv: bool = False
    ) -> _Invalid:
        message = f"{self.at(path)} must be {expected}, not {node.kind}"
        self.add("LK0204", node, message, _remedy(node, expected, is_argv=is_argv))
        return _INVALID

    def at(self, path: Path) -> str:
        return path_text(path) or self.root

    def add(self, code: str, place: Node, message: str, hint: str) -> None:
        self.note(Error(code, message, hint=hint, where=place.where))

    def note(self, error: Error) -> None:
        self.errors.append(error)
        if len(self.errors) >= ERROR_LIMIT:
            raise _EnoughError


def _remedy(node: Node, expected: str, *, is_argv: bool) -> str:
    """What to write instead, where that can be guessed."""
    if not isinstance(node, Scalar):
        return ""
    if node.is_null:
        empty = {"a list": " or write []", "a text": ' or write ""'}.get(expected, "")
        return f"leave the key out{empty}"
    if is_argv:
        return argv.remedy(node.value)
    shown = printable(node.value, 60)
    if expected == "a text":
        return f'put it in quotes: "{shown}"'
    if expected == "a list" and "\n" not in node.value:
        return f'write ["{shown}"]'
    if expected == "true or false":
        word = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(node.value.lower())
        return f"write {word}" if word else ""
    if expected == "a whole number":
        return "write decimal digits, without quotes"
    return ""
