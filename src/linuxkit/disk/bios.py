"""Starting from a BIOS: GRUB's boot sectors, put where a BIOS looks for them.

Which bytes of them say what is told in GRUB's own include/grub/i386/pc/boot.h; ``grub-bios-setup``
does the same on real disks.
"""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.disk import tools as tools_

if TYPE_CHECKING:
    from linuxkit.disk.tools import Tools

SECTOR = 512
_CODE = 440  # of the first sector, before the partition table's number
_CORE_AT = 0x5C  # in boot.img: the sector of the core
_LIST = SECTOR - 12  # in the core's first sector: where its rest is, and how many sectors
_MODULES = ("biosdisk", "iso9660", "fat", "part_gpt", "part_msdos", "linux")
_CD_MODULES = ("biosdisk", "iso9660", "linux")
_MAX_CMDLINE = 2047  # of a bzImage (Documentation/arch/x86/boot, cmdline_size)
_WORD = re.compile(r'(?:[^ "]|"[^"]*"?)+')  # as the kernel cuts them
_QUOTED = re.compile(r'^([^"=]+=)?"([^"]*)"?$')


class Paths(NamedTuple):
    """Where the loader finds the files it starts, from the root of its file system."""

    kernel: str
    initrd: str = ""  # "" where the kernel needs none


def config(paths: Paths, cmdline: str) -> bytes:
    """What the loader is to do.  Raises LK0744 for a command line that it cannot pass on."""
    if any(not c.isprintable() for c in cmdline) or len(cmdline.encode()) > _MAX_CMDLINE:
        raise Error(
            "LK0744",
            "the kernel's command line is too long for a BIOS, or holds odd characters",
            hint=f"at most {_MAX_CMDLINE} bytes, all of them printable",
        )
    words = "".join(f" '{word}'" for word in _words(cmdline))
    initrd = f"initrd {paths.initrd}\n" if paths.initrd else ""
    return f"linux {paths.kernel}{words}\n{initrd}boot\n".encode()


def _words(cmdline: str) -> list[str]:
    """The words, each without the double quotes that the kernel takes off it (its lib/cmdline.c).

    GRUB puts them back around a word with spaces, and a backslash before every quote or backslash.
    Raises LK0744.
    """
    words = [_QUOTED.sub(r"\1\2", word) for word in _WORD.findall(cmdline)]
    odd = [word for word in words if set(word) & set("\"'\\")]
    if odd:
        raise Error(
            "LK0744",
            f"a BIOS cannot pass on this word of the kernel's command line: {odd[0]}",
            hint='leave out quotes and backslashes, but for "a word" and name="a value"',
        )
    return words


def core(partition: str, settings: bytes, tools: Tools) -> bytes:
    """The loader for a disk whose ``partition`` ("msdos1", "gpt2") has the files."""
    return _image("i386-pc", f"(,{partition})/", settings, _MODULES, tools)


def cd_core(settings: bytes, tools: Tools) -> bytes:
    """The loader for a CD-ROM, whose first 64 bytes still want a boot information table."""
    return _image("i386-pc-eltorito", "/", settings, _CD_MODULES, tools)


def _image(
    form: str, prefix: str, settings: bytes, modules: tuple[str, ...], tools: Tools
) -> bytes:
    folder = tools.data("grub", "amd64")
    with tempfile.TemporaryFile() as script, tempfile.TemporaryFile() as out:
        script.write(settings)
        script.flush()
        tools_.run(
            tools, "grub-mkimage", "-O", form, "-d", folder, "-p", prefix,
            "-c", tools_.handle(script.fileno()), "-o", tools_.handle(out.fileno()), *modules,
            files=[script.fileno(), out.fileno()],
        )  # fmt: skip
        return out.read()


def install(disk: bytearray, core_image: bytes, at: int, tools: Tools) -> None:
    """Put the boot sector and ``core_image`` into the first MiB of a disk; the partitions stay.

    The core lies at sector ``at``.
    """
    boot = bytearray(_read(tools, "boot.img"))
    struct.pack_into("<Q", boot, _CORE_AT, at)
    whole = bytearray(core_image + bytes(-len(core_image) % SECTOR))
    struct.pack_into("<Q", whole, _LIST, at + 1)
    disk[:_CODE] = boot[:_CODE]
    disk[510:512] = b"\x55\xaa"
    disk[at * SECTOR : at * SECTOR + len(whole)] = whole


def hybrid_sector(core_sector: int, tools: Tools) -> bytes:
    """The first 440 bytes of a CD image that also starts as a disk; the core is at 512-byte sector
    ``core_sector``.
    """  # noqa: D205
    boot = bytearray(_read(tools, "boot_hybrid.img"))
    struct.pack_into("<Q", boot, 0x1B0, core_sector + 4)  # behind the part for CD-ROM drives
    return bytes(boot[:_CODE])


def _read(tools: Tools, name: str) -> bytes:
    return Path(tools.data("grub", "amd64") / name).read_bytes()
