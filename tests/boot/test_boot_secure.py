"""Secure Boot and measured boot, with real firmware and an emulated TPM: what starts, what does not.

From disks only: what QEMU loads itself, firmware starts whether it is signed or not.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time

import pytest

import linuxkit
from linuxkit import formats, runners
from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates, esp, measure
from support import efi
from support.machines import FULL, HEAD
from support.proofs import BOOTED, READ, UEFI

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 500
TELL = """onboot:
  - name: tell
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "for n in 4 7 9 11 12; do echo pcr $n: $(cat /host/sys/class/tpm/tpm0/pcr-sha256/$n); done"]
    binds: ["/:/host"]
"""
SYSTEM = HEAD + TELL


class Bench:
    """What the tests work with: the store, the keys, and a signed disk."""

    def __init__(self, workshop, tools, keys):
        self.workshop, self.tools, self.keys = workshop, tools, keys
        self.signed = self.build(sign=keys, name="signed")

    def build(self, text=SYSTEM, form="raw-efi", **more):
        return self.workshop.build(text, form=form, **more)

    def command(self, *words):
        return main([*map(str, words), "--cache", str(self.workshop.cache)])

    def predicted(self, disk, keys=None) -> dict[int, str]:
        program = self.program(disk, disk.with_name("program"))
        trusted = certificates.of_folder(keys) if keys else None
        with program.open("rb") as file:
            return {each.number: each.value for each in measure.predict(file, trusted)}

    def program(self, disk, out):
        """What firmware starts of a disk, as the file ``out``."""
        with disk.open("rb") as source, out.open("w+b") as file:
            esp.program(source, file, self.tools)
        return out

    def is_signed(self, program) -> bool:
        words = ["sbverify", "--cert", self.keys / "db.crt", program]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def bench(workshop, tmp_path_factory):
    tools = linuxkit.own_tools(linuxkit.open_store(workshop.cache))
    folder = tmp_path_factory.mktemp("secure") / "keys"
    cache = str(workshop.cache)
    assert main(["keys", "new", str(folder), "--cache", cache]) == 0
    assert main(["keys", "enroll", str(folder), "--cache", cache]) == 0
    return Bench(workshop, tools, folder)


def said(machine) -> str:
    return machine.console.decode(errors="replace")


def until(machine, *wanted: str) -> str:
    """The first of these texts that the console shows."""
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline and not machine.ended:
        found = [text for text in wanted if text in said(machine)]
        if found:
            return found[0]
        time.sleep(0.2)
    raise AssertionError(said(machine)[-2000:])


def told(machine) -> dict[int, str]:
    """The registers that the guest has printed, when it has been well."""
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power) == (0, "poweroff"), result
    return measure.reported(re.sub(r"\[[^]]*\] ", "", said(machine)))


def test_what_is_signed_starts_and_is_measured_as_predicted(need, bench, boot, tmp_path):
    need("swtpm")
    machine = boot(bench.signed, secure_boot=bench.keys, tpm=True, state=tmp_path)
    expected = bench.predicted(bench.signed.path("disk"), bench.keys)
    assert told(machine) == expected
    (end,) = machine._after  # swtpm's
    machine.close()
    assert end.args[0].returncode == 0
    assert (tmp_path / "tpm" / "tpm2-00.permall").stat().st_size  # what it has to remember
    assert set(expected) == {4, 7, 9, 11, 12}


def flipped(disk):
    """A disk with one bit of the command line changed, to a word that nobody knows."""
    data = bytearray(disk.read_bytes())
    data[data.index(b"console=ttyS0 quiet") + len("console=ttyS0 ")] ^= 1
    changed = disk.with_name("flipped-efi.img")
    changed.write_bytes(data)
    return runners.locate(changed, "amd64")


def refused(machine) -> None:
    assert until(machine, "Access Denied", "Linux version", "linuxkit:") == "Access Denied"
    assert not machine.records
    machine.close()


@pytest.mark.parametrize("which", ["unsigned", "flipped"])
def test_firmware_refuses_what_starts_without_secure_boot(need, which, bench, boot, tmp_path):
    """The same bytes: only a signature is missing.  They are measured as predicted, as others than those signed."""
    need("swtpm")
    disk = bench.build() if which == "unsigned" else flipped(bench.signed.path("disk"))
    before = disk.path("disk").read_bytes()
    network = runners.Network("none")
    refused(boot(disk, secure_boot=bench.keys, state=tmp_path, network=network))
    assert disk.path("disk").read_bytes() == before
    found = told(boot(disk, firmware="uefi", tpm=True, state=tmp_path / "open", network=network))
    expected, usual = (bench.predicted(each.path("disk")) for each in (disk, bench.signed))
    assert {number: found[number] for number in expected} == expected
    assert {number for number in usual if usual[number] != expected[number]} == {4, 9, 11}


@pytest.mark.slow
def test_firmware_of_arm64_starts_what_is_signed_and_nothing_else(need, bench, boot, tmp_path, prove):
    need("qemu-system-aarch64")
    keys = shutil.copytree(bench.keys, tmp_path / "keys")
    assert bench.command("keys", "enroll", keys, "--arch", "arm64") == 0
    options = {"secure_boot": keys / "variables.fd", "network": runners.Network("none"), "memory_mib": 512}
    text = FULL.replace("ttyS0", "ttyAMA0")
    unsigned = bench.build(text, form="raw-verity", arch="arm64")
    refused(boot(unsigned, state=tmp_path / "unsigned", **options))
    signed = bench.build(text, form="raw-verity", arch="arm64", sign=bench.keys)
    for artifact, checks in ((unsigned, {"secure_boot": None}), (signed, {"state": tmp_path / "signed"})):
        machine = boot(artifact, **{**options, **checks})
        machine.wait_ready(timeout_s=BOOT_S)
        machine.poweroff()
        result = machine.wait(120)
        assert (result.status, result.power) == (0, "poweroff"), result
    prove("raw-verity", BOOTED, UEFI, arch="arm64")
    prove("raw-verity", BOOTED, f"{UEFI}, with Secure Boot", arch="arm64")


def test_the_stick_puts_keys_into_a_machine_without_any(bench, boot, tmp_path):
    empty = bench.tools.data("firmware-variables", "amd64")
    stick = runners.locate(bench.keys / "enroll.img", "amd64")
    network = runners.Network("none")
    machine = boot(stick, secure_boot=empty, state=tmp_path, network=network)
    machine.wait(BOOT_S)  # it restarts then, which ends it
    (variables,) = tmp_path.glob("variables-*.fd")
    held = efi.held(variables.read_bytes())
    for role, each in certificates.of_folder(bench.keys).items():
        assert held[role][2].endswith(each.der), held.keys()
    assert list(efi.held((bench.keys / "variables.fd").read_bytes()))[:3] == ["PK", "KEK", "db"]


def test_no_changed_byte_of_a_real_program_goes_unnoticed(need, bench, tmp_path):
    """200 random ones, by our reader and by sbverify."""
    need("sbverify")
    disk = bench.signed.path("disk")
    assert bench.command("keys", "check", bench.keys, disk) == 0
    program = bench.program(disk, tmp_path / "program.efi")
    signer = certificates.certificate(bench.keys, "db")
    assert bench.is_signed(program)
    chosen = random.Random(11)
    size = program.stat().st_size
    for _ in range(200):
        at = chosen.randrange(size)
        with efi.flipped(program, at, 1 << chosen.randrange(8)):
            with program.open("rb") as file, pytest.raises(Error):
                authenticode.verify(file, signer)
            assert not bench.is_signed(program), at
    assert bench.is_signed(program)


def raw(form: str, path, folder):
    """The disk, CD or program in the file of a format, as readers of raw ones take it."""
    if form in ("gcp", "ova"):
        subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
        path = folder / {"gcp": "disk.raw", "ova": "linuxkit-disk.vmdk"}[form]
    if path.suffix in (".qcow2", ".vmdk", ".vhd", ".vhdx"):
        subprocess.run(["qemu-img", "convert", "-O", "raw", path, folder / "raw"], check=True)
        return folder / "raw"
    return path


@pytest.mark.parametrize("form", formats.SIGNED)
def test_formats_are_signed_and_the_same_twice(need, form, bench, tmp_path, prove):
    need("sbverify", "qemu-img")
    text = SYSTEM.replace("quiet", "quiet linuxkit.version=1")
    if form == "raw-verity":
        text = text.replace("@pkg:kernel", "@pkg:kernel-full")
    first, again = (bench.build(text, form=form, sign=bench.keys, name=f"{form}-{name}") for name in "ab")
    assert first.signer == (bench.keys / "db.crt").read_text()
    one, other = (each.directory / each.files[0].name for each in (first, again))
    if first.boot:
        assert runners.locate(one).signer == first.signer
    assert one.read_bytes() == other.read_bytes()
    assert bench.is_signed(bench.program(raw(form, one, tmp_path), tmp_path / "program.efi"))
    prove(form, READ, "sbverify")


def test_what_has_nothing_to_sign_is_refused(bench):
    with pytest.raises(Error) as caught:
        bench.build(form="tar", sign=bench.keys)
    assert caught.value.code == "LK0775"
