"""A version on trial that firmware refuses is given up with nobody there (docs/decisions/0077)."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from linuxkit import runners
from linuxkit.cli.main import main
from support import bootloader
from support.machines import HEAD, until
from support.tools import need

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1800)]

BOOT_S = 900
MIB = 1 << 20
SYSTEM = HEAD.replace("panic=-1", "panic=-1 linuxkit.version={}")
RESTARTING = b"linuxkit: this version did not start; restarting"


def put(disk, name: str, program) -> None:
    """A version with one bit changed, in a word of its command line that the kernel can do without."""
    data = bytearray(program.read_bytes())
    data[data.index(b"console=ttyS0 quiet") + len("console=ttyS0 ")] ^= 1
    words = ["mcopy", "-o", "-i", f"{disk}@@{MIB}", "-", f"::/EFI/Linux/{name}"]
    subprocess.run(words, input=data, check=True)


def test_the_version_before_starts_and_restarting_comes_to_an_end(workshop, boot, tmp_path):
    for program in ("mcopy", "mdir"):
        need(program)
    keys = tmp_path / "keys"
    for word in ("new", "enroll"):
        assert main(["keys", word, str(keys), "--cache", str(workshop.cache)]) == 0
    made = workshop.build(SYSTEM.format(1), form="raw-ab", sign=keys)
    versions = [workshop.build(SYSTEM.format(n), form="uki", sign=keys).path("uki") for n in (1, 2)]
    put(made.path("disk"), "linuxkit_2+2-0.efi", versions[1])
    options = {"reboot": True, "network": runners.Network("none")}

    # Without Secure Boot the same bytes start, so that nothing is wrong with them but the signature.
    copy = made._replace(directory=tmp_path / "copy")
    copy.directory.mkdir()
    shutil.copy(made.path("disk"), copy.path("disk"))
    machine = boot(copy, **options)
    machine.wait_ready(timeout_s=BOOT_S)
    assert b"linuxkit.version=2" in machine.console
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"

    options |= {"secure_boot": keys, "state": tmp_path / "state"}
    machine = boot(made, **options)
    machine.wait_ready(timeout_s=BOOT_S)
    assert machine.console.count(RESTARTING) == 2
    assert b"linuxkit.version=2" not in machine.console
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"
    found = bootloader.entries(made.path("disk"), MIB, tmp_path)
    assert [(e.version, e.left) for e in found] == [((1,), None), ((2,), 0)]

    # Starts of a good version are not counted: firmware has the last word, and perhaps another disk.
    put(made.path("disk"), "linuxkit_1.efi", versions[0])
    put(made.path("disk"), "linuxkit_2+1-0.efi", versions[1])
    subprocess.run(["mdel", "-i", f"{made.path('disk')}@@{MIB}", "::/EFI/Linux/linuxkit_2+0-2.efi"], check=True)
    machine = boot(made, **options)
    until(machine, lambda: RESTARTING in machine.console, "it restarts", BOOT_S)
    until(machine, lambda: b"Access Denied" in machine.console, "firmware gives up", BOOT_S)
    assert machine.console.count(RESTARTING) == 1
    assert not machine.records
