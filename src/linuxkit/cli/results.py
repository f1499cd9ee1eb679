"""What commands have found or made, on standard output: lines, or JSON with ``--json``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def tell(found: Iterable[tuple[Mapping[str, object], str]], *, as_json: bool) -> None:
    """Print the lines of ``found`` as they come, or all its values as one JSON list."""
    values = []
    for value, line in found:
        values.append(value)
        if not as_json:
            print(line)
    if as_json:
        print(json.dumps(values, ensure_ascii=False))


def tell_changes(lock: str, lines: Iterable[str], *, as_json: bool, none: str) -> None:
    """Print what has changed in a lock, or the words for nothing."""
    changes = list(lines)
    if as_json:
        print(json.dumps({"lock": lock, "changes": changes}, ensure_ascii=False))
    else:
        print("\n".join(changes) or none)
