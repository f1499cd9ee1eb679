"""A stick that puts keys of Secure Boot into a machine: systemd-boot and signed orders."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from typing import TYPE_CHECKING

from linuxkit.disk import certificates, efivars, fat, partitions
from linuxkit.disk.partitions import Extent, Label, Partition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from linuxkit.disk.tools import Tools

# Machines that are virtual take the keys at once; others only when somebody chooses it in the menu,
# for one whose graphics card wants another maker's keys would show nothing any more.
_SETTINGS = b"timeout 20\nsecure-boot-enroll if-safe\n"
_ABOVE = {"PK": "PK", "KEK": "PK", "db": "KEK"}


def updates(folder: Path) -> dict[str, bytes]:
    """The signed orders to take the keys of ``folder``, by role.  Raises LK0770, LK0102."""
    found = certificates.of_folder(folder)
    whose = efivars.owner(found["PK"])
    return {
        role: efivars.update(role, found[role], whose, certificates.signer(folder, above))
        for role, above in _ABOVE.items()
    }


def image(orders: Mapping[str, bytes], arch: str, efi: str, out: BinaryIO, tools: Tools) -> None:
    """Write a raw disk with ``orders`` for machines of ``arch``, to an empty file.

    ``efi`` is what UEFI calls the architecture ("X64").  Raises LK0904 and what the tools raise.
    """
    content = {
        f"EFI/BOOT/BOOT{efi}.EFI": tools.data("loader", arch).read_bytes(),
        "loader/loader.conf": _SETTINGS,
        **{f"loader/keys/auto/{role}.auth": data for role, data in orders.items()},
    }
    name = uuid.uuid5(efivars.GLOBAL, b"".join(orders.values()).hex())
    with contextlib.ExitStack() as stack:
        listed = {}
        for path, data in content.items():
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(data)
            file.flush()
            listed[path] = (file, len(data))
        esp = stack.enter_context(tempfile.TemporaryFile())
        size = fat.make(listed, esp, "KEYS", name.fields[0], tools)
        table = [Partition(partitions.ESP, size, esp, "esp", str(uuid.uuid5(name, "esp")))]
        partitions.write(out, table, Label("gpt", str(name)), tools, Extent())
