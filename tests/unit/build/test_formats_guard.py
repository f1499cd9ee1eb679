"""Policies and signatures that hold a kernel to signed programs, as openssl reads them."""

from __future__ import annotations

import json
import subprocess

import pytest

from linuxkit import formats
from linuxkit.base.errors import Error
from linuxkit.build.kconfig import Config
from linuxkit.build.plan import DataSegment, Item, Plan
from linuxkit.disk import certificates
from linuxkit.formats import guard

ROOT = bytes(range(32))
ABLE = {
    "SECURITY_IPE": "y", "IPE_PROP_DM_VERITY_SIGNATURE": "y", "IPE_POLICY_SIG_PLATFORM_KEYRING": "y",
    "DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING": "y", "LOAD_UEFI_KEYS": "y", "LSM": '"landlock,ipe"',
}  # fmt: skip


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard") / "keys"
    certificates.create(folder)
    return folder


def content(keys, path, *words):
    """What openssl says was signed by these keys."""
    argv = ["openssl", "smime", "-verify", "-inform", "DER", "-in", path, "-CAfile", keys / "db.crt"]
    argv += ["-certfile", keys / "db.crt", "-purpose", "any", "-binary", *words]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def test_openssl_verifies_both(tmp_path, keys, need):
    need("openssl")
    signer = certificates.signer(keys, "db")
    made = guard.make(ROOT, signer)
    assert made == guard.make(ROOT, signer)
    for name, data in (("root", made.root), ("policy", made.policy), ("hash", ROOT.hex().encode())):
        (tmp_path / name).write_bytes(data)
    assert content(keys, tmp_path / "policy").decode() == guard.policy()
    content(keys, tmp_path / "root", "-content", tmp_path / "hash")


def test_the_policy_denies_what_it_does_not_name():
    lines = guard.policy().splitlines()
    assert lines[:2] == ["policy_name=linuxkit policy_version=0.0.1", "DEFAULT action=DENY"]
    allowed = [line for line in lines[2:] if line.startswith("op=")]
    assert all(" boot_verified=TRUE " in line or " dmverity_signature=TRUE " in line for line in allowed)
    assert "op=EXECUTE dmverity_signature=TRUE action=ALLOW" in allowed
    assert lines[2 + len(allowed) :] == ["DEFAULT op=POLICY action=ALLOW", "DEFAULT op=X509_CERT action=ALLOW"]


@pytest.mark.parametrize(
    ("change", "cmdline", "said"),
    [
        ({"SECURITY_IPE": "n"}, "", "CONFIG_SECURITY_IPE is off"),
        ({"IPE_POLICY_SIG_PLATFORM_KEYRING": "n"}, "", "CONFIG_IPE_POLICY_SIG_PLATFORM_KEYRING is off"),
        ({"LSM": '"landlock"'}, "quiet", "CONFIG_LSM does not name ipe"),
        ({}, "lsm=landlock,yama", "does not name ipe"),
    ],
)
def test_kernels_that_cannot_are_refused(change, cmdline, said):
    with pytest.raises(Error, match=said) as caught:
        guard.check(Config({**ABLE, **change}), cmdline)
    assert caught.value.code == "LK0781"


def test_kernels_that_can():
    guard.check(None, "quiet")
    guard.check(Config(ABLE), "quiet")
    guard.check(Config({**ABLE, "LSM": '"landlock"'}), "lsm=landlock,ipe")


@pytest.mark.parametrize(
    ("names", "signing", "said"),
    [(["raw-verity"], False, "by keys"), (["raw-verity", "raw-efi"], True, '"raw-efi" cannot hold')],
)
def test_what_has_no_keys_or_no_checked_root_is_refused(names, signing, said):
    with pytest.raises(Error, match=said) as caught:
        formats.check(names, signing=signing, only_signed=True)
    assert caught.value.code == "LK0781"
    formats.check(["raw-verity"], signing=True, only_signed=True)


@pytest.mark.parametrize(
    ("cmdline", "trial"),
    [
        ("quiet", False), ("ipe.enforce=1", False), ("ipe.enforce=on", False), ("ipe.enforce=", False),
        ("quiet ipe.enforce=0", True), ("ipe.enforce=off", True), ("ipe.enforce=N", True),
        ("ipe.enforce=0 ipe.enforce=1", False), ("x.ipe.enforce=0", False),
    ],
)  # fmt: skip
def test_a_trial_is_asked_for_by_the_command_line(cmdline, trial):
    assert guard.is_trial(cmdline) is trial


def test_who_may_switch_it_off():
    def config(name, *held):
        data = json.dumps({"process": {"capabilities": {"bounding": held}}}).encode()
        return Item(f"containers/services/{name}/config.json", "file", 0o644, None, data)

    items = config("getty", "CAP_CHOWN", "CAP_MAC_ADMIN"), config("000-web", "CAP_CHOWN"), config("idle")
    assert guard.holders(Plan("amd64", None, (DataSegment("x", items),))) == ("getty",)
