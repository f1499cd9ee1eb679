"""The programs and data files that disk images and machines are made with, and who has them.

``Tools`` is what the caller hands in: pinned ones of our own (``recipes.toolroot``), or the host's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from linuxkit.base import platform, proc
from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EPOCH = "1492533000"
"""The time that tools are told, as text: that of everything we make (``build.plan.EPOCH``)."""


class Program(NamedTuple):
    """A program: the tool that brings it, its path there, the Debian package that has it."""

    tool: str
    path: str
    package: str
    settings: tuple[tuple[str, str], ...] = ()  # environment variables that name files of the tool


PROGRAMS: Mapping[str, Program] = {
    "mkfs.erofs": Program("erofs", "usr/bin/mkfs.erofs", "erofs-utils"),
    "fsck.erofs": Program("erofs", "usr/bin/fsck.erofs", "erofs-utils"),
    "dump.erofs": Program("erofs", "usr/bin/dump.erofs", "erofs-utils"),
    "tar2sqfs": Program("squashfs", "usr/bin/tar2sqfs", "squashfs-tools-ng"),
    "mke2fs": Program(
        "ext4", "usr/sbin/mke2fs", "e2fsprogs", (("MKE2FS_CONFIG", "etc/mke2fs.conf"),)
    ),
    "mkfs.fat": Program("fat", "usr/sbin/mkfs.fat", "dosfstools"),
    "mtools": Program("fat", "usr/bin/mtools", "mtools"),
    "sfdisk": Program("partitions", "usr/sbin/sfdisk", "fdisk"),
    "qemu-img": Program("qemu-img", "usr/bin/qemu-img", "qemu-utils"),
    "grub-mkimage": Program("grub", "usr/bin/grub-mkimage", "grub-common"),
    "bwrap": Program("uml", "usr/bin/bwrap", "bubblewrap"),
    "passt": Program("uml", "usr/bin/passt", "passt"),
}


class Data(NamedTuple):
    """A data file or folder for one architecture: as :class:`Program`."""

    tool: str
    path: str
    package: str


DATA: Mapping[tuple[str, str], Data] = {
    **{
        (name, arch): Data(
            "systemd-boot",
            f"usr/lib/systemd/boot/efi/{file.format(platform.arch(arch).efi.lower())}",
            "systemd-boot-efi",
        )
        for name, file in (("stub", "linux{}.efi.stub"), ("loader", "systemd-boot{}.efi"))
        for arch in ("amd64", "arm64")
    },
    ("raspberry-pi", "arm64"): Data("raspberry-pi", "usr/lib/raspi-firmware", "raspi-firmware"),
    ("raspberry-pi-licence", "arm64"): Data(
        "raspberry-pi", "usr/share/doc/raspi-firmware/copyright", "raspi-firmware"
    ),
    ("u-boot-rpi3", "arm64"): Data(
        "raspberry-pi", "usr/lib/u-boot/rpi_3/u-boot.bin", "u-boot-rpi"
    ),
    ("grub", "amd64"): Data("grub-pc", "usr/lib/grub/i386-pc", "grub-pc-bin"),
    ("uml", "amd64"): Data("uml", "usr", "user-mode-linux"),
    ("firmware", "amd64"): Data("firmware", "usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
    ("firmware-secure", "amd64"): Data(
        "firmware", "usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "ovmf"
    ),
    ("firmware-variables", "amd64"): Data("firmware", "usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"),
    ("firmware", "arm64"): Data(
        "firmware", "usr/share/AAVMF/AAVMF_CODE.fd", "qemu-efi-aarch64"
    ),
    ("firmware-secure", "arm64"): Data(
        "firmware", "usr/share/AAVMF/AAVMF_CODE.secboot.fd", "qemu-efi-aarch64"
    ),
    ("firmware-variables", "arm64"): Data(
        "firmware", "usr/share/AAVMF/AAVMF_VARS.fd", "qemu-efi-aarch64"
    ),
}  # fmt: skip


class Command(NamedTuple):
    """How a program is started: the first words of its command line, and its environment."""

    words: tuple[str, ...]
    env: Mapping[str, str]


class Tools(Protocol):
    """Where programs and data come from."""

    @property
    def identity(self) -> str:
        """Changes when the bytes that the tools make may change."""

    def program(self, name: str, /) -> Command:
        """How to start ``name``, one of PROGRAMS.  Raises LK0901 and what fetching it raises."""

    def data(self, name: str, arch: str, /) -> Path:
        """Where ``name`` lies for the OCI architecture ``arch``.  Raises LK0904 (no such thing)."""


class HostTools:
    """The host's own programs, in whatever version they are; the host is trusted to know."""

    identity = "host"

    def program(self, name: str, /) -> Command:
        """The program in PATH.  Raises LK0901."""
        return Command((proc.find(name, package=PROGRAMS[name].package),), {})

    def data(self, name: str, arch: str, /) -> Path:
        """The file where Debian puts it.  Raises LK0904."""
        row = data_row(name, arch)
        path = Path("/") / row.path
        if not path.exists():
            raise Error(
                "LK0904", f"{path} is not there",
                hint=f"on Debian: apt-get install {row.package}; or leave `--tools host` out",
            )  # fmt: skip
        return path


def data_row(name: str, arch: str) -> Data:
    """The row of DATA.  Raises LK0904 where there is none for ``arch``."""
    found = DATA.get((name, arch))
    if found is None:
        known = sorted(other for what, other in DATA if what == name)
        raise Error(
            "LK0904", f"there is no {_SPOKEN[name]} for {arch}",
            hint=f"there is one for: {', '.join(known)}",
        )  # fmt: skip
    return found


_SPOKEN = {
    "stub": "EFI stub", "loader": "EFI boot loader", "grub": "boot loader for a BIOS",
    "firmware": "UEFI firmware", "firmware-variables": "UEFI firmware",
    "firmware-secure": "UEFI firmware with Secure Boot", "uml": "user-mode Linux",
    "raspberry-pi": "firmware of Raspberry Pis", "u-boot-rpi3": "U-Boot",
    "raspberry-pi-licence": "firmware of Raspberry Pis",
}  # fmt: skip


def run(
    tools: Tools, name: str, *words: str | Path, files: Sequence[int] = (), stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Run a tool to its end; its output.

    ``files`` are descriptors that it inherits, which ``words`` call by :func:`handle`.  Raises
    LK0902 with its command line and what it said.
    """
    command = tools.program(name)
    full = {"SOURCE_DATE_EPOCH": EPOCH, **command.env, **(env or {})}
    argv = (*command.words, *words)
    return proc.run(argv, env=full, stdin=stdin, pass_fds=files).stdout


def handle(file: int) -> str:
    """A name for an open file that this process and its children know; it needs no other name."""
    return f"/proc/self/fd/{file}"
