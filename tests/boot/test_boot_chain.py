"""The verified chain beyond the firmware: which programs Linux runs, and what the TPM opens for whom.

One machine makes the state; each test goes on with a copy of it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import linuxkit
from linuxkit import runners
from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates, esp
from linuxkit.spec.text import CAPABILITIES
from support.machines import FULL, HEAD, exited, step
from support.tools import need

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1500)]

BOOT_S = 500
MARK = f"marker-{1234567 * 891}-of-the-state"  # the image has the sum, the state the number
STATE = '  - {name: state, image: "@pkg:state", command: [/usr/bin/state, -recovery, /var/lib/state], onFailure: continue}\n'
# A program of the image runs; the same one from a place that can be written does not (126, not 127).
TRY = "do cp /bin/busybox $at; chmod 755 $at; $at; echo $at $?; done"
RUN = f"""\
echo kernel: $(cat /host/sys/class/tpm/tpm0/pcr-sha256/11)
busybox echo own
cd /host/var/lib/state && grep -s of-the-state mark | sed s/^/again-/
echo marker-$((1234567 * 891))-of-the-state | tee mark; sync
for at in /tmp/x /host/var/lib/state/x; {TRY}
"""
# The tools of the TPM: a register, random numbers, a secret that it seals; and the service, which says whose it is.
ASK = """\
tpm2_pcrread sha256:11 && for n in 1 2; do echo random $(tpm2_getrandom --hex 16); done &&
tpm2_createprimary -Q -G ecc -c key && echo a-secret | tpm2_create -Q -C key -i - -u public -r private &&
tpm2_load -Q -C key -u public -r private -c sealed && echo unsealed $(tpm2_unseal -c sealed) || exit
tss >said & while ! [ -s said ]; do kill -0 $! || exit; sleep 1; done; kill $!; wait $! && read -r line <said && echo $line
"""
# Root tries to switch that off, and has the kernel start a helper that tries, with all that kernels may.
OFF = """\
switch=/host/sys/kernel/security/ipe/enforce
set -- /host/containers/onboot/*/lower/bin/busybox
echo 0 >$switch; echo own-try $? $(cat $switch)
echo "|${1#/host} sh /etc/helper" >/host/proc/sys/kernel/core_pattern
sleep 100 & kill -SEGV $!
for try in $(seq 300); do [ -s /host/run/tried ] && break; sleep 0.1; done
echo helper-try $(cat /host/run/tried) $(cat $switch)
"""
HELPER = "echo 0 >/sys/kernel/security/ipe/enforce; echo $? >/run/tried\n"
FILES = {"run": RUN, "attack": OFF, "helper": HELPER}
# OCI runtimes do not start containers that ask for what nobody has.
ROOT_CAN = str([name for name in CAPABILITIES if name != "CAP_MAC_ADMIN"])
NODE = FULL + "onboot:\n" + STATE
NODE += f'  - {{name: ask, image: "@pkg:tss", command: [/bin/sh, -c, {json.dumps(ASK)}]}}\n'
NODE += step("run", ". /host/etc/run", tmpfs='["/tmp:exec"]')
NODE += step("attack", ". /host/etc/attack", capabilities=ROOT_CAN)
NODE += "files:\n" + "".join(f"  - {{path: etc/{name}, contents: {json.dumps(text)}}}\n" for name, text in FILES.items())
OURS = HEAD.replace("@pkg:kernel", "@pkg:kernel-hardened").replace(" quiet", "") + "onboot:\n"
OURS += step("run", f"busybox echo own; for at in /tmp/x; {TRY}", tmpfs='["/tmp:exec"]')
# Words that a hypervisor adds to the command line, by the stub of the image (systemd-stub(7)).
ADDING = """#!/bin/sh
exec qemu-system-x86_64 "$@" -smbios type=11,value=io.systemd.stub.kernel-cmdline-extra=ipe.enforce=0
"""


def make_keys(folder, cache):
    for command in ("new", "enroll"):
        assert main(["keys", command, str(folder), "--cache", str(cache)]) == 0


class Node:
    """A machine with its disk, its TPM and its firmware's variables, all in one folder."""

    def __init__(self, folder, artifact, keys):
        self.folder, self.artifact, self.keys = folder, artifact, keys
        self.disk = folder / artifact.files[0].name
        self.options = {"tpm": True, "state": folder / "machine", "network": runners.Network("none")}
        self.options |= {"memory_mib": 384, "timeout_s": BOOT_S}

    def copy(self, folder):
        shutil.copytree(self.folder, folder)
        return Node(folder, self.artifact, self.keys)

    def run(self, workshop, *, keys=None, **more):
        """The machine when it was well and has ended; firmware trusts ``keys`` (False: everybody)."""
        if keys is not False:
            more["secure_boot"] = keys or self.keys
        with workshop.boot(self.artifact._replace(directory=self.folder), **self.options, **more) as machine:
            try:
                machine.wait_ready(timeout_s=BOOT_S)
                machine.poweroff()
                assert machine.wait(120).power == "poweroff"
            finally:
                print(said(machine))  # noqa: T201 - for a failure's report
        return machine

    def partition(self, number):
        """Where it starts on the disk, and how long it is: bytes."""
        words = ["sfdisk", "--json", self.disk]
        table = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
        found = table["partitiontable"]["partitions"][number]
        return found["start"] * 512, found["size"] * 512

    def replace_program(self, program):
        offset, _ = self.partition(0)
        words = ["mcopy", "-o", "-i", f"{self.disk}@@{offset}", program, "::/EFI/BOOT/BOOTX64.EFI"]
        subprocess.run(words, check=True)


@pytest.fixture(scope="module")
def keys(workshop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain") / "keys"
    make_keys(folder, workshop.cache)
    return folder


@pytest.fixture(scope="module")
def first(workshop, keys, tmp_path_factory):
    """A machine after its first start, and what that has said."""
    for program in ("qemu-system-x86_64", "swtpm", "sfdisk", "mcopy"):
        need(program)
    artifact = workshop.build(NODE, form="raw-verity", sign=keys, only_signed=True)
    node = Node(tmp_path_factory.mktemp("node"), artifact, keys)
    shutil.copy(artifact.path("disk"), node.disk)
    return node, said(node.run(workshop))


def said(machine) -> str:
    return machine.console.decode(errors="replace")


def test_only_signed_programs_run_whatever_root_does(first):
    _, text = first
    assert "] own" in text
    assert "/tmp/x 126" in text
    assert "/host/var/lib/state/x 126" in text
    assert "own-try 1 1" in text
    assert "helper-try 1 1" in text


def test_the_tools_of_the_tpm(first):
    _, text = first
    registers = re.findall(r"] *11 *: 0x([0-9A-F]{64})\s*$", text, re.MULTILINE)
    assert registers
    assert registers == re.findall(r"] kernel: ([0-9A-F]{64})\s*$", text, re.MULTILINE)
    assert len(set(re.findall(r"] random ([0-9a-f]{32})\s*$", text, re.MULTILINE))) == 2
    assert "] unsealed a-secret" in text
    assert "] tss: TPM 2.0 of SW" in text


def test_the_state_is_encrypted_and_the_recovery_key_opens_it(first, tmp_path):
    """On another machine: this one, whose cryptsetup gives the key, by which we decrypt ourselves."""
    need("cryptsetup")
    node, text = first
    assert "is open at /var/lib/state" in text
    data = node.disk.read_bytes()
    assert MARK in text
    assert MARK.encode() not in data
    assert b"linuxkit-state" in data  # the label, when all was done

    (recovery,) = re.findall(r"recovery key, shown this once: ([a-z-]+)", text)
    offset, size = node.partition(3)
    luks, key = tmp_path / "luks", tmp_path / "key"
    luks.write_bytes(data[offset : offset + size])
    words = ["cryptsetup", "luksDump", "--dump-volume-key", "--batch-mode", "--key-file=-", "--volume-key-file", key, luks]
    subprocess.run(words, input=recovery.encode(), check=True, capture_output=True)
    assert MARK.encode() in decrypted(luks, key.read_bytes())


def decrypted(luks, key: bytes) -> bytes:
    """The content of a LUKS2 volume of AES in XTS mode, sector by sector."""
    about = subprocess.run(["cryptsetup", "luksDump", "--dump-json-metadata", luks], capture_output=True, check=True)
    segment = json.loads(about.stdout)["segments"]["0"]
    assert segment["encryption"] == "aes-xts-plain64"
    step = segment["sector_size"]
    data = luks.read_bytes()[int(segment["offset"]) :]
    found = []
    for at in range(0, len(data), step):
        tweak = (at // 512).to_bytes(16, "little")
        found.append(Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor().update(data[at : at + step]))
    return b"".join(found)


def test_a_later_start_opens_it_again_and_a_hypervisor_switches_nothing_off(first, workshop, tmp_path):
    node = first[0].copy(tmp_path / "node")
    adding = tmp_path / "adding"
    adding.write_text(ADDING)
    adding.chmod(0o755)
    text = said(node.run(workshop, program=str(adding)))
    assert "making" not in text
    assert "is open at /var/lib/state" in text
    assert f"again-{MARK}" in text
    assert "/tmp/x 126" in text
    assert "own-try 1 1" in text


def another_command_line(node, folder, tools):
    """Puts it into the program that starts, which is signed again; what the TPM is told is not."""
    program = program_of(node.disk, folder, tools)
    data = program.read_bytes()
    assert data.count(b"console=ttyS0 quiet ") == 1
    program.write_bytes(data.replace(b"console=ttyS0 quiet ", b"console=ttyS0 debug "))
    with program.open("r+b") as file:
        authenticode.sign(file, certificates.signer(node.keys, "db"))
    node.replace_program(program)


def program_of(disk, folder, tools):
    program = folder / "program.efi"
    with disk.open("rb") as source, program.open("w+b") as file:
        esp.program(source, file, tools)
    return program


@pytest.mark.parametrize("change", ["another command line", "other keys", "no Secure Boot"])
def test_the_tpm_refuses(change, first, workshop, tmp_path):
    node = first[0].copy(tmp_path / "node")
    tools = linuxkit.own_tools(linuxkit.open_store(workshop.cache))
    keys = None
    if change == "another command line":  # PCR 11
        another_command_line(node, tmp_path, tools)
    elif change == "other keys":  # PCR 7: the machine has another owner, who trusts the same images
        keys = tmp_path / "keys"
        make_keys(keys, workshop.cache)
        for name in ("db.crt", "db.key"):
            shutil.copy(node.keys / name, keys / name)
    else:  # PCR 7: with an image of the same root and signer that does start then
        usual = workshop.build(NODE, form="raw-verity", sign=node.keys)
        node.replace_program(program_of(usual.path("disk"), tmp_path, tools))
        keys = False
    machine = node.run(workshop, keys=keys)
    assert "the TPM does not give the key" in said(machine)
    assert "is open at" not in said(machine)
    assert "run" in exited(machine)  # the step is to go on without


def test_a_kernel_of_our_own_runs_signed_programs_only(workshop, keys, tmp_path):
    """It has no key but those of Secure Boot, and they are what signs the policy."""
    artifact = workshop.build(OURS, form="raw-verity", sign=keys, only_signed=True)
    node = Node(tmp_path, artifact, keys)
    shutil.copy(artifact.path("disk"), node.disk)
    text = said(node.run(workshop))
    assert "] own" in text
    assert "/tmp/x 126" in text
    assert re.search(r'audit: type=1420 .*path="/tmp/x"', text)  # IPE's own word
