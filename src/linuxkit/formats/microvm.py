"""For monitors of micro virtual machines, which load an unpacked kernel and have no firmware."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.build import kernel as kernels
from linuxkit.build.artifact import BootFacts
from linuxkit.build.check import console, least_ram_of_disk_root, machine
from linuxkit.formats import diskroot, payload, rootfs
from linuxkit.formats.output import copy_blob

if TYPE_CHECKING:
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output


class Microvm:
    """``NAME-vmlinux``, ``NAME-erofs.img``, an initramfs, and ``NAME-firecracker.json``."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the files.  Raises LK0707, LK0740, LK0741, LK0745 and what the tools raise."""
        kernel = payload.kernel_of(system)
        root = diskroot.stored(system, "erofs", options)
        found = payload.staged(system, root, options)
        image = out.file("kernel", "-vmlinux")
        with system.store.open(kernel.binary.blob.digest, kernel.binary.blob.size) as source:
            kernels.unpack(source, kernel.binary.blob.size, system.store, image)
        blob = rootfs.root(system, "erofs", options.tools)
        copy_blob(system.store, blob, out.file("root", "-erofs.img"))
        if found.initrd.size:
            out.file("initrd", "-microvm-initrd.img").writelines(found.initrd.chunks())
        least = least_ram_of_disk_root(system, found.initrd.size)
        settings = _firecracker(out.name, found, least)
        out.file("settings", "-firecracker.json").write(settings)
        facts = BootFacts("direct", "erofs", found.cmdline, console(found.cmdline), least)
        return facts._replace(machine=machine(system))


def _firecracker(name: str, found: payload.Payload, least_ram_mib: int) -> bytes:
    """The machine in the words of Firecracker's --config-file."""
    source: dict[str, object] = {
        "kernel_image_path": f"{name}-vmlinux", "boot_args": found.cmdline,
    }  # fmt: skip
    if found.initrd.size:
        source["initrd_path"] = f"{name}-microvm-initrd.img"
    value = {
        "boot-source": source,
        "drives": [
            {
                "drive_id": "root", "path_on_host": f"{name}-erofs.img", "is_root_device": False,
                "is_read_only": True,
            }
        ],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": max(128, least_ram_mib)},
    }  # fmt: skip
    return (json.dumps(value, indent=2) + "\n").encode()
