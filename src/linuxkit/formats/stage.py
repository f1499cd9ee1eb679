"""The small initramfs of a system whose root lies on a disk: drivers, and where to find the root.

The guest's side is ``guest/stage``.  Kernels as distributions build them have the drivers of disks
and file systems as modules, so something has to load them before the root can be mounted.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.build import drivers
from linuxkit.build.check import configuration
from linuxkit.build.plan import EPOCH
from linuxkit.formats import guard, ownprogram, rootfs
from linuxkit.tree import compress, cpio
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from linuxkit.build.drivers import Drivers
    from linuxkit.build.kconfig import Config
    from linuxkit.build.system import System
    from linuxkit.disk.filesystem import Mark
    from linuxkit.formats import Options
    from linuxkit.formats.guard import Guard
    from linuxkit.oci.store import Blob

_MODULES = {"erofs": "erofs", "squashfs": "squashfs", "iso9660": "isofs"}
# Every way to a disk that some machine has, in the order of loading: transports, then disks.
_BUSES = (
    "virtio_pci", "virtio_mmio", "xhci_pci", "ehci_pci", "ahci", "ata_piix", "nvme", "hv_storvsc",
    "vmw_pvscsi", "mptspi", "mpt3sas", "xen_blkfront", "virtio_blk", "virtio_scsi", "uas",
    "usb_storage", "sdhci_pci", "sdhci_iproc", "bcm2835", "mmc_block", "sd_mod", "sr_mod",
)  # fmt: skip
_PANIC = "pvpanic_pci"  # tells a hypervisor of panics; a root that fails its check leads to one
_SYMBOLS = {
    "erofs": "EROFS_FS", "squashfs": "SQUASHFS", "isofs": "ISO9660_FS", "virtio_blk": "VIRTIO_BLK",
    "sd_mod": "BLK_DEV_SD", "nvme": "BLK_DEV_NVME", "xen_blkfront": "XEN_BLKDEV_FRONTEND",
    "mmc_block": "MMC_BLOCK", "sr_mod": "BLK_DEV_SR", "dm_verity": "DM_VERITY",
}  # fmt: skip
_DISKS = ("virtio_blk", "sd_mod", "nvme", "xen_blkfront", "mmc_block")
_CDS = ("sr_mod",)
_SIGNATURE, _POLICY = "root.p7s", "policy.p7b"


class Root(NamedTuple):
    """A root file system on a disk."""

    kind: str  # as mount(2) calls it
    mark: Mark
    cd: bool = False  # the disk is a CD-ROM, or a stick with the image of one
    verity: Verity | None = None


class Verity(NamedTuple):
    """A hash tree over the root, on a partition of its own."""

    mark: Mark
    sectors: int  # of the root
    parameters: str  # of the device mapper's target, behind the two devices
    guard: Guard | None = None  # only what is signed may run


def needed(system: System) -> bool:
    """Whether the kernel has modules at all; one that has none mounts its root itself."""
    return any(segment.name == drivers.SEGMENT for segment in system.segments)


def make(system: System, root: Root, options: Options) -> Blob:
    """The initramfs for ``root``.

    Raises LK0740 when the kernel cannot drive the file system or any disk, LK0741 when there is
    no guest program for the architecture.
    """
    packing = options.compression

    def write(out: BinaryIO) -> None:
        with contextlib.ExitStack() as stack:
            found = drivers.NOTHING
            for segment in system.segments:
                if segment.name == drivers.SEGMENT:
                    blob = segment.tar
                    source = stack.enter_context(system.store.open(blob.digest, blob.size))
                    found = drivers.read(source)
            check(found, root, configuration(system))
            packed = compress.open_writer(packing.name, packing.level, out)
            cpio.write(_entries(system, root, found), packed)
            packed.close()

    wanted = [list(record) for record in _records(system, root, {})]
    files = [*_files(system, root).values()]
    about = [wanted, root.cd, *map(digests.of_bytes, files)]
    return rootfs.kept(system, f"stage.{packing.form}", about, write)


def check(found: Drivers, root: Root, config: Config | None) -> None:
    """Whether this kernel can get at ``root``: by its modules, or what is built into it.

    Raises LK0740.
    """

    def has(name: str) -> bool:
        if config is not None and config.get(_SYMBOLS[name]) == "y":
            return True
        return found.has(name) if found.known or config is None else False

    wanted = [[_MODULES[root.kind]], _CDS if root.cd else _DISKS]
    if root.verity:
        wanted.append(["dm_verity"])
    for names in wanted:
        if not any(map(has, names)):
            raise Error(
                "LK0740",
                f"this kernel cannot start from such an image: it has no {' or '.join(names)}",
                hint='take a kernel with that driver ("@pkg:kernel-full" has more), or a format '
                "with an initramfs",
            )


def _entries(system: System, root: Root, found: Drivers) -> Iterator[Entry]:
    names = [_PANIC, *_BUSES, _MODULES[root.kind], *(["dm_verity"] if root.verity else [])]
    modules = found.closure(names)
    paths = {f"m/{entry.path.rpartition('/')[2]}": entry for entry in modules}
    for folder in ("dev", "m", "root", "sys"):
        yield Entry(folder, Kind.DIR, 0o755, mtime=EPOCH)
    yield Entry("dev/console", Kind.CHAR, 0o600, mtime=EPOCH, major=5, minor=1)
    for name, data in _files(system, root).items():
        yield Entry(name, Kind.FILE, 0o755, mtime=EPOCH, content=Bytes(data))
    for path, entry in paths.items():
        yield Entry(path, Kind.FILE, 0o644, mtime=EPOCH, content=entry.content)
    under = {path: found.under(drivers.name_of(path)) for path in paths}
    table = Bytes(encode(_records(system, root, under)))
    yield Entry("stage.table", Kind.FILE, 0o644, mtime=EPOCH, content=table)


def _files(system: System, root: Root) -> dict[str, bytes]:
    """The program, and what it hands to the kernel."""
    files = {"init": ownprogram.read(system.plan.arch, "stage")}
    if root.verity and root.verity.guard:
        files |= {_SIGNATURE: root.verity.guard.root, _POLICY: root.verity.guard.policy}
    return files


def _records(
    system: System, root: Root, modules: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, ...]]:
    """What the table says; ``modules`` are files, in their order, and which modules each needs."""
    for path, under in modules.items():
        yield ("module", f"/{path}", " ".join(under))
    yield ("find", "root", str(root.mark.offset), root.mark.data.hex())
    if root.verity:
        mark = root.verity.mark
        yield ("find", "hash", str(mark.offset), mark.data.hex())
        if root.verity.guard:
            yield ("key", guard.KEY, f"/{_SIGNATURE}")
        yield ("verity", str(root.verity.sectors), root.verity.parameters)
    yield ("mount", root.kind, "")
    yield ("keep", "/.extra", "/dev/.extra")
    if root.verity and root.verity.guard:
        yield ("policy", guard.NAME, f"/{_POLICY}")
        if not root.verity.guard.trial:
            yield ("enforce",)
            if root.verity.guard.locked:
                yield ("lock",)
    yield ("start", system.plan.init or "/init")


def encode(records: Iterable[tuple[str, ...]]) -> bytes:
    """The table: strings that end with NUL, a record's count of fields before its name."""
    words = ["linuxkit-stage", "2"]
    for name, *fields in records:
        words += [str(len(fields)), name, *fields]
    return b"".join(word.encode() + b"\0" for word in words)
