"""The layers of an image as one tree, without ever unpacking them onto the host.

Reading archives and merging them is left to :mod:`linuxkit.tree`; here each layer is fetched from
the store and held against what the image says of it, in the one pass that decompresses it.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.base.digest import HashingWriter
from linuxkit.base.errors import Error, printable
from linuxkit.oci import model
from linuxkit.tree import compress, tar
from linuxkit.tree.merge import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from linuxkit.base.digest import Digest
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store
    from linuxkit.tree.compress import ExpansionLimit


@contextlib.contextmanager
def flatten(
    store: Store,
    layers: Sequence[Descriptor],
    diff_ids: Sequence[Digest] = (),
    *,
    limit: ExpansionLimit = compress.LIMIT,
) -> Iterator[Tree]:
    """All ``layers``, bottom first, merged into one tree; its contents last as long as the block.

    The digest and size of each layer are checked, and the digest of its uncompressed bytes against
    ``diff_ids`` when they are given; ``limit`` holds for each layer.  Raises LK0307 where those
    differ, LK0309 for a layer that is no tar archive, LK0303, LK0304, LK0305, LK0102 and what
    :mod:`linuxkit.tree` refuses; the message names the layer.
    """
    if diff_ids and len(diff_ids) != len(layers):
        raise Error(
            "LK0307", f"{len(layers)} layers, but {len(diff_ids)} digests of their contents"
        )
    for layer in layers:
        if layer.media_type not in model.LAYERS:
            raise Error(
                "LK0309",
                f'layer {layer.digest} is "{printable(layer.media_type)}", not a tar archive',
                hint="it may be an encrypted image or another artifact: name a container image",
            )
    tree = Tree()
    # An image may repeat a layer, most often an empty one.
    spooled: dict[tuple[Digest, int], tuple[BinaryIO, Digest]] = {}
    with contextlib.ExitStack() as stack:
        for n, layer in enumerate(layers):
            with _told_of(layer):
                key = (layer.digest, layer.size)
                if key not in spooled:
                    scratch = stack.enter_context(store.temporary())
                    spooled[key] = scratch, _spool(store, layer, scratch, limit)
                scratch, diff_id = spooled[key]
                if diff_ids and diff_id != diff_ids[n]:
                    raise Error("LK0307", f"its uncompressed bytes are not {diff_ids[n]}")
                tree.apply(tar.read(scratch.fileno()))
        yield tree


def _spool(store: Store, layer: Descriptor, out: BinaryIO, limit: ExpansionLimit) -> Digest:
    """Decompress the layer into ``out``; the digest of what came out."""
    with store.open(layer.digest, layer.size) as blob:
        source = _HashingReader(blob)
        plain = HashingWriter(out)
        try:
            compress.spool(source, plain, limit=limit)
        except Error:
            # Damage is the reason, not what a decompressor makes of it.
            source.drain()
            source.check(layer)
            raise
        source.check(layer)
    out.flush()
    return plain.digest


class _HashingReader:
    """Passes on what is read and knows its digest."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass

    def check(self, layer: Descriptor) -> None:
        found = digests.Digest("sha256:" + self._hash.hexdigest())
        if found != layer.digest:
            raise Error(
                "LK0305",
                "its bytes in the store are damaged",
                hint="remove the blob from the cache; it is then fetched or built again",
            )


@contextlib.contextmanager
def _told_of(layer: Descriptor) -> Iterator[None]:
    """Name the layer in errors, those of the system too."""
    try:
        yield
    except OSError as error:
        raise files.os_error(error, f"unpack layer {layer.digest}") from error
    except Error as error:
        if layer.digest not in error.message:
            error.message = f"layer {layer.digest}: {error.message}"
        raise
