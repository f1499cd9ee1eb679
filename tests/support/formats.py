"""The output formats, as tests go through them."""

from __future__ import annotations

from linuxkit import formats

CARDS = ("rpi", "rpi3")
"""For boards with arm64, from the kernel "kernel-rpi"."""
ONLY_AMD64 = {"iso-bios", "raw-bios", "qcow2-bios", "iso-hybrid"}
_CLASHING = {"iso-bios", "dynamic-vhd"}
NAMES = tuple(name for name, _ in formats.summaries())
GROUPS = (
    tuple(name for name in NAMES if name not in {*_CLASHING, *CARDS}), tuple(sorted(_CLASHING)),
)  # fmt: skip
"""Formats that can be written side by side."""
