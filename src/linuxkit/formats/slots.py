"""A disk that can be updated: versions beside each other, and who counts their starts.

Each is one unified kernel image, which holds all of the system; systemd-boot starts the newest that
is not given up (UAPI group, Boot Loader Specification, "Boot counting").  Firmware starts a program
of ours before it, which starts the machine anew when a version was not loaded.  What happens on the
machine is the business of ``packages/update``.  What is to outlive versions has a partition of its
own, which no update touches.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.disk import authenticode, fat, partitions, update
from linuxkit.disk.partitions import Label, Partition
from linuxkit.formats import efi, identity, ownprogram, payload, state

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.build.artifact import BootFacts
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.formats.payload import Payload

PARTITION = "linuxkit-esp"
"""By this name the machine finds it."""
_LABEL = "LINUXKIT"
_SPARE = 16 << 20  # bytes that later versions may be larger by
_SETTINGS = b"timeout 0\neditor no\n"


class RawAb:
    """``NAME-ab.img``: an ESP with systemd-boot, this version and room for another; and state."""

    def emit(self, system: System, out: Output, options: Options) -> BootFacts:
        """Write the file.  Raises LK0741 to LK0743, LK0745, LK0762, LK0763 and what tools raise."""
        found = payload.whole(system, options)
        number = update.required_version(found.cmdline)
        with system.store.temporary() as esp, system.store.temporary() as data:
            size = _write(system, found, number, esp, options)
            uuid = identity.uuid(system, "esp")
            table = [
                Partition(partitions.ESP, size, esp, PARTITION, uuid),
                state.partition(system, data, options),
            ]
            label = Label("gpt", identity.uuid(system, "disk"))
            file = out.file("disk", "-ab.img")
            partitions.write(file, table, label, options.tools, options.extent)
        return efi.facts(system, found, "uefi")


def _write(
    system: System, found: Payload, number: str, out: BinaryIO, options: Options
) -> int:
    """The file system that firmware, systemd-boot and the updating machine share."""
    with contextlib.ExitStack() as stack:
        image = stack.enter_context(system.store.temporary())
        efi.write_uki(system, found, image, options)
        image.flush()
        table = update.read(image, number, system.plan.arch)
        if options.signer:
            table = table._replace(signer=options.signer.certificate.fingerprint)
        content = {update.entry_name(number): (image, table.size)}
        arch = system.plan.arch
        loader = options.tools.data("loader", arch)
        programs = {
            efi.loader_path(system): ownprogram.read(arch, "chainload"),
            f"EFI/systemd/{loader.name}": loader.read_bytes(),
        }
        texts = {"loader/loader.conf": _SETTINGS, update.table_name(number): table.encode()}
        for path, data in (programs | texts).items():
            file = stack.enter_context(system.store.temporary())
            file.write(data)
            if path in programs and options.signer:
                authenticode.sign(file, options.signer)
            file.flush()
            content[path] = (file, file.seek(0, 2))
        serial = identity.serial(system, "esp")
        room = table.size + _SPARE
        return fat.make(content, out, _LABEL, serial, options.tools, room=room)
