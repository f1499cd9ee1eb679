"""The architectures we know, with every name the field has for them, in one table."""

from __future__ import annotations

import os
from typing import NamedTuple

from linuxkit.base.errors import Error, suggestion


class Arch(NamedTuple):
    """One architecture and its names."""

    oci: str  # OCI image-spec and Go: amd64
    kernel: str  # uname -m, QEMU's qemu-system-NAME: x86_64
    debian: str  # Debian's architecture: amd64
    multiarch: str  # Debian's library folder: x86_64-linux-gnu
    zig: str  # zig cc -target
    efi: str  # EFI boot file suffix: BOOTX64.EFI
    console: str  # the usual first serial console


_TABLE = (
    Arch("amd64", "x86_64", "amd64", "x86_64-linux-gnu", "x86_64-linux-musl", "X64", "ttyS0"),
    Arch("arm64", "aarch64", "arm64", "aarch64-linux-gnu", "aarch64-linux-musl", "AA64", "ttyAMA0"),
    Arch(
        "riscv64", "riscv64", "riscv64", "riscv64-linux-gnu", "riscv64-linux-musl", "RISCV64",
        "ttyS0",
    ),
    Arch("s390x", "s390x", "s390x", "s390x-linux-gnu", "s390x-linux-musl", "", "ttysclp0"),
)  # fmt: skip

_BY_NAME = {name: arch for arch in _TABLE for name in (arch.kernel, arch.debian, arch.oci)}


def names() -> tuple[str, ...]:
    """The OCI names of all architectures."""
    return tuple(arch.oci for arch in _TABLE)


def arch(name: str) -> Arch:
    """Look an architecture up by its OCI, kernel or Debian name.  Raises LK0101."""
    try:
        return _BY_NAME[name]
    except KeyError:
        hint = suggestion(name, _BY_NAME) or f"known: {', '.join(names())}"
        raise Error("LK0101", f'unknown architecture "{name}"', hint=hint) from None


def host() -> Arch:
    """The architecture this program runs on.  Raises LK0101 where we know nothing of it."""
    return arch(os.uname().machine)
