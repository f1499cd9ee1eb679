"""What the registry that an image's name tells has of it, without pulling it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.oci import image, model, ref
from linuxkit.oci.auth import HUB_HOSTS
from linuxkit.oci.registry import place_of

if TYPE_CHECKING:
    from linuxkit.oci.model import Descriptor, Manifest, Platform
    from linuxkit.oci.registry import Client, Place
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


class Seen(NamedTuple):
    """An image in its registry; ``size`` in bytes is what a platform needs of it.

    An image that is no index tells its platform in its configuration alone, which is not read.
    """

    root: Descriptor
    platforms: tuple[Platform, ...]
    size: int


def look(client: Client, place: Place, reference: str, wanted: Platform) -> Seen:
    """What a tag or digest stands for; of an index the manifest for ``wanted`` is read too.

    Raises LK0306 (not offered), and as :meth:`Client.manifest`.
    """
    data, root = client.manifest(place, reference)
    if root.media_type not in model.INDEXES:
        return Seen(root, (), _size(model.decode_manifest(data, root), root))
    entries = model.decode_index(data, root).manifests
    offers = dict.fromkeys(entry.platform for entry in entries if entry.platform)
    chosen = image.choose(root, entries, wanted)[0]
    data, found = client.manifest(place, chosen.digest)
    size = root.size
    if found.media_type not in model.INDEXES:
        size += _size(model.decode_manifest(data, found), found)
    return Seen(root, tuple(each for each in offers if each.os != image.UNKNOWN), size)


def is_mirror(host: str, place: Place) -> bool:
    """Whether ``host`` is another one than the registry itself."""
    return host not in (HUB_HOSTS if place.registry in HUB_HOSTS else (place.registry,))


def _size(manifest: Manifest, root: Descriptor) -> int:
    return root.size + manifest.config.size + sum(layer.size for layer in manifest.layers)
