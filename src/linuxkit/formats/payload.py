"""What boot loaders start: a kernel, an initramfs and a command line, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.build import drivers
from linuxkit.build.check import configuration
from linuxkit.formats import stage
from linuxkit.formats.output import Blobs
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.build.kernel import KernelParts
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.stage import Root
    from linuxkit.oci.store import Blob
    from linuxkit.tree.entry import Content

_DEVICE = "/dev/vda"  # of a machine's only disk, as virtio names it


class Payload(NamedTuple):
    """``initrd`` is empty where the kernel needs none."""

    kernel: Content
    initrd: Content
    cmdline: str


class Joined(NamedTuple):
    """Contents one after the other, as one."""

    contents: Sequence[Content]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(each.size for each in self.contents)

    def chunks(self) -> Iterator[bytes]:
        """The bytes of one after the other."""
        for each in self.contents:
            yield from each.chunks()


def kernel_of(system: System) -> KernelParts:
    """The kernel, which everything that boots needs.  Raises LK0745."""
    if system.kernel is None:
        raise Error(
            "LK0745", "the system has no kernel, so nothing of it can boot",
            hint="add a `kernel:` section, or build the format tar",
        )  # fmt: skip
    return system.kernel


def whole(system: System, options: Options) -> Payload:
    """The kernel with the whole system as initramfs.  Raises LK0745."""
    kernel = kernel_of(system)
    pieces = tuple(system.piece(segment, options.compression) for segment in system.segments)
    return _payload(system, kernel, pieces, kernel.cmdline)


def staged(system: System, root: Root, options: Options) -> Payload:
    """The kernel with what it needs to find ``root`` on a disk.  Raises LK0740, LK0741, LK0745."""
    kernel = kernel_of(system)
    # What a CD is called depends on whether it is one or a stick with its image.
    if root.verity or root.cd or stage.needed(system):
        return _payload(system, kernel, (stage.make(system, root, options),), kernel.cmdline)
    stage.check(drivers.NOTHING, root, configuration(system))
    words = [kernel.cmdline] if kernel.cmdline else []
    if not any(word.startswith("root=") for word in kernel.cmdline.split()):
        words.append(f"root={_DEVICE}")
    words += [f"rootfstype={root.kind}", "ro"]
    if "init=" not in kernel.cmdline:
        words.append(f"init={system.plan.init or '/init'}")
    return _payload(system, kernel, (), " ".join(words))


def _payload(
    system: System, kernel: KernelParts, pieces: Sequence[Blob], cmdline: str
) -> Payload:
    contents: list[Content] = []
    if kernel.ucode:
        contents.append(Blobs(system.store, (kernel.ucode.blob,)))
        # A cpio archive that is not compressed has to start at a multiple of four.
        contents.append(Bytes(bytes(-kernel.ucode.blob.size % 4)))
    contents.append(Blobs(system.store, pieces))
    return Payload(Blobs(system.store, (kernel.binary.blob,)), Joined(contents), cmdline)
