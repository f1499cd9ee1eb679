"""Every kind of image starts by itself, from its file alone; the guest says from what it runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import NamedTuple

import pytest

from linuxkit import runners
from linuxkit.build.artifact import BootFacts, OutFile
from support import stick
from support.machines import HEAD
from support.proofs import BIOS, BOOTED, DIRECT, UEFI

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 400
MEMORY = "(rootfs|tmpfs)"
# Fails the boot unless root and firmware are what the format promises.
LOOK = """onboot:
  - name: root
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "grep -Eq ' /host {root} ro' /proc/mounts && cat /host/etc/marker | grep -q here && ! touch /host/probe"]
    binds: ["/:/host"]
  - name: own-root-can-be-written
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "touch /probe"]
  - name: firmware
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "test {efi} -d /host/sys/firmware/efi"]
    binds: ["/:/host"]
  - name: command-line
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "grep -E '(^| )console=ttyS0 quiet panic=-1( |$)' /proc/cmdline"]
files:
  - {{path: etc/marker, contents: here, mode: "0644"}}
"""
DISK, STICK = "as a disk", "from a USB stick"


class Start(NamedTuple):
    """A way to start a format: who does it, the kind of root in /proc/mounts, and from what."""

    form: str
    firmware: str
    root: str = MEMORY
    way: str = ""
    kernel: str = "kernel"
    member: str = ""  # of an archive: what a machine would get

    def __str__(self) -> str:
        firmware = "direct" if self.firmware == DIRECT else self.firmware
        return "-".join((self.form, firmware, *self.way.split()))


STARTS = (
    Start("kernel+squashfs", DIRECT, "squashfs"),
    Start("kernel+erofs", DIRECT, "erofs"),
    Start("kernel+iso", DIRECT, "iso9660"),
    Start("microvm", DIRECT, "erofs", kernel="kernel-microvm"),
    Start("iso-bios", BIOS, "iso9660"),
    Start("iso-efi", UEFI, "iso9660"),
    Start("iso-efi-initrd", UEFI, way=STICK),
    Start("iso-hybrid", BIOS, "iso9660"),
    Start("iso-hybrid", BIOS, "iso9660", DISK),
    Start("iso-hybrid", UEFI, "iso9660"),
    Start("raw-bios", BIOS, way=STICK),
    Start("raw-efi", UEFI),
    Start("qcow2-bios", BIOS),
    Start("qcow2-efi", UEFI),
    Start("vmdk", BIOS),
    Start("vhd", UEFI),
    Start("dynamic-vhd", BIOS),
    Start("vhdx", BIOS),
    Start("aws", UEFI),
    Start("gcp", BIOS, member="disk.raw"),
    Start("ova", UEFI, member="linuxkit-disk.vmdk"),
    Start("raw-verity", UEFI, "erofs", kernel="kernel-full"),
    Start("uki", UEFI),
)


# Of arm64, whose emulator is slow: one system for all, so it says what it sees.
TELL = """onboot:
  - name: tell
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "touch /probe && ! touch /host/probe && grep -q here /host/etc/marker &&
      echo seen: $(grep ' /host ' /proc/mounts) $(ls -d /host/sys/firmware/*) end"]
    binds: ["/:/host"]
files:
  - {path: etc/marker, contents: here, mode: "0644"}
"""
ON_ARM64 = (
    Start("kernel+squashfs", DIRECT, "squashfs"),
    Start("kernel+erofs", DIRECT, "erofs"),
    Start("kernel+iso", DIRECT, "iso9660"),
    Start("microvm", DIRECT, "erofs"),
    Start("iso-efi", UEFI, "iso9660"),
    Start("iso-efi-initrd", UEFI),
    Start("raw-efi", UEFI),
    Start("qcow2-efi", UEFI),
    Start("aws", UEFI),
    Start("uki", UEFI),
)


def system(start: Start) -> str:
    head = HEAD.replace("@pkg:kernel", f"@pkg:{start.kernel}")
    return head + LOOK.format(root=start.root, efi="" if start.firmware == UEFI else "!")


def found_by_file(artifact, start: Start, folder):
    """What a runner finds, which is given nothing but a file."""
    file = artifact.directory / artifact.files[0].name
    if start.member:
        subprocess.run(["tar", "-xf", file, "-C", folder], check=True)
        return runners.locate(folder / start.member, artifact.arch)
    found = runners.locate(file)
    assert found == artifact
    if start.way:
        return found._replace(files=(found.files[0]._replace(role="disk"),))
    return found


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_it_starts_from_its_file_alone(workshop, boot, prove, tmp_path, start):
    artifact = workshop.build(system(start), form=start.form)
    found = found_by_file(artifact, start, tmp_path)
    more = {"program": stick.program(tmp_path)} if start.way == STICK else {}
    if found.boot.firmware == "any":
        more["firmware"] = start.firmware.lower()
    least = artifact.boot.least_ram_mib if artifact.boot else 192
    memory = max(least, 192) if start.firmware == BIOS else least
    machine = boot(found, memory_mib=memory, **more)
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power) == (0, "poweroff"), result
    prove(start.form, BOOTED, ", ".join(filter(None, (start.firmware, start.way))))


def members(form: str, path, folder) -> dict[str, str]:
    """The files of an archive that holds a kernel, an initramfs and a command line: role → name.

    Unpacked by tar; what is what stands in their names, or in the manifest (image-spec, manifest.md).
    """
    subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
    if form == "tar-kernel-initrd":
        return {"kernel": "kernel", "initrd": "initrd.img", "cmdline": "cmdline"}

    def blob(descriptor):
        return descriptor["digest"].replace("sha256:", "blobs/sha256/")

    found = json.loads((folder / "index.json").read_text())
    while "manifests" in found:
        (inner,) = found["manifests"]
        found = json.loads((folder / blob(inner)).read_text())
    return {each["annotations"]["org.opencontainers.image.title"]: blob(each) for each in found["layers"]}


@pytest.mark.parametrize("form", ["tar-kernel-initrd", "oci"])
def test_it_starts_from_what_is_unpacked(workshop, boot, prove, tmp_path, form):
    made = workshop.build(system(Start(form, DIRECT)), form=form)
    names = members(form, made.directory / made.files[0].name, tmp_path)
    facts = BootFacts("direct", "initramfs", (tmp_path / names["cmdline"]).read_text(), "ttyS0", 192)
    files = tuple(OutFile(role, names[role], 0) for role in ("kernel", "initrd"))
    machine = boot(made._replace(directory=tmp_path, files=files, boot=facts), memory_mib=256)
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power) == (0, "poweroff"), result
    prove(form, BOOTED, DIRECT)


@pytest.mark.slow
@pytest.mark.parametrize("start", ON_ARM64, ids=str)
def test_arm64_starts_from_its_file_alone(need, workshop, boot, prove, tmp_path, start):
    need("qemu-system-aarch64")
    artifact = workshop.build(HEAD.replace("ttyS0", "ttyAMA0") + TELL, form=start.form, arch="arm64")
    found = found_by_file(artifact, start, tmp_path)
    machine = boot(found, memory_mib=512)
    machine.wait_ready(timeout_s=BOOT_S)
    seen = re.search(r"seen: (.*) end", machine.console.decode(errors="replace"))[1]
    assert re.search(f" /host {start.root} ro", seen), seen
    assert ("/sys/firmware/efi" in seen) == (start.firmware == UEFI), seen
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power) == (0, "poweroff"), result
    prove(start.form, BOOTED, start.firmware, arch="arm64")


@pytest.mark.slow
def test_a_changed_block_of_a_checked_root_stops_the_machine(workshop, boot, tmp_path):
    """Without "panic=" on its command line too: it says so to QEMU, and "run" ends.

    Without "quiet" the kernel tells of everything; it has nothing to say against our modules.
    """
    text = system(Start("raw-verity", UEFI, "erofs", kernel="kernel-full")).replace(" quiet panic=-1", "")
    artifact = workshop.build(text, form="raw-verity")
    disk = tmp_path / "changed.img"
    shutil.copy(artifact.path("disk"), disk)
    data = disk.read_bytes()
    magic = (0xE0F5E1E2).to_bytes(4, "little")
    start = data.index(magic) - 1024  # of the root: the superblock of erofs lies at 1024
    assert start % 4096 == 0
    with disk.open("r+b") as out:
        out.seek(start + 4000)  # in its first block, behind what it is found by
        byte = out.read(1)
        out.seek(start + 4000)
        out.write(bytes((byte[0] ^ 1,)))
    machine = boot(runners.locate(disk, "amd64"), firmware="uefi")
    result = machine.wait(BOOT_S)
    assert (result.status, result.reason) == (4, "guest-panic"), result
    assert b"Kernel panic - not syncing: dm-verity device corrupted" in machine.console
    assert not result.records
    assert b"Run /init as init process" in machine.console
    assert b"Unknown symbol" not in machine.console
    assert b"stage: " not in machine.console
