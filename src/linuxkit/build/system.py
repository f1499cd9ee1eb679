"""A plan with its segments in the store: what every format reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import events
from linuxkit.oci.store import Blob
from linuxkit.tree import compress, cpio, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.base.digest import Digest
    from linuxkit.build.kernel import KernelParts
    from linuxkit.build.plan import Plan
    from linuxkit.oci.store import Store
    from linuxkit.tree.compress import Compression
    from linuxkit.tree.entry import Entry


class Built(NamedTuple):
    """A segment in the store; ``tar`` is its tree without the archive's end blocks."""

    name: str
    key: Digest
    tar: Blob


class Size(NamedTuple):
    """What one part adds: ``tree`` bytes unpacked (as tar), ``packed`` bytes in an initrd."""

    part: str
    tree: int
    packed: int


class System(NamedTuple):
    """Everything that formats need; the order of ``segments`` is the order of merging."""

    plan: Plan
    store: Store
    kernel: KernelParts | None
    segments: tuple[Built, ...]

    def piece(self, segment: Built, compression: Compression) -> Blob:
        """The segment as one compressed cpio archive; made once, then kept in the store.

        An initramfs is a concatenation of such pieces (Linux, buffer-format.rst).
        """
        form = f"cpio.{compression.form}"
        found = self.store.derived(segment.key, form)
        if found is not None:
            return found
        with (
            events.task("compress", segment.name, segment.tar.size),
            self.store.open(segment.tar.digest, segment.tar.size) as source,
            self.store.writer() as out,
        ):
            packed = compress.open_writer(compression.name, compression.level, out)
            result = cpio.write(_without_boot(tar.read(source.fileno())), packed)
            packed.close()
        if result.dropped_xattrs:
            events.note(
                f"{segment.name}: an initramfs cannot carry extended attributes; "
                f"{result.dropped_xattrs} left out",
                level="warning",
            )
        self.store.set_derived(segment.key, form, out.digest, out.size)
        return Blob(out.digest, out.size)

    def sizes(self, compression: Compression) -> tuple[Size, ...]:
        """How much each part adds, in order of merging."""
        rows = []
        if self.kernel:
            size = self.kernel.binary.blob.size
            rows.append(Size("kernel", size, size))
            if self.kernel.ucode:
                size = self.kernel.ucode.blob.size
                rows.append(Size("microcode", size, size))
        rows += [
            Size(s.name, s.tar.size, self.piece(s, compression).size) for s in self.segments
        ]
        return tuple(rows)


def _without_boot(entries: Iterator[Entry]) -> Iterator[Entry]:
    """What boot loaders read beside the initramfs need not lie in it once more."""
    return (entry for entry in entries if not entry.path.startswith("boot/"))

