"""The machine of a service with ``isolation: vm``: from a built system to files that QEMU reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.build import check
from linuxkit.build.plan import REWRITER, DataSegment, Item
from linuxkit.oci.store import Blob
from linuxkit.tree import compress
from linuxkit.tree.entry import CHUNK

if TYPE_CHECKING:
    from linuxkit.build.plan import MachineSegment
    from linuxkit.build.system import System

_COMPRESSION = "zstd"


def files(segment: MachineSegment, inner: System) -> DataSegment:
    """``kernel`` and ``initrd`` in the segment's folder.

    Raises LK0749 for a kernel that cannot start so, and LK0733 where the machine's memory is too
    small to start in.
    """
    if inner.kernel is None:
        raise ValueError(segment.name)  # a mistake of ours: such a system has one
    check.require(inner, "direct", _COMPRESSION)
    initrd = _initrd(inner)
    least = check.least_ram_mib(inner, initrd.size)
    if segment.memory < least:
        raise Error(
            "LK0733",
            f"{segment.name} has {segment.memory} MiB of memory, and needs {least} to start",
            hint=f"write `machine: {{memory: {least}}}` at the service, or more for what it does",
        )
    place, origin = segment.folder, segment.origin
    kernel = inner.kernel.binary.blob
    return DataSegment(
        segment.name,
        (
            Item(place, "dir", 0o755, origin),
            Item(f"{place}/kernel", "file", 0o644, origin, blob=Blob(kernel.digest, kernel.size)),
            Item(f"{place}/initrd", "file", 0o644, origin, blob=initrd),
        ),
    )


def _initrd(inner: System) -> Blob:
    """The pieces of the system one after the other, as one blob of the store."""
    store, compression = inner.store, compress.parse(_COMPRESSION)
    pieces = [inner.piece(segment, compression) for segment in inner.segments]
    key = digests.of_value(["initrd", REWRITER, [piece.digest for piece in pieces]])
    done = store.derived(key, "initrd")
    if done is not None:
        return done
    with store.writer() as out:
        for piece in pieces:
            with store.open(piece.digest, piece.size) as source:
                while chunk := source.read(CHUNK):
                    out.write(chunk)
    store.set_derived(key, "initrd", out.digest, out.size)
    return Blob(out.digest, out.size)
