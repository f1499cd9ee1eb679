"""Images that were brought from files or an engine, remembered so that they need not be read again.

What is remembered is keyed by what tells one state of a file from another, or by an engine's id.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.base.events import note
from linuxkit.oci import image, model
from linuxkit.oci.archive import Imported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.store import Store

_FORM = "images"
_LIMIT = 4 << 20


def find(store: Store, key: Digest) -> tuple[Imported, ...] | None:
    """What was kept for ``key``, if the store still has it all."""
    record = store.derived(key, _FORM)
    if record is None:
        return None
    try:
        rows = json.loads(store.read(record.digest, _LIMIT))
        found = tuple(
            Imported(name, model.decode_descriptor(value, "what was kept"), label)
            for name, value, label in rows
        )
        whole = all(_is_whole(store, each) for each in found)
    except (Error, ValueError) as error:
        note(f"images are read again: {error}", level="debug")
        return None
    return found if whole else None


def keep(store: Store, key: Digest, found: Sequence[Imported]) -> None:
    """Remember what was brought for ``key``.  Raises LK0102."""
    rows = [(each.name, model.descriptor_value(each.descriptor), each.label) for each in found]
    data = digests.canonical_json(rows)
    store.set_derived(key, _FORM, store.put(data), len(data))


def _is_whole(store: Store, each: Imported) -> bool:
    offered = image.offered(store, each.descriptor)
    return any(image.is_whole(store, each.descriptor, platform) for platform in offered)
