"""The program that confines containers further, as a file of the system's root."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base import resources
from linuxkit.base.errors import Error
from linuxkit.build.plan import Item, Origin, Parents
from linuxkit.build.sandbox import strict
from linuxkit.oci.store import Blob

if TYPE_CHECKING:
    from linuxkit.oci.store import Store


def helpers(arch: str, store: Store, *, learns: bool = False) -> tuple[Item, ...]:
    """The program for ``arch``, put into the store, and that which counts system calls.

    Raises LK0755 when it is not built.
    """
    wanted = (strict.HELPER, strict.LEARNER) if learns else (strict.HELPER,)
    return tuple(_program(path, arch, store) for path in wanted)


def _program(path: str, arch: str, store: Store) -> Item:
    try:
        data = resources.guest(arch, posixpath.basename(path)).read_bytes()
    except OSError:
        raise Error(
            "LK0755",
            f"the program that confines containers is not built for {arch}",
            hint=f"build it: python scripts/build_guest.py {arch}",
        ) from None
    blob = Blob(store.put(data), len(data))
    origin, rule = Origin("linuxkit.confine", "confine"), Parents(0o755, 0, 0)
    return Item(path, "file", 0o755, origin, blob=blob, parents=rule)
