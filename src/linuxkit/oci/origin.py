"""What the registry that an image's stored name tells has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.oci import model, ref
from linuxkit.oci.registry import place_of

if TYPE_CHECKING:
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store

_NOT_THERE = ("LK0320", "LK0321")


def bring(client: Client, name: str, blob: Descriptor, store: Store) -> None:
    """Fetch a part of the image ``name`` by its digest.  Raises LK0302, LK030x, LK032x, LK041x."""
    place = place_of(ref.parse(name))
    if blob.media_type in model.INDEXES | model.MANIFESTS:
        store.put(client.manifest(place, blob.digest)[0])
    else:
        client.blob(place, blob, store)


def has(client: Client, name: str, root: Descriptor) -> bool:
    """Whether the registry has ``root`` under ``name``.  Raises LK0302, LK041x."""
    asked = ref.parse(name)
    try:
        _, found = client.manifest(place_of(asked), asked.digest or asked.tag or "latest")
    except Error as error:
        if error.code in _NOT_THERE:
            return False
        raise
    return found.digest == root.digest
