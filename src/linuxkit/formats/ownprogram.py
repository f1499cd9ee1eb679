"""Our own programs, as they are built for machines, for formats that put one in."""

from __future__ import annotations

from linuxkit.base import resources
from linuxkit.base.errors import Error


def read(arch: str, name: str) -> bytes:
    """The program ``name`` for the OCI architecture ``arch``.  Raises LK0741."""
    try:
        return resources.guest(arch, name).read_bytes()
    except FileNotFoundError:
        raise Error(
            "LK0741", f"the program {name}, which the image starts with, is not there for {arch}",
            hint=f"in a source checkout: python scripts/build_guest.py {arch}",
        ) from None  # fmt: skip
