"""Images that ship with this program because making them takes long, found by their tags.

Each is an OCI archive whose name holds the tag of its recipe (docs/decisions/0050-prebuilt.md), so
one that is out of date is simply not found.  ``scripts/kernels`` makes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linuxkit.base import files, resources
from linuxkit.base.errors import Error
from linuxkit.oci import archive, export
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    from pathlib import Path

    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store

_REFERENCE = re.compile(r"[^/]+/([^/:]+):([0-9a-f]+)")


def path(reference: str, arch: str) -> Path:
    """Where the image of a stock package's ``reference`` would lie, made for ``arch``."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError(reference)
    return resources.prebuilt() / f"{found[1]}-{arch}-{found[2]}.oci.tar"


def take(reference: str, arch: str, store: Store) -> Descriptor | None:
    """Bring the image of ``reference`` into the store, if it ships with this program.

    Raises LK0575 when the file holds another image, and as archive.read.
    """
    place = path(reference, arch)
    try:
        source = place.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.os_error(error, "read", place) from error
    with source:
        brought = archive.bring(source, store)
    if [(each.name, each.descriptor.platform) for each in brought] != [
        (reference, Platform("linux", arch))
    ]:
        raise Error(
            "LK0575", f"{place} does not hold {reference} for {arch}",
            hint="make it again: scripts/kernels",
        )  # fmt: skip
    store.set_name(reference, brought[0].descriptor)
    return brought[0].descriptor


def write(reference: str, arch: str, image: Descriptor, store: Store) -> Path:
    """Put the ``image`` that was made for ``arch`` in its place, and those of old tags away.

    Equal images give equal bytes.  Raises LK0102.
    """
    place = path(reference, arch)
    with files.replacing(place) as out:
        export.write_layout(store, image, reference, [Platform("linux", arch)], out)
    prefix = place.name.rpartition("-")[0]
    for old in place.parent.glob(f"{prefix}-*.oci.tar"):
        if old != place:
            old.unlink()
    return place
