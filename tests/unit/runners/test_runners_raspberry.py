"""A Raspberry Pi in QEMU is told what its firmware would have done."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest

from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact, BootFacts, OutFile
from linuxkit.disk import devicetree, fat, partitions
from linuxkit.disk.partitions import Extent, Label, Partition
from linuxkit.disk.tools import HostTools
from linuxkit.runners import Disk, Forward, Options, firmware, raspberry
from linuxkit.runners.qemu import Host, command

MIB = 1 << 20
CONFIG = b"""\
# kernel=wrong
arm_64bit=1
kernel=kernel8.img
initramfs initrd.img followkernel
[pi5]
kernel=kernel5.img
[all]
cmdline = cmd.txt
"""
CARD = raspberry.Start(Path("/s/kernel8.img"), Path("/s/i"), Path("/s/t.dtb"), "a=b", Path("/s/c,d.img"))


def node(name: bytes, *inner: bytes) -> bytes:
    padded = name + bytes(4 - len(name) % 4)
    return struct.pack(">I", 1) + padded + b"".join(inner) + struct.pack(">I", 2)


def prop(data: bytes) -> bytes:
    return struct.pack(">3I", 3, len(data), 0) + data + bytes(-len(data) % 4)


def tree(*inner: bytes) -> bytes:
    structure = node(b"", *inner) + struct.pack(">I", 9)
    return struct.pack(">10I", 0xD00DFEED, 40 + len(structure), 40, 40 + len(structure), *[0] * 6) + structure


CHIP = node(b"bluetooth", prop(b"brcm,bcm43438-bt\0"), node(b"inner"))
SERIAL = tree(prop(b"12345"), node(b"serial@7e201000", prop(b"okay\0"), CHIP), node(b"leds"))


def test_a_node_is_taken_out_of_a_tree():
    made = devicetree.without(SERIAL, "bluetooth")
    assert made == SERIAL.replace(CHIP, struct.pack(">I", 4) * (len(CHIP) // 4))
    assert devicetree.without(made, "bluetooth") == made
    assert b"serial" not in devicetree.without(SERIAL, "serial")


DAMAGED = {
    "cut": SERIAL[: len(SERIAL) - 4], "empty": b"", "a program": b"MZ" + SERIAL,
    "no end of a name": SERIAL[:40] + struct.pack(">I", 1) + b"abc",
    "an end of nothing": SERIAL[:40] + struct.pack(">I", 2) * 9,
    "no token": SERIAL[:40] + struct.pack(">I", 7),
}  # fmt: skip


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_tree(data):
    with pytest.raises(ValueError, match="no device tree, or a damaged one"):
        devicetree.without(data, "x")


def test_settings_are_those_of_the_boards_that_there_are():
    found = raspberry.settings(CONFIG.decode())
    assert found == raspberry.Settings("kernel8.img", "initrd.img", "cmd.txt")
    assert raspberry.settings("") == raspberry.Settings()


def write_card(folder: Path, content: dict[str, bytes]) -> Path:
    with contextlib.ExitStack() as stack:
        part, out = (stack.enter_context((folder / n).open("w+b")) for n in ("part", "card.img"))
        files = {}
        for name, data in content.items():
            file = stack.enter_context((folder / f"source-{name}").open("w+b"))
            file.write(data)
            file.flush()
            files[name] = (file, len(data))
        size = fat.make(files, part, "X", 1, HostTools())
        row = Partition(partitions.MBR_FAT, size, part)
        partitions.write(out, [row], Label("dos", "0x1"), HostTools(), Extent())
    return folder / "card.img"


CONTENT = {
    "config.txt": CONFIG, "kernel8.img": b"K", "initrd.img": b"I", "cmd.txt": b"panic=10\nmore\n",
    "bcm2837-rpi-3-b.dtb": SERIAL,
}  # fmt: skip


def test_what_the_firmware_would_have_loaded(need, tmp_path):
    need("mkfs.fat", "mtools", "sfdisk")
    card = write_card(tmp_path, CONTENT)
    state = tmp_path / "state"
    found = raspberry.take(card, "raspi3b", state, HostTools())
    assert found.initrd is not None
    assert (found.kernel.read_bytes(), found.initrd.read_bytes()) == (b"K", b"I")
    assert found.cmdline == "panic=10 linuxkit.report=/dev/ttyAMA0"
    assert found.tree.read_bytes() == devicetree.without(SERIAL, "bluetooth")
    data = found.card.read_bytes()
    assert len(data) == 32 * MIB
    assert data.rstrip(b"\0") == card.read_bytes().rstrip(b"\0")
    assert {path.parent for path in (found.kernel, found.initrd, found.tree)} == {state / "card"}


@pytest.mark.parametrize("without", ["config.txt", "kernel8.img", "cmd.txt", "bcm2837-rpi-3-b.dtb"])
def test_a_card_that_lacks_something(need, tmp_path, without):
    need("mkfs.fat", "mtools", "sfdisk")
    card = write_card(tmp_path, {name: data for name, data in CONTENT.items() if name != without})
    with pytest.raises(Error, match=without) as caught:
        raspberry.take(card, "raspi3b", tmp_path / "state", HostTools())
    assert caught.value.code == "LK0814"


def test_what_is_no_card(tmp_path):
    (tmp_path / "x.img").write_bytes(bytes(MIB))
    with pytest.raises(Error, match="no partitions") as caught:
        raspberry.take(tmp_path / "x.img", "raspi3b", tmp_path, HostTools())
    assert caught.value.code == "LK0814"


def artifact() -> Artifact:
    facts = BootFacts("rpi", "initramfs", "a=b", "ttyS1", 100, "raspi3b")
    files = (OutFile("disk", "t-rpi.img", 1),)
    return Artifact("rpi", "t", Path("/o"), "arm64", Digest("sha256:" + "0" * 64), files, facts)


def test_golden_command():
    host = Host("tcg", 4, 5, identity="x", card=CARD)
    said = " ".join(command(artifact(), Options(forwards=(Forward(8080, 80),), reboot=False), host))
    assert said == (
        "-nodefaults -no-user-config -display none -name t -machine raspi3b -accel tcg"
        " -kernel /s/kernel8.img -initrd /s/i -dtb /s/t.dtb -append a=b"
        " -chardev socket,id=report,fd=4 -serial chardev:report -serial mon:stdio"
        " -drive if=sd,format=raw,file=/s/c,,d.img"
        " -chardev socket,id=control,fd=5 -mon chardev=control,mode=control"
        " -netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80"
        " -device usb-net,netdev=net0,mac=b8:27:eb:a1:bd:5b -no-reboot"
    )
    assert firmware.medium(artifact()).kind == "disk"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (Options(cpus=2), "2 processors"), (Options(memory_mib=512), "512 MiB"), (Options(data=b"x"), "CD"),
        (Options(disks=(Disk(size_mib=1),)), "disks"), (Options(firmware="uefi"), "UEFI"),
    ],
)  # fmt: skip
def test_a_board_is_what_it_is(options, word):
    with pytest.raises(Error, match=word) as caught:
        raspberry.check("raspi3b", options)
    assert caught.value.code == "LK0813"
    raspberry.check("raspi3b", Options(cpus=4))
    raspberry.check("raspi4b", Options(memory_mib=2048))
