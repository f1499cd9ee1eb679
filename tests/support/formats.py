"""What the tests prove of every output format; the table in docs/reference/formats.md is made of it."""

from __future__ import annotations

from linuxkit import formats

MEMORY = "(rootfs|tmpfs)"
# Formats that are booted, for amd64, and the kind of their root in /proc/mounts.
BOOTED = {
    "kernel+squashfs": "squashfs",
    "kernel+erofs": "erofs",
    "kernel+iso": "iso9660",
    "iso-bios": "iso9660",
    "qcow2-bios": MEMORY,
    "iso-efi": "iso9660",
    "raw-efi": MEMORY,
    "raw-verity": "erofs",
    "vhdx": MEMORY,
}
BOOTED_ELSEWHERE = {
    "kernel+initrd": "amd64, arm64",
    "raw-efi": "amd64, arm64",
    "raw-bios": "as qcow2-bios",
    "raw-ab": "amd64",
    "qcow2-efi": "as raw-efi",
    "aws": "as vhdx",
    "gcp": "as vhdx",
    "vmdk": "as vhdx",
    "vhd": "as vhdx",
    "dynamic-vhd": "as vhdx",
    "ova": "as vhdx",
}
"""Booted by another test, or the same disk as that of another format, which a reader has compared."""

READERS = {
    "kernel+initrd": "cpio",
    "tar": "tar",
    "tar-kernel-initrd": "tar",
    "docker": "tar",
    "kernel+squashfs": "unsquashfs",
    "kernel+erofs": "fsck.erofs",
    "kernel+iso": "xorriso",
    "iso-bios": "xorriso",
    "iso-efi": "xorriso, fsck.vfat",
    "iso-efi-initrd": "xorriso, fsck.vfat",
    "iso-hybrid": "xorriso, fsck.vfat",
    "raw-bios": "sfdisk, fsck.vfat, mtools",
    "raw-efi": "sfdisk, fsck.vfat, objdump",
    "qcow2-bios": "qemu-img",
    "qcow2-efi": "qemu-img",
    "vmdk": "qemu-img",
    "vhd": "qemu-img",
    "dynamic-vhd": "qemu-img",
    "vhdx": "qemu-img",
    "aws": "sfdisk, fsck.vfat",
    "gcp": "tar, sfdisk",
    "ova": "tar, qemu-img",
    "raw-verity": "sfdisk, veritysetup, fsck.erofs, e2fsck",
    "microvm": "readelf, fsck.erofs",
    "raw-ab": "sfdisk, fsck.vfat, mtools, objdump",
    "oci": "skopeo",
    "uki": "objdump",
}

FIRMWARE = {
    "kernel+initrd": "kernel loaded directly", "kernel+squashfs": "kernel loaded directly",
    "kernel+erofs": "kernel loaded directly", "kernel+iso": "kernel loaded directly",
    "microvm": "kernel loaded directly", "iso-bios": "BIOS", "raw-bios": "BIOS",
    "qcow2-bios": "BIOS", "iso-efi": "UEFI", "iso-efi-initrd": "UEFI", "raw-efi": "UEFI",
    "qcow2-efi": "UEFI", "raw-verity": "UEFI", "uki": "UEFI", "raw-ab": "UEFI", "iso-hybrid": "BIOS and UEFI",
    "vmdk": "BIOS and UEFI", "vhd": "BIOS and UEFI", "dynamic-vhd": "BIOS and UEFI",
    "vhdx": "BIOS and UEFI", "aws": "BIOS and UEFI", "gcp": "BIOS and UEFI",
    "ova": "BIOS and UEFI",
}  # fmt: skip
ONLY_AMD64 = {"iso-bios", "raw-bios", "qcow2-bios", "iso-hybrid"}

_CLASHING = {"iso-bios", "dynamic-vhd"}
NAMES = tuple(name for name, _ in formats.summaries())
GROUPS = (
    tuple(name for name in NAMES if name not in _CLASHING), tuple(sorted(_CLASHING)),
)  # fmt: skip
"""Formats that can be written side by side."""


def table() -> str:
    """The table of the documentation."""
    rows = ["| Format | Architectures | Starts from | Twice the same | Read by | Booted |"]
    rows.append("|---|---|---|---|---|---|")
    for name in NAMES:
        arches = "amd64" if name in ONLY_AMD64 else "amd64, arm64"
        booted = BOOTED_ELSEWHERE.get(name, "amd64" if name in BOOTED else "")
        same = "yes" if any(name in group for group in GROUPS) else "no"
        cells = [f"`{name}`", arches, FIRMWARE.get(name, ""), same, READERS[name], booted]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
