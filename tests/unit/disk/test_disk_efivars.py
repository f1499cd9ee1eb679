"""What firmware is given of keys: a store of variables, signed orders, a stick."""

from __future__ import annotations

import struct
import subprocess

import pytest

from linuxkit.base.errors import Error
from linuxkit.disk import certificates, efivars, enrolment
from support import efi

SIGNED = 0x27  # kept, seen by loaders and systems, changed by signed orders only


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    certificates.create(folder)
    return folder


def enabled(template: bytes, keys) -> bytes:
    return efivars.enabled(template, certificates.of_folder(keys))


def certificate_in(data: bytes) -> bytes:
    """Of a list with one certificate: that, in DER."""
    whole, head, each = struct.unpack_from("<III", data, 16)
    assert (whole, head) == (len(data), 0)
    assert each == len(data) - 28
    return data[28 + 16 :]


def test_a_store_has_the_keys_and_the_switch(keys):
    template = efi.variables()
    made = enabled(template, keys)
    assert len(made) == len(template)
    held = efi.held(made)
    assert list(held) == ["PK", "KEK", "db", "SecureBootEnable", "CustomMode"]
    for role, each in certificates.of_folder(keys).items():
        assert held[role][1] == SIGNED
        assert certificate_in(held[role][2]) == each.der
    assert held["SecureBootEnable"][1:] == (3, b"\1")
    assert held["CustomMode"][1:] == (3, b"\0")
    assert str(held["db"][0]) == "d719b2cb-3d3a-4596-a3bc-dad00e67656f"


def test_what_was_there_stays(keys):
    first = efi.held(enabled(efi.variables(), keys))
    other = efivars.Variable(efivars.GLOBAL, "Timeout", b"\5\0")
    held = efi.held(enabled(efi.variables(held=efivars._encode(other)), keys))
    assert held.pop("Timeout") == (efivars.GLOBAL, 3, b"\5\0")
    assert held == first


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (b"", "cut short"), (bytes(1000), "no volume of variables"),
        (efi.variables()[:200], "cut short"), (efi.variables(room=2048), "no room"),
        (efi.variables().replace(efi.STORE.bytes_le, bytes(16)), "no signed variables"),
    ],
)  # fmt: skip
def test_what_is_no_store(keys, template, said):
    with pytest.raises(Error) as caught:
        enabled(template, keys)
    assert caught.value.code == "LK0774"
    assert said in caught.value.message


def test_keys_are_not_put_over_others(keys):
    with pytest.raises(Error) as caught:
        enabled(enabled(efi.variables(), keys), keys)
    assert "has keys already" in caught.value.message


@pytest.mark.parametrize(("role", "above"), [("PK", "PK"), ("KEK", "PK"), ("db", "KEK")])
def test_openssl_takes_the_signed_orders(keys, tmp_path, need, role, above):
    need("openssl")
    order = enrolment.updates(keys)[role]
    time, rest = order[:16], order[16:]
    size, revision, kind = struct.unpack_from("<IHH", rest)
    assert (revision, kind) == (0x0200, 0x0EF1)
    signature, payload = rest[24:size], rest[size:]
    assert certificate_in(payload) == certificates.certificate(keys, role).der
    # RFC 2315: firmware takes the inner part alone, openssl wants it called what it is.
    inner = bytes.fromhex("06092a864886f70d010702a082") + len(signature).to_bytes(2, "big") + signature
    (tmp_path / "p7").write_bytes(b"\x30\x82" + len(inner).to_bytes(2, "big") + inner)
    vendor = efivars.VENDORS[role].bytes_le
    said = role.encode("utf-16-le") + vendor + struct.pack("<I", SIGNED) + time + payload
    (tmp_path / "said").write_bytes(said)

    def verify(content: str, signer: str) -> bool:
        words = ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-partial_chain", "-in", "p7", "-content"]
        done = subprocess.run(
            [*words, content, "-CAfile", keys / f"{signer}.crt"], cwd=tmp_path, capture_output=True, check=False
        )
        return done.returncode == 0

    assert verify("said", above)
    assert not verify("said", "db")
    (tmp_path / "other").write_bytes(said[:-1] + bytes([said[-1] ^ 1]))
    assert not verify("other", above)
