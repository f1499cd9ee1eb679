"""Pushing: an image of the store, with all that it points at, sent to a registry.

Making images is left to others; nothing is sent that the registry has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.oci import image, model
from linuxkit.oci.registry import place_of

if TYPE_CHECKING:
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store

_DOCUMENTS = model.MANIFESTS | model.INDEXES


def push(
    client: Client, root: Descriptor, target: Ref, store: Store, *, override: bool = False
) -> bool:
    """Send the image ``root`` to the registry, repository and tag of ``target``.

    False when that tag stands for this image already.  Raises LK0328 when it stands for another
    and ``override`` is not given, LK0303 when the store has not all platforms that an index lists,
    and as :meth:`Client.send_blob`.
    """
    place, tag = place_of(target), target.tag or root.digest
    blobs = _whole(store, root)
    found = _current(client, target, tag)
    if found == root.digest:
        return False
    if found and not override:
        raise Error(
            "LK0328",
            f"{target} is another image there: {found}",
            hint="choose another tag, or replace it with --override",
        )
    documents = [blob for blob in blobs if blob.media_type in _DOCUMENTS]
    others = [blob for blob in blobs if blob.media_type not in _DOCUMENTS]
    with events.task("upload", str(target), sum(blob.size for blob in others)) as task:
        for blob in others:
            if not client.send_blob(place, blob, store, task.advance):
                task.advance(blob.size)
    for each in documents:  # parts come before what lists them
        data = store.read(each.digest, model.MANIFEST_LIMIT)
        name = tag if each.digest == root.digest else each.digest
        client.send_manifest(place, name, data, each.media_type)
    return True


def _whole(store: Store, root: Descriptor) -> tuple[Descriptor, ...]:
    """Everything to send, parts first.  Raises LK0303 when something is missing."""
    try:
        blobs = image.closure(store, root)
    except Error as error:
        if error.code == "LK0303":
            error.hint = "it lists other platforms too: linuxkit cache pull --arch ARCH … NAME"
        raise
    for blob in blobs:
        store.open(blob.digest, blob.size).close()
    return blobs


def _current(client: Client, target: Ref, tag: str) -> str:
    """The digest that the tag stands for; "" when there is none."""
    try:
        return client.manifest(place_of(target), tag)[1].digest
    except Error as error:
        if error.code == "LK0320":
            return ""
        raise
