"""The names of a store: ``index.json`` of an OCI image layout as a value.

Entries and members that other tools have put there are kept as they are; reading the file and
replacing it is left to the store.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from linuxkit.base.errors import Error, printable
from linuxkit.oci import model

if TYPE_CHECKING:
    from linuxkit.oci.model import Descriptor

REF_NAME = "org.opencontainers.image.ref.name"  # image-spec, annotations.md

HINT = "put a good copy back, or remove the file: the images are then fetched or built again"


class Names:
    """An ``index.json``: which name stands for which image."""

    def __init__(self, document: dict[str, Any], at: str) -> None:
        self._document = document
        self._at = at
        self._entries: list[dict[str, Any]] = document["manifests"]
        self._by_name: dict[str, int] = {}
        for n, entry in enumerate(self._entries):
            name = _name_of(entry)
            if name is not None:
                self._by_name.setdefault(name, n)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def find(self, name: str) -> Descriptor | None:
        """What ``name`` stands for; the first where other tools have left several."""
        n = self._by_name.get(name)
        return None if n is None else self._decode(n)

    def all(self) -> tuple[tuple[str, Descriptor], ...]:
        """All names, in the order of the file, and what they stand for."""
        return tuple((name, self._decode(n)) for name, n in self._by_name.items())

    def roots(self) -> tuple[Descriptor, ...]:
        """What all entries stand for, also those that have no name, or one of another entry."""
        return tuple(self._decode(n) for n in range(len(self._entries)))

    def faults(self) -> tuple[Error, ...]:
        """What is wrong with entries (LK0310)."""
        return tuple(fault for n in range(len(self._entries)) if (fault := self._fault(n)))

    def sound(self) -> Names:
        """The same without the entries that are faulty."""
        return self._changed([e for n, e in enumerate(self._entries) if not self._fault(n)])

    def _fault(self, n: int) -> Error | None:
        try:
            self._decode(n)
        except Error as error:
            return error
        return None

    def with_name(self, name: str, descriptor: Descriptor) -> Names:
        """The same with one name added or replaced."""
        marked = {**dict(descriptor.annotations), REF_NAME: name}
        value = model.descriptor_value(descriptor._replace(annotations=tuple(marked.items())))
        entries = [e for e in self._entries if _name_of(e) != name]
        entries.insert(self._by_name.get(name, len(entries)), value)
        return self._changed(entries)

    def without(self, name: str) -> Names:
        """The same without one name."""
        return self._changed([e for e in self._entries if _name_of(e) != name])

    def encode(self) -> bytes:
        """The text of the file: an entry a line, so that people and ``diff`` can read it."""
        rest = {key: value for key, value in self._document.items() if key != "manifests"}
        head = json.dumps(rest, separators=(",", ":"))[:-1]
        entries = ",\n".join(json.dumps(e, separators=(",", ":")) for e in self._entries)
        return f'{head},"manifests":[\n{entries}\n]}}\n'.encode()

    def _changed(self, entries: list[dict[str, Any]]) -> Names:
        return Names({**self._document, "manifests": entries}, self._at)

    def _decode(self, n: int) -> Descriptor:
        try:
            return model.decode_descriptor(self._entries[n], f"{self._at}: manifests[{n}]")
        except Error as error:
            raise Error("LK0310", error.message, hint=HINT) from None


def empty(at: str) -> Names:
    """The names of a new store; ``at`` stands for the file in messages."""
    head = {"schemaVersion": 2, "mediaType": model.OCI_INDEX, "manifests": []}
    return Names(head, at)


def parse(data: bytes, at: str) -> Names:
    """Read the text of an ``index.json``.  Raises LK0310."""
    try:
        document = json.loads(data.decode(), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        _refuse(at, f"is not proper JSON: {printable(reason)}")
    if not isinstance(document, dict):
        _refuse(at, "is not an object")
    document.setdefault("schemaVersion", 2)
    if document["schemaVersion"] != 2:  # noqa: PLR2004 - the only version in use
        _refuse(at, "has another schemaVersion than 2")
    entries = document.get("manifests")
    if entries is None:  # as Go writes an empty list
        document["manifests"] = []
    elif not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        _refuse(at, "has no proper list of manifests")
    return Names(document, at)


def _name_of(entry: dict[str, Any]) -> str | None:
    annotations = entry.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} cannot be kept")
    return value


def _refuse(at: str, why: str) -> NoReturn:
    raise Error("LK0310", f"{at} {why}", hint=HINT)
