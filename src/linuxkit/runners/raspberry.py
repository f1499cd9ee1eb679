"""Raspberry Pis: QEMU has the boards and runs no firmware of theirs, so its work is done here.

Kernel, initramfs, command line and device tree are taken out of the card's image as ``config.txt``
says, and the card is a copy of that image in the machine's state folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.disk import devicetree
from linuxkit.disk import tools as tools_
from linuxkit.disk.partitions import SECTOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.disk.tools import Tools
    from linuxkit.runners.options import Options

_MIB = 1 << 20
_CONFIG_LIMIT = 1 << 16
_TREE_LIMIT = 1 << 20
# Parts of config.txt that hold for the boards below.
_PARTS = ("all", "pi3", "pi4")
# Of the two serial lines one is the console; the other has the chip for Bluetooth behind it, which
# QEMU does not have, and carries the guest's reports here.
_CHIP, _REPORT = "bluetooth", "/dev/ttyAMA0"


class Board(NamedTuple):
    """A board in QEMU, whose processors and memory are what they are."""

    tree: str
    memory_mib: int
    cpus: int = 4


BOARDS = {
    "raspi3b": Board("bcm2837-rpi-3-b.dtb", 1024),
    "raspi4b": Board("bcm2711-rpi-4-b.dtb", 2048),
}


class Start(NamedTuple):
    """What the board starts, as files of ours."""

    kernel: Path
    initrd: Path | None
    tree: Path
    cmdline: str
    card: Path


def check(machine: str, options: Options) -> None:
    """Refuse what a board does not have.  Raises LK0813."""
    board = BOARDS[machine]
    usual = type(options)()
    wrong = {
        f"{options.cpus} processors": options.cpus not in (usual.cpus, board.cpus),
        f"{options.memory_mib} MiB of memory":
            options.memory_mib not in (usual.memory_mib, board.memory_mib),
        "further disks": bool(options.disks),
        "a CD with settings": options.data is not None,
        "UEFI": bool(options.firmware or options.firmware_file or options.secure_boot),
    }  # fmt: skip
    found = [what for what, is_wrong in wrong.items() if is_wrong]
    if found:
        raise Error(
            "LK0813", f"the board {machine} cannot have {found[0]}",
            hint=f"it has {board.cpus} processors, {board.memory_mib} MiB, and a card",
        )  # fmt: skip


def take(image: Path, machine: str, state: Path, tools: Tools) -> Start:
    """Do what the firmware does for the card ``image``; files of ours are made in ``state``.

    Raises LK0814 where it is no card that the board would start, LK0102, and what tools raise.
    """
    folder = state / "card"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with image.open("rb") as source:
            part = f"{tools_.handle(source.fileno())}@@{_offset(source.read(SECTOR), image)}"

            def run(name: str, *words: str | Path) -> bytes:
                own = "-c", name, "-i", part
                return tools_.run(tools, "mtools", *own, *words, files=[source.fileno()])

            listed = run("mdir", "-b", "-/", "::/").decode(errors="replace").lower().splitlines()

            def copy(name: str) -> Path:
                if f"::/{name}".lower() not in listed:
                    raise _no_card(image, f"it has no {name}")
                run("mcopy", "-n", "-o", f"::/{name}", folder / "taken")
                return (folder / "taken").replace(folder / name.rpartition("/")[2])

            said = settings(_text(copy("config.txt")))
            tree = copy(BOARDS[machine].tree)
            tree.write_bytes(_without_chip(tree, image))
            words = _text(copy(said.cmdline)).split("\n", 1)[0].strip()
            return Start(
                copy(said.kernel), copy(said.initrd) if said.initrd else None, tree,
                f"{words} linuxkit.report={_REPORT}", _grown(image, folder / "card.img"),
            )  # fmt: skip
    except OSError as error:
        raise files.os_error(error, "use the card", image) from error


class Settings(NamedTuple):
    """What ``config.txt`` says of files on the card."""

    kernel: str = "kernel8.img"
    initrd: str = ""
    cmdline: str = "cmdline.txt"


def settings(text: str) -> Settings:
    """Read ``config.txt``; of its parts those that hold for the boards here."""
    found = Settings()
    holds = True
    for line in map(str.strip, text.splitlines()):
        key, _, value = map(str.strip, line.partition("="))
        if line.startswith("["):
            holds = line.strip("[]") in _PARTS
        elif holds and key in ("kernel", "cmdline"):
            found = found._replace(**{key: value})
        elif holds and line.split()[:1] == ["initramfs"]:
            found = found._replace(initrd=line.split()[1])
    return found


def words(machine: str, start: Start, report: int) -> Iterator[str]:
    """The arguments of QEMU for the board; ``report`` is the descriptor of the guest's reports."""
    yield from ("-machine", machine, "-accel", "tcg")
    yield from ("-kernel", str(start.kernel))
    if start.initrd:
        yield from ("-initrd", str(start.initrd))
    yield from ("-dtb", str(start.tree), "-append", start.cmdline)
    yield from ("-chardev", f"socket,id=report,fd={report}")
    yield from ("-serial", "chardev:report", "-serial", "mon:stdio")
    card = str(start.card).replace(",", ",,")
    yield from ("-drive", f"if=sd,format=raw,file={card}")


def mac(address: str) -> str:
    """The address with the first half that the boards' have, instead of one for virtual machines.

    Linux calls a card on USB eth0 if its address is of some maker, and usb0 if not.
    """
    return f"b8:27:eb:{address[9:]}"


def _offset(sector: bytes, image: Path) -> int:
    """Where the first partition of an MBR begins, in bytes."""
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa" or not sector[450]:
        raise _no_card(image, "it has no partitions")
    return int.from_bytes(sector[454:458], "little") * SECTOR


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_CONFIG_LIMIT).decode(errors="replace")


def _without_chip(tree: Path, image: Path) -> bytes:
    with tree.open("rb") as file:
        data = file.read(_TREE_LIMIT)
    try:
        return devicetree.without(data, _CHIP)
    except ValueError as error:
        raise _no_card(image, f"{tree.name} is {error}") from error


def _grown(image: Path, card: Path) -> Path:
    """A copy as large as cards are, which is a power of two."""
    size = image.stat().st_size
    with image.open("rb") as source, files.replacing(card, mode=0o600, sync=False) as out:
        files.copy_range(source, out, size)
        out.flush()
        os.truncate(out.fileno(), max(32 * _MIB, 1 << (size - 1).bit_length()))
    return card


def _no_card(image: Path, why: str) -> Error:
    return Error(
        "LK0814", f"{image} is no card that QEMU's Raspberry Pi could start: {why}",
        hint="build one: --format rpi",
    )  # fmt: skip
