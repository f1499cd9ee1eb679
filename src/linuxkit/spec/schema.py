"""What follows from the model: a JSON Schema for editors, and the tables of the reference page."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from linuxkit.spec.decode import fields
from linuxkit.spec.model import LastStep, Service, Spec, Step
from linuxkit.spec.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.spec.decode import Field, Key

Schema = dict[str, object]


def schema() -> Schema:
    """JSON Schema (draft 2020-12) of a YAML file, with a definition for each kind of entry.

    It knows keys, types and ranges; rules over several keys are left to `linuxkit validate`.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LinuxKit",
        **_object(Spec),
        "$defs": {cls.__name__: _object(cls) for cls in classes() if cls is not Spec},
    }


def classes() -> tuple[type, ...]:
    """Every kind of entry, in the order in which a reader of the file meets them."""
    found: dict[type, None] = {}

    def visit(cls: type) -> None:
        if cls not in found:
            found[cls] = None
            for field in fields(cls).values():
                for inner in _entries(field.type):
                    visit(inner)

    visit(Spec)
    return tuple(found)


def _entries(kind: Any) -> Iterator[type]:  # noqa: ANN401 - an annotation can be anything
    if _is_record(kind):
        yield typing.cast("type", kind)
    for inner in typing.get_args(kind):
        yield from _entries(inner)


def _is_record(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _object(cls: type) -> Schema:
    keys = fields(cls).values()
    found: Schema = {
        "description": _summary(cls),
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: _property(key) for key in keys},
    }
    required = [key.name for key in keys if key.required]
    if "override" in fields(cls):
        # An entry that stands for an earlier one needs its name alone.
        patch = {"required": [required[0]], "anyOf": [_is_true("override"), _is_true("remove")]}
        return {**found, "anyOf": [{"required": required}, patch]}
    return {**found, "required": required} if required else found


def _is_true(key: str) -> Schema:
    return {"required": [key], "properties": {key: {"const": True}}}


def _property(field: Field) -> Schema:
    return {**_value(field.type, field.key), "description": field.key.doc}


def _value(kind: Any, key: Key) -> Schema:  # noqa: ANN401
    kinds = _alternatives(kind)
    if set(kinds) == {bool, str}:
        return {"type": ["boolean", "string"], "enum": [True, False, *key.choices]}
    if len(kinds) > 1:
        return {**_value(int, key), "type": ["integer", "string"]}
    (kind,) = kinds
    origin = typing.get_origin(kind)
    if origin is tuple:
        return {"type": "array", "items": _value(typing.get_args(kind)[0], key)}
    if origin is Mapping:
        nullable = types.NoneType in typing.get_args(typing.get_args(kind)[1])
        value = {"type": ["string", "null"] if nullable else "string"}
        return {"type": "object", "additionalProperties": value}
    if _is_record(kind):
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if kind is bool:
        return {"type": "boolean"}
    if kind is int:
        limits = {"minimum": key.least, "maximum": key.most}
        return {"type": "integer", **{k: v for k, v in limits.items() if v is not None}}
    return {"type": "string", **({"enum": list(key.choices)} if key.choices else {})}


def _alternatives(kind: Any) -> list[Any]:  # noqa: ANN401
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        return [arg for arg in typing.get_args(kind) if arg is not types.NoneType]
    return [kind]


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").split("\n\n")[0].replace("\n   ", "")


_TITLES = {"Spec": "The file", "Service": "services", "Step": "onboot", "LastStep": "onshutdown"}


def reference() -> str:
    """The tables of all keys, as Markdown; what a step shares with a service stands there once."""
    tables = []
    for cls in classes():
        rows = fields(cls)
        summary = _summary(cls)
        if cls in {Step, LastStep}:
            missing = ", ".join(f"`{name}`" for name in fields(Service) if name not in rows)
            rows = {name: row for name, row in rows.items() if _is_own(name, cls)}
            summary += f"  It has the keys of [services](#services) but {missing}; and:"
        title = _TITLES.get(cls.__name__, cls.__name__)
        head = f"### {title}\n\n{summary}\n\n| key | value | meaning |\n|---|---|---|\n"
        tables.append(head + "".join(map(_row, rows.values())))
    return "\n".join(tables)


def _is_own(name: str, cls: type) -> bool:
    """Whether a step's key means something that it does not mean for a service."""
    return name not in fields(Service) or (cls is LastStep and name not in fields(Step))


def _row(field: Field) -> str:
    needed = " **needed**" if field.required else ""
    return f"| `{field.name}`{needed} | {_words(field.type, field.key)} | {field.key.doc} |\n"


def _words(kind: Any, key: Key) -> str:  # noqa: ANN401
    kinds = _alternatives(kind)
    if set(kinds) == {bool, str}:
        return ", ".join(["true or false", *(f"`{choice}`" for choice in key.choices)])
    if len(kinds) > 1:
        return "number or text"
    (kind,) = kinds
    origin = typing.get_origin(kind)
    if origin is tuple:
        return f"list of {_words(typing.get_args(kind)[0], key)}"
    if origin is Mapping:
        return "map of texts"
    if _is_record(kind):
        name = kind.__name__
        title = _TITLES.get(name, name)
        return f"[{title}](#{title.lower().replace(' ', '-')})"
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices if choice)
    return {bool: "true or false", int: "number"}.get(kind, "text")
