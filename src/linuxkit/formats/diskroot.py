"""A kernel, and the root file system as the image of a disk that the machine gets beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import console, least_ram_of_disk_root, machine
from linuxkit.disk import filesystem
from linuxkit.formats import payload, rootfs
from linuxkit.formats.cd import cd_mark, write_tree
from linuxkit.formats.output import copy_blob
from linuxkit.formats.stage import Root

if TYPE_CHECKING:
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output


class _KernelRoot:
    """``NAME-kernel``, ``NAME-cmdline``, the root, and an initramfs if the kernel has modules."""

    kind = ""
    suffix = ""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the files.  Raises LK0740, LK0741, LK0745 and what the tools raise."""
        kernel = payload.kernel_of(system)
        root = self.write(system, out, options)
        found = payload.staged(system, root, options)
        out.file("kernel", "-kernel").writelines(found.kernel.chunks())
        out.file("cmdline", "-cmdline").write(kernel.cmdline.encode())
        if found.initrd.size:
            suffix = f"-{self.suffix.partition('.')[0].strip('-') or 'iso'}-initrd.img"
            out.file("initrd", suffix).writelines(found.initrd.chunks())
        return BootFacts(
            firmware="direct",
            root=self.kind,
            cmdline=found.cmdline,
            console=console(found.cmdline),
            least_ram_mib=least_ram_of_disk_root(system, found.initrd.size),
            machine=machine(system),
        )

    def write(self, system: System, out: Output, options: Options, /) -> Root:
        """Write the root file system."""
        blob = rootfs.root(system, self.kind, options.tools)
        copy_blob(system.store, blob, out.file("root", self.suffix))
        return stored(system, self.kind, options)


def stored(system: System, kind: str, options: Options) -> Root:
    """The root file system of ``kind`` in the store, as what the guest looks for."""
    blob = rootfs.root(system, kind, options.tools)
    with system.store.open(blob.digest, blob.size) as source:
        return Root(kind, filesystem.mark(kind, source))


class KernelSquashfs(_KernelRoot):
    """With ``NAME-squashfs.img``."""

    kind = "squashfs"
    suffix = "-squashfs.img"


class KernelErofs(_KernelRoot):
    """With ``NAME-erofs.img``."""

    kind = "erofs"
    suffix = "-erofs.img"


class KernelIso(_KernelRoot):
    """With ``NAME.iso``, a CD-ROM image that only holds the tree."""

    kind = "iso9660"
    suffix = ".iso"

    def write(self, system: System, out: Output, _options: Options, /) -> Root:
        """Write the CD-ROM image."""
        file = out.file("cd", self.suffix)
        with rootfs.merged(system) as tree:
            write_tree(system, tree.entries(), file)
        return Root(self.kind, cd_mark(system), cd=True)
