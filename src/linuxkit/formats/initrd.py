"""Kernel, initramfs and command line: as three files, or as three members of a tar.

The initramfs is the microcode, uncompressed and first as the kernel wants it (Documentation/
arch/x86/microcode), and then a concatenation of cached compressed pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import console, least_ram_mib, machine, require
from linuxkit.build.plan import EPOCH
from linuxkit.disk import authenticode
from linuxkit.formats.output import Blobs, copy_blob
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.oci.store import Blob


class KernelInitrd:
    """``NAME-kernel``, ``NAME-initrd.img``, ``NAME-cmdline``."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts | None:
        """Write the files; the kernel's two only where there is a kernel."""
        pieces = _pieces(system, options)
        kernel = system.kernel
        require(system, "direct", options.compression.name)
        if kernel:
            program = out.file("kernel", "-kernel")
            copy_blob(system.store, kernel.binary.blob, program)
            if options.signer:
                authenticode.sign(program, options.signer)
                events.note(
                    "only the kernel is signed: neither its command line nor the initramfs; "
                    "the format uki has all three in one",
                    level="warning", code="LK0776",
                )  # fmt: skip
        initrd = out.file("initrd", "-initrd.img")
        if kernel and kernel.ucode:
            copy_blob(system.store, kernel.ucode.blob, initrd)
            # A cpio archive that is not compressed has to start at a multiple of four.
            initrd.write(bytes(-initrd.tell() % 4))
        for piece in pieces:
            copy_blob(system.store, piece, initrd)
        if kernel is None:
            return None
        out.file("cmdline", "-cmdline").write(kernel.cmdline.encode())
        return BootFacts(
            firmware="direct",
            root="initramfs",
            cmdline=kernel.cmdline,
            console=console(kernel.cmdline),
            least_ram_mib=least_ram_mib(system, initrd.tell()),
            machine=machine(system),
        )


class TarKernelInitrd:
    """``NAME-initrd.tar`` with ``kernel``, ``initrd.img``, ``cmdline`` and ``ucode.cpio``."""

    def emit(self, system: System, out: Output, options: Options) -> None:
        """Write the one file."""
        store, kernel = system.store, system.kernel
        writer = tar.Writer(out.file("tar", "-initrd.tar"))

        def add(name: str, content: Blobs | Bytes) -> None:
            writer.add(Entry(name, Kind.FILE, 0o644, mtime=EPOCH, content=content))

        if kernel:
            add("kernel", Blobs(store, (kernel.binary.blob,)))
        add("initrd.img", Blobs(store, _pieces(system, options)))
        if kernel:
            add("cmdline", Bytes(kernel.cmdline.encode()))
            if kernel.ucode:
                add("ucode.cpio", Blobs(store, (kernel.ucode.blob,)))
        writer.close()


def _pieces(system: System, options: Options) -> tuple[Blob, ...]:
    return tuple(system.piece(segment, options.compression) for segment in system.segments)
