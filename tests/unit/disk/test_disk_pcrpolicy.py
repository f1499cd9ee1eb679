"""Signed policies about measurements; tests/boot/test_boot_chain.py has a TPM obey them."""

from __future__ import annotations

import base64
import json
import re
import subprocess

import pytest

from linuxkit.base.errors import Error
from linuxkit.disk import certificates, measure, pcrpolicy, uki
from support import efi

MEASURE = "/lib/systemd/systemd-measure"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pcr") / "keys"
    certificates.create(folder)
    return folder


def image(path, signer, cmdline="console=ttyS0"):
    """A signed-for image, and the JSON that it carries."""
    parts = [
        *pcrpolicy.sections(signer),
        *uki.parts(kernel=uki.Bytes(efi.linux()), initrd=uki.Bytes(b"I" * 99), cmdline=cmdline, release="ID=x\n"),
    ]
    with path.open("w+b") as file:
        uki.write(efi.stub(), parts, file)
        before = measure.image_register(file)
        pcrpolicy.sign(file, signer)
        assert measure.image_register(file) == before  # a signature cannot be measured
        return json.loads(uki.read(file, ".pcrsig")[1])


def test_systemd_measures_the_same_and_openssl_verifies(tmp_path, keys, need):
    need(MEASURE, "openssl")
    signer = certificates.signer(keys, "db")
    (row,) = image(tmp_path / "a.efi", signer)["sha256"]
    parts = {
        "linux": efi.linux(), "osrel": b"ID=x\n", "cmdline": b"console=ttyS0", "initrd": b"I" * 99,
        "pcrpkey": signer.certificate.public_pem,
    }  # fmt: skip
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    words = [f"--{name}={tmp_path / name}" for name in parts]
    argv = [MEASURE, "calculate", *words, "--bank=sha256", "--phase="]
    done = subprocess.run(argv, capture_output=True, check=True, text=True)
    (value,) = re.findall(r"11:sha256=([0-9a-f]{64})", done.stdout)
    wanted = pcrpolicy.policy(bytes.fromhex(value))
    assert (row["pcrs"], row["pol"]) == ([11], wanted.hex())
    (tmp_path / "pol").write_bytes(wanted)
    (tmp_path / "sig").write_bytes(base64.b64decode(row["sig"]))
    words = ["-verify", tmp_path / "pcrpkey", "-signature", tmp_path / "sig", tmp_path / "pol"]
    subprocess.run(["openssl", "dgst", "-sha256", *words], capture_output=True, check=True)


def test_each_image_and_key_has_its_own(tmp_path, keys):
    certificates.create(tmp_path / "other")
    signer = certificates.signer(keys, "db")
    one = image(tmp_path / "a.efi", signer)
    assert image(tmp_path / "b.efi", signer) == one
    (row,), (changed,) = one["sha256"], image(tmp_path / "c.efi", signer, "init=/bin/sh")["sha256"]
    assert row["pkfp"] == changed["pkfp"]
    assert row["pol"] != changed["pol"]
    (foreign,) = image(tmp_path / "d.efi", certificates.signer(tmp_path / "other", "db"))["sha256"]
    assert foreign["pkfp"] != row["pkfp"]


def test_an_image_without_room_is_refused(tmp_path, keys):
    path = efi.image(tmp_path / "a.efi")
    with path.open("r+b") as file, pytest.raises(Error) as caught:
        pcrpolicy.sign(file, certificates.signer(keys, "db"))
    assert caught.value.code == "LK0764"
