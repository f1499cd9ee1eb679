"""Every kind of image starts by itself, from its file alone; the guest says from what it runs."""

from __future__ import annotations

import shutil

import pytest

from linuxkit import runners
from support.formats import BOOTED, MEMORY
from support.machines import HEAD

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 400
# Fails the boot unless the root is what the format promises.
LOOK = """onboot:
  - name: root
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "grep -q ' /host {kind} ro' /proc/mounts && cat /host/etc/marker | grep -q here && ! touch /host/probe"]
    binds: ["/:/host"]
  - name: own-root-can-be-written
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "touch /probe"]
files:
  - {{path: etc/marker, contents: here, mode: "0644"}}
"""

def system(form: str, kind: str, arch: str = "amd64") -> str:
    head = HEAD.replace("@pkg:kernel", "@pkg:kernel-full") if form == "raw-verity" else HEAD
    if arch == "arm64":
        head = head.replace("ttyS0", "ttyAMA0")
    return head + LOOK.format(kind=kind).replace("grep -q ' ", "grep -Eq ' ")


@pytest.mark.parametrize("form", BOOTED)
def test_it_starts_from_its_file_alone(workshop, boot, form):
    artifact = workshop.build(system(form, BOOTED[form]), form=form)
    role = artifact.files[0]
    found = runners.locate(artifact.directory / role.name)
    assert found == artifact
    memory = max(found.boot.least_ram_mib, 0 if found.boot.firmware == "direct" else 192)
    machine = boot(found, memory_mib=memory)
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power) == (0, "poweroff"), result


@pytest.mark.slow
def test_arm64_starts_from_uefi(need, workshop, boot):
    need("qemu-system-aarch64")
    artifact = workshop.build(system("raw-efi", MEMORY, "arm64"), form="raw-efi", arch="arm64")
    machine = boot(artifact, memory_mib=512)
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    assert machine.wait(120).status == 0


@pytest.mark.slow
def test_a_changed_block_of_a_checked_root_stops_the_machine(workshop, boot, tmp_path):
    """Without "panic=" on its command line too: it says so to QEMU, and "run" ends."""
    text = system("raw-verity", "erofs").replace(" panic=-1", "")
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
