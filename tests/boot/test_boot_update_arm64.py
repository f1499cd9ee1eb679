"""A machine of arm64 with UEFI takes a good version by itself, then one that is not well, and goes back."""

from __future__ import annotations

import json
import subprocess

import pytest

from linuxkit import runners
from linuxkit.cli.main import main
from support import bootloader
from support.machines import HEAD, until
from support.proofs import BOOTED, UEFI

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(1200)]

BOOT_S = 900
MIB = 1 << 20
# Each version looks for the next; the third has a service that ends at once.
SYSTEM = (
    HEAD.replace("ttyS0", "ttyAMA0").replace("panic=-1", "panic=-1 linuxkit.version={version}")
    + """\
onboot:
  - {{name: mount, image: "@pkg:mount", command: [/usr/bin/mountie, -label, updates, /var/updates]}}
services:
  - name: update
    image: "@pkg:update"
    command: [/usr/bin/update, watch, /mnt/{next}.update, "36000"]
    env: [PATH=/usr/bin:/usr/sbin, UPDATE_TRIES=1, UPDATE_LIMIT={limit}, UPDATE_SETTLE=3]
    binds.add: ["/var/updates:/mnt:ro"]
{more}files:
  - {{path: etc/linuxkit/update.pub, contents: {key}}}
"""
)
BROKEN = '  - {name: broken, image: "@pkg:busybox", command: [/bin/false]}\n'


def test_a_good_version_stays_and_a_broken_one_goes(need, workshop, boot, prove, tmp_path, monkeypatch):
    for program in ("qemu-system-aarch64", "mke2fs", "mdir"):
        need(program)
    monkeypatch.setenv("LINUXKIT_CACHE", str(workshop.cache))
    assert main(["sign", "--generate-key", str(tmp_path / "key")]) == 0
    key = json.dumps((tmp_path / "key.pub").read_text())

    def build(version: int, form: str, more: str = "", limit: int = 300):
        text = SYSTEM.format(version=version, next=version + 1, key=key, more=more, limit=limit)
        return workshop.build(text, form=form, arch="arm64", name=f"arm64-v{version}")

    disk = build(1, "raw-ab")
    versions = {2: build(2, "uki"), 3: build(3, "uki", BROKEN, 5)}
    for number, each in versions.items():
        out = tmp_path / "brought" / f"{number}.update"
        words = str(each.path("uki")), "--key", str(tmp_path / "key"), "-o", str(out)
        assert main(["update", "create", *words]) == 0
    brought = tmp_path / "brought.img"
    words = "mke2fs", "-q", "-t", "ext4", "-L", "updates", "-d", tmp_path / "brought", brought, "150M"
    subprocess.run(words, check=True)

    options = {"disks": (runners.Disk(brought),), "network": runners.Network("none")}
    machine = boot(disk, reboot=True, memory_mib=512, **options)
    for wanted in (
        "update: version 2 will start next",
        "update: version 2 is good",
        "update: version 3 will start next",
        "update: this version is not well",
        "update: version 3 has failed on this machine",
    ):
        until(machine, lambda text=wanted: text.encode() in machine.console, wanted, BOOT_S)
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"
    found = bootloader.entries(disk.path("disk"), MIB, tmp_path)
    assert [(e.version, e.left) for e in found] == [((2,), None), ((3,), 0)]
    assert [e.data for e in found] == [versions[e.version[0]].path("uki").read_bytes() for e in found]
    prove("raw-ab", BOOTED, UEFI, arch="arm64")
