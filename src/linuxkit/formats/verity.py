"""A disk whose root file system is read-only and checked block by block against one hash.

The hash is part of the unified kernel image, so whoever vouches for that vouches for all.  The
partitions are those of the UAPI group's Discoverable Partitions Specification.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import configuration, console, least_ram_of_disk_root
from linuxkit.disk import partitions, verity
from linuxkit.disk.filesystem import Mark
from linuxkit.disk.partitions import Label, Partition
from linuxkit.formats import diskroot, efi, guard, identity, payload, rootfs, state
from linuxkit.formats.stage import Verity

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.disk.verity import Tree
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.formats.payload import Payload


class RawVerity:
    """``NAME-verity.img``: ESP, root, its hash tree, and a partition for state."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0740 to LK0745, LK0748, LK0781, what tools raise."""
        arch = system.plan.arch
        if arch not in partitions.ROOT:
            raise Error("LK0748", f"no partition type for a checked root is known for {arch}")
        root = rootfs.root(system, "erofs", options.tools)
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(system.store.open(root.digest, root.size))
            hashes, esp, data = (stack.enter_context(system.store.temporary()) for _ in range(3))
            uuid = identity.raw(system, "verity")[:16]
            salt = identity.raw(system, "salt")
            tree = verity.write(source, root.size, hashes, salt=salt, uuid=uuid)
            found = _payload(system, tree, hashes, options)
            size = efi.write_esp(system, found, esp, options)
            # By the specification two halves of the root hash name its partitions.
            table = [
                Partition(partitions.ESP, size, esp, "esp", identity.uuid(system, "esp")),
                Partition(partitions.ROOT[arch], root.size, source, "root", _uuid(tree.root[:16])),
                Partition(
                    partitions.ROOT_VERITY[arch], hashes.seek(0, 2), hashes, "root-verity",
                    _uuid(tree.root[16:]),
                ),
                state.partition(system, data, options),
            ]  # fmt: skip
            for content in (source, hashes):
                content.seek(0)
            label = Label("gpt", identity.uuid(system, "disk"))
            file = out.file("disk", "-verity.img")
            partitions.write(file, table, label, options.tools, options.extent)
        return BootFacts(
            firmware="uefi",
            root="erofs",
            cmdline=found.cmdline,
            console=console(found.cmdline),
            least_ram_mib=efi.least_ram(found, least_ram_of_disk_root(system, found.initrd.size)),
        )


def _payload(system: System, tree: Tree, hashes: BinaryIO, options: Options) -> Payload:
    """The kernel that knows the root hash, for people to read in its command line too."""
    root = diskroot.stored(system, "erofs", options)
    hashes.seek(0)
    mark = Mark(0, hashes.read(128))
    sectors = tree.blocks * (verity.BLOCK // 512)
    kernel = payload.kernel_of(system)
    held = None
    if options.only_signed and options.signer:
        guard.check(configuration(system), kernel.cmdline)
        trial, holders = guard.is_trial(kernel.cmdline), guard.holders(system.plan)
        if holders and not trial:
            events.note(
                f"who is root in {', '.join(holders)} can let other programs run than signed ones: "
                "CAP_MAC_ADMIN allows it",
                level="warning", code="LK0790",
            )  # fmt: skip
        held = guard.make(tree.root, options.signer, trial=trial, locked=not holders)
    parameters = tree.parameters(guard.KEY if held else "")
    guarded = root._replace(verity=Verity(mark, sectors, parameters, held))
    found = payload.staged(system, guarded, options)
    return found._replace(cmdline=f"{found.cmdline} roothash={tree.root.hex()}".strip())


def _uuid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
