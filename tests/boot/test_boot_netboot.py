"""Machines without a disk start from what `linuxkit serve` has."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest

from linuxkit.cli.main import main
from support import netboot
from support.machines import HEAD, exited, step
from support.proofs import BIOS, BOOTED, DIRECT, UEFI
from support.terminals import LINUXKIT, ROOT

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 400
HOST = "10.0.2.2"  # what the machine sees of ours
MEMORY_MIB = 512


def system(efi: str) -> str:
    look = f"test {efi} -d /host/sys/firmware/efi && grep -Eq ' /host (rootfs|tmpfs) ro' /proc/mounts"
    # The lease shows that the card is the system's now, whatever has used it before.
    lease = '  - {name: dhcp, image: "@pkg:udhcpc", command: [/usr/bin/udhcpc.sh, "-1"]}\n'
    return HEAD + "onboot:\n" + step("look", look) + lease


class Site:
    """`linuxkit serve` as a program of its own, for a folder."""

    def __init__(self, folder, log):
        self.log = log
        words = ["serve", "--port", "127.0.0.1:0", "--directory", str(folder)]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        with log.open("wb") as out:
            self.process = subprocess.Popen([*LINUXKIT, *words], stdout=out, stderr=out, env=env)

    def said(self) -> str:
        return self.log.read_text()

    def url(self, name: str) -> str:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"on http://127\.0\.0\.1:(\d+)/", self.said())):
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)
        return f"http://{HOST}:{found[1]}/{name}"

    def asked(self, name: str) -> bool:
        return f'"GET /{name} HTTP/1.1" 200' in self.said()


@pytest.fixture(scope="module")
def site(workshop, tmp_path_factory):
    made = Site(workshop.folder, tmp_path_factory.mktemp("serve") / "log")
    yield made
    made.process.send_signal(signal.SIGINT)
    assert made.process.wait(60) == 130  # as any program that was interrupted


def well(machine) -> str:
    """What the console of a machine has shown that was well until it was told to stop."""
    machine.wait_ready(timeout_s=BOOT_S)
    assert exited(machine) == ["look", "dhcp"]
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power) == (0, "poweroff"), result
    return machine.console.decode(errors="replace")


@pytest.mark.parametrize("firmware", [BIOS, UEFI])
def test_ipxe_starts_a_system_by_its_script(firmware, workshop, boot, site, prove, tmp_path):
    """The boot ROM of QEMU's card: QEMU itself loads nothing."""
    name = f"netboot-{firmware.lower()}"
    artifact = workshop.build(system(efi="" if firmware == UEFI else "!"), name=name)
    program = netboot.program(tmp_path, site.url(f"{name}.ipxe"))
    machine = boot(artifact, program=program, firmware=firmware.lower(), memory_mib=MEMORY_MIB)
    well(machine)
    assert all(site.asked(name + part) for part in (".ipxe", "-kernel", "-initrd.img"))
    prove("kernel+initrd", BOOTED, f"{DIRECT}, over the network by iPXE under {firmware}")


def test_firmware_starts_over_http_what_is_signed_and_nothing_else(workshop, boot, site, prove, tmp_path):
    """Two addresses in its variables: it refuses what the first one has, and goes on to the second."""
    keys = tmp_path / "keys"
    assert main(["keys", "new", str(keys), "--cache", str(workshop.cache)]) == 0
    assert main(["keys", "enroll", str(keys), "--cache", str(workshop.cache)]) == 0
    text, names = system(efi=""), ("netboot-unsigned", "netboot-signed")
    workshop.build(text, form="uki", name=names[0])
    workshop.build(text, form="uki", name=names[1], sign=keys)
    disk = workshop.build(text, form="raw-efi", sign=keys)  # for the kind of machine; it has none
    variables = keys / "variables.fd"
    urls = [site.url(f"{name}.efi") for name in names]
    variables.write_bytes(netboot.asking(variables.read_bytes(), urls))
    options = {"secure_boot": variables, "state": tmp_path / "state", "memory_mib": MEMORY_MIB}
    text = well(boot(disk, program=netboot.program(tmp_path), **options))
    assert text.index(urls[0]) < text.index("Access Denied") < text.index(urls[1])
    assert all(site.asked(f"{name}.efi") for name in names)
    prove("uki", BOOTED, f"{UEFI}, over HTTP with Secure Boot")
