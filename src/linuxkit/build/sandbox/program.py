"""Programs that prepare and confine containers, as files of the system's root."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base import resources
from linuxkit.base.errors import Error
from linuxkit.build.plan import Item, Origin, Parents
from linuxkit.oci.store import Blob

if TYPE_CHECKING:
    from linuxkit.oci.store import Store


def item(path: str, arch: str, store: Store) -> Item:
    """The program at ``path`` in the root, for ``arch``, put into the store.

    Raises LK0755 when it is not built.
    """
    try:
        data = resources.guest(arch, posixpath.basename(path)).read_bytes()
    except OSError:
        raise Error(
            "LK0755",
            f"the program {posixpath.basename(path)} is not built for {arch}",
            hint=f"build it: python scripts/build_guest.py {arch}",
        ) from None
    blob = Blob(store.put(data), len(data))
    origin, rule = Origin("linuxkit.confine", posixpath.basename(path)), Parents(0o755, 0, 0)
    return Item(path, "file", 0o755, origin, blob=blob, parents=rule)
