"""The verified chain beyond the firmware: which programs Linux runs, and what the TPM opens for whom."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

import linuxkit
from linuxkit import runners
from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates, esp
from support.machines import HEAD, exited, step

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1500)]

BOOT_S = 500
MARK = f"marker-{1234567 * 891}-of-the-state"  # the image has the sum, the state the number
FULL = HEAD.replace("@pkg:kernel", "@pkg:kernel-full")
STATE = '  - {name: state, image: "@pkg:state", command: [/usr/bin/state, /var/lib/state]}\n'
# A program of the image runs; the same one from a place that can be written does not (126, not 127).
RUN = (
    "echo kernel: $(cat /host/sys/class/tpm/tpm0/pcr-sha256/11); "
    "busybox echo own; cd /host/var/lib/state; echo marker-$((1234567 * 891))-of-the-state | tee mark; sync; for at in /tmp/x /host/var/lib/state/x; do "
    "cp /bin/busybox $at; chmod 755 $at; $at; echo $at $?; done"
)
# The tools of the TPM: a register, random numbers, a secret that it seals; and the service, which says whose it is.
ASK = (
    "tpm2_pcrread sha256:11 && for n in 1 2; do echo random $(tpm2_getrandom --hex 16); done && "
    "tpm2_createprimary -Q -G ecc -c key && echo a-secret | tpm2_create -Q -C key -i - -u public -r private && "
    "tpm2_load -Q -C key -u public -r private -c sealed && echo unsealed $(tpm2_unseal -c sealed) || exit; "
    "tss >said & while ! [ -s said ]; do kill -0 $! || exit; sleep 1; done; kill $!; wait $! && read -r line <said && echo $line"
)
NODE = FULL + "onboot:\n" + STATE.replace("name:", "onFailure: continue, name:")
NODE += f'  - {{name: ask, image: "@pkg:tss", command: [/bin/sh, -c, {ASK!r}]}}\n'
NODE += step("run", RUN, tmpfs='["/tmp:exec"]')


@pytest.fixture(scope="module")
def keys(workshop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain") / "keys"
    assert main(["keys", "new", str(folder), "--cache", str(workshop.cache)]) == 0
    assert main(["keys", "enroll", str(folder), "--cache", str(workshop.cache)]) == 0
    return folder


def said(machine) -> str:
    return machine.console.decode(errors="replace")


def ended(machine) -> str:
    """What a machine has said that was well until it was told to stop."""
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"
    return said(machine)


def another_command_line(disk, keys, folder, tools):
    """Puts it into the program that starts, which is signed again; what the TPM is told is not."""
    program = folder / "program.efi"
    with disk.open("rb") as source, program.open("w+b") as file:
        esp.program(source, file, tools)
    data = program.read_bytes()
    assert data.count(b"console=ttyS0 quiet ") == 1
    program.write_bytes(data.replace(b"console=ttyS0 quiet ", b"console=ttyS0 debug "))
    with program.open("r+b") as file:
        authenticode.sign(file, certificates.signer(keys, "db"))
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    offset = table["partitiontable"]["partitions"][0]["start"] * 512
    subprocess.run(["mcopy", "-o", "-i", f"{disk}@@{offset}", program, "::/EFI/BOOT/BOOTX64.EFI"], check=True)


def test_only_signed_programs_run_and_the_tpm_opens_the_state_for_them(need, workshop, boot, keys, tmp_path):
    need("swtpm", "sfdisk", "mcopy")
    artifact = workshop.build(NODE, form="raw-verity", sign=keys, only_signed=True)
    disk = tmp_path / artifact.files[0].name
    shutil.copy(artifact.path("disk"), disk)
    machine_of = {"secure_boot": keys, "tpm": True, "state": tmp_path / "machine", "network": runners.Network("none")}
    machine = boot(artifact._replace(directory=tmp_path), **machine_of)
    text = ended(machine)
    assert "is open at /var/lib/state" in text
    registers = re.findall(r"] *11 *: 0x([0-9A-F]{64})\s*$", text, re.MULTILINE)
    assert registers
    assert registers == re.findall(r"] kernel: ([0-9A-F]{64})\s*$", text, re.MULTILINE)
    assert len(set(re.findall(r"] random ([0-9a-f]{32})\s*$", text, re.MULTILINE))) == 2
    assert "] unsealed a-secret" in text
    assert "] tss: TPM 2.0 of SW" in text
    assert "] own" in text
    assert "/tmp/x 126" in text
    assert "/host/var/lib/state/x 126" in text
    assert MARK in text
    assert MARK.encode() not in disk.read_bytes()
    assert b"linuxkit-state" in disk.read_bytes()  # the label, when all was done

    tools = linuxkit.own_tools(linuxkit.open_store(workshop.cache))
    another_command_line(disk, keys, tmp_path, tools)
    machine = boot(artifact._replace(directory=tmp_path), **machine_of)
    text = ended(machine)
    assert "the TPM does not give the key" in text
    assert "is open at" not in text
    assert "run" in exited(machine)[-1]  # the step is to go on without
