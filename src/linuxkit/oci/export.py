"""Images on their way out of the store: as OCI layouts, for ``docker load``, or as their files.

Equal images give equal bytes.  Their way back in is :mod:`linuxkit.oci.archive`'s.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.files import os_error
from linuxkit.oci import image, model
from linuxkit.oci.flatten import flatten
from linuxkit.oci.names import REF_NAME
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.store import Store
    from linuxkit.tree.content import Sink

CONTAINERD_NAME = "io.containerd.image.name"  # what the Go tool and containerd look for
BLOBS = "blobs/sha256/"
_LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'


def write_layout(
    store: Store, root: Descriptor, name: str, platforms: Sequence[Platform], out: Sink
) -> None:
    """Write an OCI layout with what ``platforms`` need of the image; equal for equal images.

    Raises LK0303, LK0306 and as :func:`linuxkit.oci.image.closure`.
    """
    entries = [named(root, name)]
    write_entries(store, entries, image.closure(store, root, platforms), out)


def write_folder(
    store: Store, root: Descriptor, name: str, platforms: Sequence[Platform], folder: Path
) -> None:
    """As :func:`write_layout`, as a folder, which must not be there or be empty.  Raises LK0102."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for entry in _layout(store, [named(root, name)], image.closure(store, root, platforms)):
            path = beside / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                out.writelines(entry.content.chunks())
        beside.rename(folder)
    except OSError as error:
        raise os_error(error, "write", folder) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def named(root: Descriptor, name: str, **notes: str) -> Descriptor:
    """The entry of ``index.json`` for an image of this name; ``notes`` are more annotations."""
    names = ((REF_NAME, name), (CONTAINERD_NAME, name), *notes.items())
    return root._replace(annotations=names)


def write_entries(
    store: Store, entries: Sequence[Descriptor], closure: Iterable[Descriptor], out: Sink
) -> None:
    """Write an OCI layout with these entries and these blobs; equal for equal ones.

    Raises LK0303, LK0304.
    """
    tar.write(_layout(store, entries, closure), out)


def _layout(
    store: Store, entries: Sequence[Descriptor], closure: Iterable[Descriptor]
) -> list[Entry]:
    """The files of a layout."""
    blobs = sorted({blob.digest: blob for blob in closure}.values(), key=lambda blob: blob.digest)
    index = model.encode_index(model.Index(tuple(entries)))
    return [
        _small("oci-layout", _LAYOUT_FILE),
        _small("index.json", index),
        *(_entry(BLOBS + digests.hex_of(blob.digest), store, blob) for blob in blobs),
    ]


def write_saved(
    store: Store, images: Iterable[tuple[str, Descriptor]], platform: Platform, out: Sink
) -> None:
    """Write what ``docker load`` takes: names and images, of each what one platform needs.

    Raises as image.open_image.
    """
    listed: list[object] = []
    blobs: dict[str, Descriptor] = {}
    for name, root in images:
        found = image.open_image(store, root, platform)
        config = digests.hex_of(found.manifest.config.digest) + ".json"
        order = [digests.hex_of(layer.digest) + ".tar" for layer in found.manifest.layers]
        tags = [name] if "@" not in name else []
        listed.append({"Config": config, "RepoTags": tags, "Layers": order})
        blobs[config] = found.manifest.config
        blobs.update(zip(order, found.manifest.layers, strict=True))
    entries = [_entry(path, store, blob) for path, blob in blobs.items()]
    tar.write([_small("manifest.json", digests.canonical_json(listed)), *entries], out)


def write_tree(store: Store, root: Descriptor, platform: Platform, out: Sink) -> None:
    """Write the files of an image, its layers merged, as one tar archive."""
    found = image.open_image(store, root, platform)
    with flatten(store, found.manifest.layers, found.config.diff_ids) as tree:
        tar.write(tree.entries(), out)


def _small(path: str, data: bytes) -> Entry:
    return Entry(path, Kind.FILE, content=Bytes(data))


def _entry(path: str, store: Store, blob: Descriptor) -> Entry:
    return Entry(path, Kind.FILE, content=_Stored(store, blob))


class _Stored:
    """The content of a blob, read when it is wanted."""

    def __init__(self, store: Store, blob: Descriptor) -> None:
        self._store = store
        self._blob = blob
        self.size = blob.size

    def chunks(self) -> Iterator[bytes]:
        """The bytes.  Raises LK0303, LK0304."""
        with self._store.open(self._blob.digest, self._blob.size) as file:
            while data := file.read(1 << 20):
                yield data
