"""The whole configuration as YAML or JSON: for a file of the system, or with its origins to read.

The shape is upstream's where the Go tool loses nothing: references in full, keys as they are
written.  What was not written is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from linuxkit.base.errors import printable
from linuxkit.spec import yaml
from linuxkit.spec.decode import fields
from linuxkit.spec.record import Record

if TYPE_CHECKING:
    from linuxkit.base.where import Where
    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Spec


def render(spec: Spec, kind: str) -> bytes:
    """``spec`` as "yaml" or "json"."""
    value = {name: section for name, section in _rows(spec).items() if section != []}
    if kind == "json":
        return (json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode()
    return yaml.dump(value).encode()


def annotated(spec: Spec) -> str:
    """``spec`` as YAML with comments that say where each entry was written.

    A key of an entry that another file changed is named with its own place.
    """
    lines: list[str] = []
    for section, value in _rows(spec).items():
        if isinstance(value, list):
            lines += [f"{section}:"] if value else []
            for index, entry in enumerate(value):
                lines.append(_origin(spec, (section, index), entry))
                lines += yaml.dump([entry]).splitlines()
        else:
            lines.append(_origin(spec, (section,), value))
            lines += yaml.dump({section: value}).splitlines()
    return "\n".join(lines) + "\n" if lines else "{}\n"


def _origin(spec: Spec, path: Path, entry: object) -> str:
    whole = spec.where(path)
    said = [_place(whole)]
    for key in entry if isinstance(entry, dict) else ():
        part = spec.where((*path, key))
        if part and whole and part.file != whole.file:
            said.append(f"{key}: {_place(part)}")
    return f"# {', '.join(said)}"


def _place(where: Where | None) -> str:
    return f"{printable(where.file)}:{where.line}" if where else "written nowhere"


def _rows(value: object) -> dict[str, object]:
    kind: type = type(value)
    keys = fields(kind).values()
    rows = {key.name: _plain(getattr(value, key.attribute)) for key in keys}
    return {name: row for name, row in rows.items() if row is not None}


def _plain(value: object) -> object:
    """Frozen values as dictionaries, lists, texts and numbers, by the names of the file."""
    if isinstance(value, Record):
        return _rows(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if type(value) is tuple:
        return [_plain(item) for item in value]
    return str(value)  # a reference, bind, limit or mode
