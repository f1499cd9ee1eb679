"""Containers of disks, as QEMU reads them."""

from __future__ import annotations

import json
import random
import subprocess
import xml.etree.ElementTree as ET

import pytest

from linuxkit.disk import ovf, vhd, vhdx, vmdk

MIB = 1 << 20
UUID = bytes(range(16))


@pytest.fixture(params=["holes", "full", "empty", "small"])
def raw(request, tmp_path):
    """A disk with data at its ends and across borders of blocks, or all over, or nowhere."""
    path = tmp_path / "raw"
    source = random.Random(7)
    sizes = {"holes": 67 * MIB, "full": 5 * MIB, "empty": 3 * MIB, "small": MIB}
    with path.open("w+b") as out:
        out.truncate(sizes[request.param])
        if request.param == "holes":
            for at in (0, 2 * MIB - 700, 33 * MIB + 123, 67 * MIB - 512):
                out.seek(at)
                out.write(source.randbytes(512))
        elif request.param != "empty":
            out.write(source.randbytes(sizes[request.param]))
    return path


WRITERS = {
    "vhd": ("vpc", lambda s, n, o: vhd.write_fixed(s, n, o, vhd.Identity(UUID, 1492533000))),
    "dynamic-vhd": ("vpc", lambda s, n, o: vhd.write_dynamic(s, n, o, vhd.Identity(UUID, 1492533000))),
    "vhdx": ("vhdx", lambda s, n, o: vhdx.write(s, n, o, UUID)),
    "vmdk": ("vmdk", lambda s, n, o: vmdk.write(s, n, o, vmdk.Disk("disk.vmdk", 0x12345678))),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_qemu_reads_the_same_disk(kind, raw, tmp_path, need):
    need("qemu-img")
    form, writer = WRITERS[kind]
    made = []
    for number in range(2):
        path = tmp_path / f"{kind}{number}"
        with raw.open("rb") as source, path.open("w+b") as out:
            writer(source, raw.stat().st_size, out)
        made.append(path.read_bytes())
    assert made[0] == made[1]
    done = subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", form, raw, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = subprocess.run(
        ["qemu-img", "info", "--output=json", "-f", form, path], capture_output=True, check=True
    )
    assert json.loads(said.stdout)["virtual-size"] == raw.stat().st_size
    if form != "vpc":  # which has no check
        subprocess.run(["qemu-img", "check", "-f", form, path], check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["dynamic-vhd", "vhdx", "vmdk"])
def test_empty_blocks_take_no_room(kind, tmp_path):
    raw = tmp_path / "raw"
    with raw.open("wb") as out:
        out.truncate(64 * MIB)
    path = tmp_path / "packed"
    with raw.open("rb") as source, path.open("w+b") as out:
        WRITERS[kind][1](source, 64 * MIB, out)
    assert path.stat().st_size <= 4 * MIB


def test_crc32c_of_the_standards_example():
    assert vhdx.crc32c(b"123456789") == 0xE3069283  # RFC 3720 uses the same polynomial
    assert vhdx.crc32c(bytes(32)) == 0x8A9136AA


@pytest.mark.parametrize("efi", [True, False])
def test_the_description_is_xml_that_names_the_disk(efi):
    root = ET.fromstring(ovf.describe(ovf.Machine(64 * MIB, 1234, 512, efi)))  # noqa: S314 - our own
    space = "{http://schemas.dmtf.org/ovf/envelope/1}"
    (file,) = root.iter(f"{space}File")
    assert (file.get(f"{space}href"), file.get(f"{space}size")) == (ovf.DISK, "1234")
    (disk,) = root.iter(f"{space}Disk")
    assert disk.get(f"{space}capacity") == str(64 * MIB)
    assert ('vmw:value="efi"' in ovf.describe(ovf.Machine(1, 1, 1, efi=efi))) is efi
    for item in root.iter(f"{space}Item"):
        names = [child.tag for child in item]
        assert names == sorted(names)
