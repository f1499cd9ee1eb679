"""The whole configuration as YAML or JSON, for a file of the system that tells what is in it.

The shape is upstream's where the Go tool loses nothing: references in full, keys as they are
written.  What was not written is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

from linuxkit.spec import yaml
from linuxkit.spec.decode import fields

if TYPE_CHECKING:
    from linuxkit.spec.model import Spec


def render(spec: Spec, kind: str) -> bytes:
    """``spec`` as "yaml" or "json"."""
    value = {name: section for name, section in _rows(spec).items() if section != []}
    if kind == "json":
        return (json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode()
    return yaml.dump(value).encode()


def _rows(value: object) -> dict[str, object]:
    kind: type = type(value)
    keys = fields(kind).values()
    rows = {key.name: _plain(getattr(value, key.attribute)) for key in keys}
    return {name: row for name, row in rows.items() if row is not None}


def _plain(value: object) -> object:
    """Frozen values as dictionaries, lists, texts and numbers, by the names of the file."""
    if is_dataclass(value):
        return _rows(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if type(value) is tuple:
        return [_plain(item) for item in value]
    return str(value)  # a reference, bind, limit or mode
