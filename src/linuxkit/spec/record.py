"""Frozen values with named fields, which cost next to nothing to define.

The standard library's dataclasses write and compile source text for each class, and importing
them takes longer than reading a YAML file; every start of the program would pay for it.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar, TypeVar, dataclass_transform

R = TypeVar("R", bound="Record")


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """A value whose fields are its class's annotations; a default is the class's attribute.

    Fields are given by keyword.  Records are equal when they are of one class and their fields
    are equal.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _needed: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        own = [name for name in vars(cls).get("__annotations__", ()) if not name.startswith("_")]
        cls._names = tuple(dict.fromkeys((*cls._names, *own)))
        cls._needed = frozenset(name for name in cls._names if not hasattr(cls, name))

    def __init__(self, **values: object) -> None:
        wrong = (self._needed - values.keys()) | (values.keys() - frozenset(self._names))
        if wrong:
            shown = ", ".join(sorted(wrong))
            raise TypeError(f"{type(self).__name__}: missing or unknown: {shown}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be taken away")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._names)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._names))

    def __repr__(self) -> str:
        said = (f"{name}={vars(self)[name]!r}" for name in self._names if name in vars(self))
        return f"{type(self).__name__}({', '.join(said)})"


def replace(record: R, **changes: object) -> R:
    """``record`` with other values for some of its fields."""
    return type(record)(**{**vars(record), **changes})


def names(cls: type[Record]) -> tuple[str, ...]:
    """The fields of ``cls``, those of its bases first."""
    return cls._names


def needs(cls: type[Record], name: str) -> bool:
    """Whether a field has no default."""
    return name in cls._needed


def own_annotations(cls: type) -> dict[str, Any]:
    """The annotations that stand in ``cls`` itself, evaluated, as get_annotations() of inspect."""
    scope = vars(sys.modules[cls.__module__])
    found: dict[str, str] = vars(cls).get("__annotations__", {})
    return {name: eval(text, scope) for name, text in found.items()}  # noqa: S307 - our own source
