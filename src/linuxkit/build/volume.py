"""Volumes of format oci: a copy of an image, whole, as an OCI image layout in the system.

Which blobs an image consists of is :mod:`linuxkit.oci.image`'s knowledge; bringing them into the
store is the sources'.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.build.plan import DataSegment, Item, Origin
from linuxkit.oci.image import closure
from linuxkit.oci.model import OCI_INDEX, Platform
from linuxkit.oci.names import REF_NAME
from linuxkit.oci.store import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store
    from linuxkit.spec.model import Volume


def platforms_of(volume: Volume) -> tuple[Platform, ...]:
    """The platforms that a volume names; none means all that its image has."""
    return tuple(Platform(*text.split("/")) for text in volume.platforms or ())


def layout_segment(volume: Volume, origin: Origin, root: Descriptor, store: Store) -> DataSegment:
    """The volume's ``lower``: an OCI image layout (image-spec, image-layout.md) of the image.

    ``root`` is the image's index or, for an image of one platform, its manifest.  All is dated
    1970, as upstream has it.  Raises LK0306 for a platform that the image does not have, LK0303
    for one that is not in the store.
    """
    blobs = closure(store, root, platforms_of(volume))
    lower = f"containers/volumes/{volume.name}/lower"
    return DataSegment(f"volumes/{volume.name}", tuple(_items(lower, origin, root, blobs)))


def _items(
    lower: str, origin: Origin, root: Descriptor, blobs: Sequence[Descriptor]
) -> Iterator[Item]:
    yield _file(f"{lower}/oci-layout", origin, _json({"imageLayoutVersion": "1.0.0"}))
    for folder in (f"{lower}/blobs", f"{lower}/blobs/sha256"):
        yield Item(folder, "dir", 0o755, origin, mtime=0)
    for blob in sorted(blobs, key=lambda each: each.digest):
        algorithm, _, name = blob.digest.partition(":")
        stored = Blob(blob.digest, blob.size)
        yield Item(f"{lower}/blobs/{algorithm}/{name}", "file", 0o644, origin, blob=stored, mtime=0)
    yield _file(f"{lower}/index.json", origin, _index(root, origin.source))


def _index(root: Descriptor, reference: str) -> bytes:
    entry = {
        "mediaType": root.media_type,
        "size": root.size,
        "digest": root.digest,
        "annotations": {REF_NAME: reference},
    }
    return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})


def _file(path: str, origin: Origin, data: bytes) -> Item:
    return Item(path, "file", 0o644, origin, data, mtime=0)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=3).encode()
