"""Signatures of programs: as sbverify and osslsigncode see them, and what happens to changed ones."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import stat
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.disk import authenticode, certificates, der
from support import efi


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    certificates.create(folder)
    return folder


@pytest.fixture
def signed(tmp_path, keys):
    path = efi.image(tmp_path / "a.efi", size=20_001)
    with path.open("r+b") as file:
        authenticode.sign(file, certificates.signer(keys, "db"))
    return path


def holds(path, keys, role: str = "db") -> bool:
    with path.open("rb") as file:
        try:
            authenticode.verify(file, certificates.certificate(keys, role))
        except Error as error:
            return error.code not in {"LK0772", "LK0773"}
    return True


def ends_well(*words) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_foreign_readers_agree(signed, keys, need):
    need("sbverify", "osslsigncode")
    assert holds(signed, keys)
    assert ends_well("sbverify", "--cert", keys / "db.crt", signed)
    assert ends_well("osslsigncode", "verify", "-CAfile", keys / "db.crt", "-in", signed)
    assert not holds(signed, keys, "KEK")
    assert not ends_well("sbverify", "--cert", keys / "KEK.crt", signed)
    assert not ends_well("osslsigncode", "verify", "-CAfile", keys / "KEK.crt", "-in", signed)


def test_the_same_bytes_twice_and_when_signed_again(signed, tmp_path, keys):
    first = signed.read_bytes()
    other = efi.image(tmp_path / "b.efi", size=20_001)
    for path in (other, signed):
        with path.open("r+b") as file:
            authenticode.sign(file, certificates.signer(keys, "db"))
        assert path.read_bytes() == first


def test_another_makers_signature_is_replaced(signed, tmp_path, keys, need):
    need("sbsign")
    theirs = efi.image(tmp_path / "t.efi", size=20_001)
    words = ["sbsign", "--key", keys / "KEK.key", "--cert", keys / "KEK.crt", "--output", theirs, theirs]
    subprocess.run(words, capture_output=True, check=True)
    assert not holds(theirs, keys)
    with theirs.open("r+b") as file:
        authenticode.sign(file, certificates.signer(keys, "db"))
    assert theirs.read_bytes() == signed.read_bytes()


def test_no_changed_byte_goes_unnoticed(signed, keys, need):
    """200 random bytes of the file, seen by both; then each byte of headers and signature."""
    need("sbverify")
    data = signed.read_bytes()
    chosen = random.Random(7)
    for _ in range(200):
        at = chosen.randrange(len(data))
        with efi.flipped(signed, at, 1 << chosen.randrange(8)):
            assert not holds(signed, keys), at
            assert not ends_well("sbverify", "--cert", keys / "db.crt", signed), at
    (table,) = struct.unpack_from("<I", data, 0x58 + 112 + 32)
    for at in (*range(0x58 + 240), *range(table, len(data))):
        with efi.flipped(signed, at, 0x40):
            assert not holds(signed, keys), at
    assert holds(signed, keys)


def test_bytes_behind_the_signature_are_noticed(signed, keys):
    with signed.open("ab") as file:
        file.write(bytes(8))
    assert not holds(signed, keys)


def test_what_is_not_signed(tmp_path, keys):
    assert not holds(efi.image(tmp_path / "a.efi"), keys)


def refused(data: bytes, keys) -> str:
    with pytest.raises(Error) as caught:
        authenticode.sign(io.BytesIO(data), certificates.signer(keys, "db"))
    assert caught.value.code == "LK0772"
    return caught.value.message


def test_what_cannot_be_signed(tmp_path, keys):
    data = efi.image(tmp_path / "a.efi").read_bytes()
    assert "no PE file" in refused(b"\x7fELF" + bytes(100), keys)
    assert "cut short" in refused(data[:100], keys)
    assert "cut short" in refused(data[:4000], keys)
    gap = bytearray(data)
    struct.pack_into("<I", gap, 0x58 + 240 + 20, 2048)  # its first section lies elsewhere
    assert "between its sections" in refused(bytes(gap), keys)
    none = bytearray(data)
    struct.pack_into("<H", none, 0x44 + 16, 112)  # no directories
    assert "no place for a signature" in refused(bytes(none), keys)


@given(st.binary(max_size=600), st.integers(0, 1600))
def test_whatever_it_is_it_is_refused_in_order(keys, data, at):
    program = bytearray(efi.stub())
    program[at : at + len(data)] = data
    with pytest.raises(Error):
        authenticode.verify(io.BytesIO(bytes(program)), certificates.certificate(keys, "db"))
    with contextlib.suppress(Error):
        assert authenticode.signer(io.BytesIO(bytes(program))) is None


def test_who_has_signed_is_read_off_the_program(signed, tmp_path, keys):
    with signed.open("rb") as file:
        assert authenticode.signer(file).der == certificates.certificate(keys, "db").der
    with efi.image(tmp_path / "b.efi").open("rb") as file:
        assert authenticode.signer(file) is None


def signer_of(data: bytes) -> bytes | None:
    """The certificate of who has signed; None where nobody has, or it does not hold."""
    with contextlib.suppress(Error):
        found = authenticode.signer(io.BytesIO(data))
        return found.der if found else None
    return None


def test_no_changed_byte_keeps_its_signer(signed, keys):
    """A bit of the certificate may be another, which makes it that of somebody else."""
    whole = signed.read_bytes()
    size, original = len(whole), certificates.certificate(keys, "db").der
    assert signer_of(whole) == original
    chosen = random.Random(12)
    at_end = [size - 1 - chosen.randrange(2000) for _ in range(100)]  # where the signature is
    for at in [*(chosen.randrange(size) for _ in range(100)), *at_end]:
        data = bytearray(whole)
        data[at] ^= 1 << chosen.randrange(8)
        assert signer_of(bytes(data)) != original, at


class TestKeys:
    def test_only_the_owner_reads_private_keys(self, keys):
        assert sorted(path.name for path in keys.iterdir()) == sorted(
            f"{role}.{end}" for role in ("PK", "KEK", "db") for end in ("key", "crt")
        )
        modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()}
        assert modes[".key"] == 0o600

    def test_openssl_reads_them(self, keys, need):
        need("openssl")
        assert ends_well("openssl", "verify", "-CAfile", keys / "db.crt", keys / "db.crt")

    def test_none_is_replaced(self, keys):
        before = {path.name: path.read_bytes() for path in keys.iterdir()}
        with pytest.raises(Error) as caught:
            certificates.create(keys)
        assert caught.value.code == "LK0771"
        assert before == {path.name: path.read_bytes() for path in keys.iterdir()}

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda k: (k / "db.key").unlink(), "db.key is not there"),
            (lambda k: (k / "db.key").write_text("x"), "not a private key in PEM"),
            (lambda k: shutil.copy(k / "PK.key", k / "db.key"), "not the key of the certificate"),
            (lambda k: (k / "db.crt").write_text("x"), "not a certificate in PEM"),
            (shutil.rmtree, "db.crt is not there"),
        ],
    )  # fmt: skip
    def test_what_is_no_pair(self, keys, tmp_path, spoil, said):
        copy = tmp_path / "k"
        shutil.copytree(keys, copy)
        spoil(copy)
        with pytest.raises(Error) as caught:
            certificates.signer(copy, "db")
        assert caught.value.code == "LK0770"
        assert said in caught.value.message

    def test_a_key_that_firmware_may_not_take(self, tmp_path, need):
        need("openssl")
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
        subprocess.run([*words, "-keyout", tmp_path / "db.key", "-out", tmp_path / "db.crt"], capture_output=True, check=True)
        with pytest.raises(Error) as caught:
            certificates.certificate(tmp_path, "db")
        assert caught.value.code == "LK0770"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (der.integer(0), "020100"), (der.integer(127), "02017f"), (der.integer(128), "02020080"),
        (der.content(der.octets(bytes(130)) + b"more"), "00" * 130),
        (der.content(der.octets(b"ab") + b"more"), "6162"),
        (der.oid("1.2.840.113549.1.7.2"), "06092a864886f70d010702"), (der.octets(b""), "0400"),
        (der.octets(bytes(128))[:3], "048180"), (der.octets(bytes(300))[:4], "0482012c"),
    ],
)  # fmt: skip
def test_der(made, expected):
    assert made.hex() == expected


@pytest.mark.parametrize(
    "data", [b"", b"\x04", b"\x04\x80", b"\x04\x02a", b"\x04\x82\x01", b"\x04\xff" + bytes(126)]
)
def test_what_is_no_der(data):
    with pytest.raises(ValueError, match=r"DER|short"):
        der.content(data)
