"""Cards for Raspberry Pis, read by programs of others; and systems that no Pi would start."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build import artifact
from linuxkit.formats import raspberry, rpi3
from linuxkit.tree.entry import Bytes
from support import formats
from support.foreign import assembled, check_fat, check_table, cut, run
from support.machines import HEAD, cache_folder
from support.proofs import MADE, READ

pytestmark = [pytest.mark.net, pytest.mark.timeout(900)]

CMDLINE = "quiet it='is here'"
YML = f"""\
kernel: {{image: "@pkg:kernel-rpi", cmdline: "{CMDLINE}"}}
init: ["@pkg:init", "@pkg:crun"]
"""
BOARDS = {
    "bcm2711-rpi-4-b", "bcm2711-rpi-400", "bcm2711-rpi-cm4-io", "bcm2712-d-rpi-5-b", "bcm2712-rpi-5-b",
    "bcm2712d0-rpi-5-b", "bcm2837-rpi-2-b", "bcm2837-rpi-3-a-plus", "bcm2837-rpi-3-b", "bcm2837-rpi-3-b-plus",
    "bcm2837-rpi-cm3-io3", "bcm2837-rpi-zero-2-w",
}  # fmt: skip
TREE = b"\xd0\x0d\xfe\xed"
MIB = 1 << 20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return linuxkit.open_store(cache_folder(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def system(store):
    return assembled(YML, store, "arm64")


@pytest.fixture(scope="module")
def made(system, tmp_path_factory):
    """Where the cards lie, and the three files of the same system."""
    folder = tmp_path_factory.mktemp("out")
    linuxkit.emit(system, [*formats.CARDS, "kernel+initrd"], directory=folder, name="t")
    return folder


@pytest.fixture(scope="module")
def firmware(store):
    return linuxkit.own_tools(store).data("raspberry-pi", "arm64")


def unpacked(card: Path, folder: Path) -> dict[str, bytes]:
    """The files of the partition, taken out by mtools."""
    part = cut(card, 0, folder / "part")
    check_fat(part)
    (folder / "files").mkdir()
    run("mcopy", "-n", "-s", "-i", part, "::/", folder / "files")
    return {path.name: path.read_bytes() for path in (folder / "files").rglob("*") if path.is_file()}


def test_a_card_has_what_the_firmware_reads(made, firmware, need, tmp_path, prove):
    need("sfdisk", "fsck.vfat", "mcopy", "file")
    card = made / "t-rpi.img"
    check_table(card)
    assert b"type=c, bootable" in run("sfdisk", "--dump", card)
    found = unpacked(card, tmp_path)
    assert b"FAT (32 bit)" in run("file", tmp_path / "part")
    assert found["kernel8.img"] == (made / "t-kernel").read_bytes()
    assert found["initrd.img"] == (made / "t-initrd.img").read_bytes()
    assert found["cmdline.txt"].decode() == f"{CMDLINE}\n"
    trees = {name.removesuffix(".dtb"): data for name, data in found.items() if name.endswith(".dtb")}
    assert set(trees) == BOARDS
    assert {data[:4] for data in trees.values()} == {TREE}
    for name in ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"):
        assert found[name] == (firmware / name).read_bytes()
    assert b"Raspberry Pi device" in found["LICENCE.broadcom"]
    settings = found["config.txt"].decode().splitlines()
    assert {"arm_64bit=1", "kernel=kernel8.img", "initramfs initrd.img followkernel"} <= set(settings)
    prove("rpi", READ, "sfdisk", "fsck.vfat", "mtools", arch="arm64")
    told = artifact.load(made / "t.rpi.json")
    assert (told.boot.firmware, told.boot.machine, told.boot.console) == ("rpi", "raspi3b", "ttyS1")
    prove("rpi", MADE, told.boot.firmware, arch="arm64")


def test_upstreams_card_has_what_u_boot_reads(made, firmware, need, tmp_path, prove):
    need("tar", "mkimage")
    run("tar", "-xf", made / "t.tar", "-C", tmp_path)
    with tarfile.open(made / "t.tar") as archive:
        names = {member.name for member in archive if member.isfile()}
    assert names == {
        "LICENCE.broadcom", "boot.scr", "boot.script", "bootcode.bin", "config.txt", "fixup.dat", "fixup_cd.dat",
        "fixup_x.dat", "initrd.uimg", "kernel.uimg", "start.elf", "start_cd.elf", "start_x.elf", "u-boot.bin",
        "dtb/broadcom/bcm2837-rpi-3-b.dtb", "dtb/broadcom/bcm2837-rpi-3-b-plus.dtb",
    }  # fmt: skip
    for name, kind in (
        ("kernel.uimg", b"AArch64 Linux Kernel Image (gzip compressed)"),
        ("initrd.uimg", b"AArch64 Linux RAMDisk Image (uncompressed)"),
        ("boot.scr", b"AArch64 Linux Script (uncompressed)"),
    ):
        assert kind in run("mkimage", "-l", tmp_path / name)
    kernel, initrd, script = ((tmp_path / n).read_bytes()[64:] for n in ("kernel.uimg", "initrd.uimg", "boot.scr"))
    assert gzip.decompress(kernel) == (made / "t-kernel").read_bytes()
    assert initrd == (made / "t-initrd.img").read_bytes()
    text = (tmp_path / "boot.script").read_bytes()
    assert script == len(text).to_bytes(4, "big") + bytes(4) + text
    assert text.startswith(b"setenv bootargs 'quiet it='\\''is here'\\'' console=tty1 console=ttyS1,115200'\n")
    assert (tmp_path / "start.elf").read_bytes() == (firmware / "start.elf").read_bytes()
    prove("rpi3", READ, "tar", "mkimage", arch="arm64")
    assert artifact.load(made / "t.rpi3.json").boot is None
    prove("rpi3", MADE, "", arch="arm64")


def test_a_card_is_as_large_as_wished(system, tmp_path, need):
    need("sfdisk")
    linuxkit.emit(system, ["rpi"], directory=tmp_path, name="t", size=256 * MIB)
    assert (tmp_path / "t-rpi.img").stat().st_size == 256 * MIB
    check_table(tmp_path / "t-rpi.img")


def refused(system, folder: Path, form: str, **options) -> Error:
    with pytest.raises(Error) as caught:
        linuxkit.emit(system, [form], directory=folder, name="x", **options)
    assert not list(folder.glob("x*"))
    return caught.value


@pytest.mark.parametrize("form", formats.CARDS)
def test_what_no_pi_would_start_is_refused(store, system, tmp_path, monkeypatch, form):
    wrong = refused(assembled(HEAD, store), tmp_path, form)
    assert (wrong.code, "amd64" in wrong.message) == ("LK0788", True)
    bare = refused(assembled(HEAD.replace("ttyS0", "ttyAMA0"), store, "arm64"), tmp_path, form)
    assert (bare.code, "device tree" in bare.message) == ("LK0788", True)
    assert "@pkg:kernel-rpi" in bare.hint
    monkeypatch.setattr(raspberry, "_LOADED", 50)
    large = refused(system, tmp_path, form)
    assert (large.code, "loads 50 at most" in large.message) == ("LK0788", True)


def test_what_u_boot_has_no_room_for_is_refused(system, tmp_path, monkeypatch):
    for name, value in (("_MOST", 40), ("_END", 180 * MIB), ("_LINE", 20)):
        with monkeypatch.context() as patched:
            patched.setattr(rpi3, name, value)
            assert refused(system, tmp_path, "rpi3").code == "LK0788"
    assert refused(system, tmp_path, "rpi", size=MIB).code == "LK0785"


def test_a_kernel_that_is_packed_stays_as_it_is():
    """As upstream's are."""
    kernel = Bytes(gzip.compress(b"kernel"))
    assert rpi3._packed(kernel, io.BytesIO()) is kernel


def test_a_small_board_is_warned_of(system, tmp_path, monkeypatch):
    monkeypatch.setattr(raspberry, "_SMALL", 60)
    told = []
    with events.reporting(told.append):
        linuxkit.emit(system, ["rpi"], directory=tmp_path, name="t")
    assert "LK0789" in [each.code for each in told if isinstance(each, events.Note)]


def test_upstreams_card_and_the_tree_have_one_name(system, tmp_path):
    with pytest.raises(Error) as caught:
        linuxkit.emit(system, ["tar", "rpi3"], directory=tmp_path, name="x")
    assert caught.value.code == "LK0747"
