"""The disk that starts anywhere, in the containers that hypervisors and clouds want.

On amd64 it starts from a BIOS and from UEFI, so one image serves every kind of machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from linuxkit.build.plan import EPOCH
from linuxkit.disk import ovf, vhd, vhdx, vmdk
from linuxkit.formats import disk, identity
from linuxkit.formats.output import copy_blob
from linuxkit.tree import compress, tar
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.build.artifact import BootFacts
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.tree.entry import Content

_GIB = 1 << 30
_GZIP_LEVEL = 1  # the system is compressed, and all else is empty


class _Container(ABC):
    """One file ``NAME`` + ``suffix`` with the disk in it."""

    suffix = ""
    role = "disk"

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0742 to LK0746 and what the tools raise."""
        blob, facts = disk.disk(system, disk.for_any(system), options)
        with system.store.open(blob.digest, blob.size) as source:
            self.write(system, source, blob.size, out.file(self.role, self.suffix))
        return facts

    @abstractmethod
    def write(self, system: System, source: BinaryIO, size: int, out: BinaryIO) -> None:
        """Write the raw disk ``source`` in the container's form."""


class Vmdk(_Container):
    """``NAME.vmdk``, in VMware's form for transport."""

    suffix = ".vmdk"

    def write(self, system: System, source: BinaryIO, size: int, out: BinaryIO) -> None:
        """Compress it."""
        vmdk.write(source, size, out, _vmdk_of(system))


def _vmdk_of(system: System) -> vmdk.Disk:
    return vmdk.Disk("linuxkit-disk.vmdk", identity.serial(system, "vmdk"))


def _vhd_of(system: System) -> vhd.Identity:
    return vhd.Identity(identity.raw(system, "vhd")[:16], EPOCH)


class Vhd(_Container):
    """``NAME.vhd``, fixed, as Azure wants it."""

    suffix = ".vhd"

    def write(self, system: System, source: BinaryIO, size: int, out: BinaryIO) -> None:
        """Add the footer."""
        vhd.write_fixed(source, size, out, _vhd_of(system))


class DynamicVhd(_Container):
    """``NAME.vhd`` with only the blocks that hold anything."""

    suffix = ".vhd"

    def write(self, system: System, source: BinaryIO, size: int, out: BinaryIO) -> None:
        """Leave out what is empty."""
        vhd.write_dynamic(source, size, out, _vhd_of(system))


class Vhdx(_Container):
    """``NAME.vhdx``, for Hyper-V."""

    suffix = ".vhdx"

    def write(self, system: System, source: BinaryIO, size: int, out: BinaryIO) -> None:
        """Leave out what is empty."""
        vhdx.write(source, size, out, identity.raw(system, "vhdx")[:16])


class Aws:
    """``NAME.raw``: the disk itself, to be imported as a snapshot."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0742 to LK0746 and what the tools raise."""
        blob, facts = disk.disk(system, disk.for_any(system), options)
        copy_blob(system.store, blob, out.file("disk", ".raw"))
        return facts


class Gcp:
    """``NAME.img.tar.gz``: ``disk.raw`` of whole GiB in a tar of the old GNU form.

    https://cloud.google.com/compute/docs/import/import-existing-image has these rules.
    """

    def emit(self, system: System, out: Output, options: Options) -> None:
        """Write the file.  Raises LK0742 to LK0746 and what the tools raise."""
        found, firmware = disk.content(system, options), disk.for_any(system)
        with system.store.temporary() as scratch:
            extent = options.extent._replace(unit=_GIB)
            size = disk.make(system, firmware, found, scratch, options, extent=extent)
            member = tarfile.TarInfo("disk.raw")
            member.size, member.mtime = size, EPOCH
            packed = compress.open_writer("gzip", _GZIP_LEVEL, out.file("archive", ".img.tar.gz"))
            packed.write(member.tobuf(tarfile.GNU_FORMAT))
            scratch.seek(0)
            while data := scratch.read(1 << 20):
                packed.write(data)
            packed.write(bytes(-size % 512 + 1024))
            packed.close()


class Ova:
    """``NAME.ova``: the disk and a description of its machine, for VMware and VirtualBox."""

    def emit(self, system: System, out: Output, options: Options) -> None:
        """Write the file.  Raises LK0742 to LK0746 and what the tools raise."""
        blob, facts = disk.disk(system, disk.for_any(system), options)
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(system.store.open(blob.digest, blob.size))
            packed = stack.enter_context(system.store.temporary())
            vmdk.write(source, blob.size, packed, _vmdk_of(system))
            packed.flush()
            content = Slice(packed.fileno(), 0, packed.seek(0, 2))
            machine = ovf.Machine(
                capacity=blob.size, packed=content.size, memory_mib=max(512, facts.least_ram_mib),
                efi=facts.firmware == "uefi",
            )  # fmt: skip
            description = ovf.describe(machine).encode()
            sums = {ovf.DESCRIPTION: hashlib.sha256(description).hexdigest()}
            sums[ovf.DISK] = _sha256(content)
            manifest = "".join(f"SHA256({name})= {text}\n" for name, text in sums.items()).encode()
            tar.write(_members(description, manifest, content), out.file("ova", ".ova"))


def _sha256(content: Slice) -> str:
    found = hashlib.sha256()
    for chunk in content.chunks():
        found.update(chunk)
    return found.hexdigest()


def _members(description: bytes, manifest: bytes, content: Slice) -> Iterator[Entry]:
    """The description has to be the first, so that readers of streams know what comes."""
    texts = (ovf.DESCRIPTION, description), (ovf.MANIFEST, manifest)
    parts: list[tuple[str, Content]] = [(name, Bytes(text)) for name, text in texts]
    parts.append((ovf.DISK, content))
    for name, data in parts:
        yield Entry(name, Kind.FILE, 0o644, mtime=EPOCH, content=data)
