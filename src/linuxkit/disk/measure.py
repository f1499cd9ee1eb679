"""What a TPM will have measured once a unified kernel image has started, computed from its file.

A register (PCR) begins as zeros, and each event replaces it by the SHA-256 of itself and the digest
of the event (TCG, PC Client Platform Firmware Profile).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.disk import authenticode, efivars, pe
from linuxkit.tree.entry import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from linuxkit.disk.certificates import Certificate
    from linuxkit.disk.pe import Section

_WHAT = "the unified kernel image"
# In the order in which systemd's stub measures those that are there (systemd-stub(7), "TPM PCR
# Notes"); signatures of measurements cannot be measured themselves.
_MEASURED = (
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrpkey", ".profile", ".dtbauto", ".hwids",
)  # fmt: skip
_NEEDED = (".linux", ".cmdline")
# What the stub hands to Linux as one initramfs: these as they are …
_INITRAMFS = (".ucode", ".initrd")
# … and these as files of a folder.
_EXTRA = {
    ".pcrsig": "tpm2-pcr-signature.json", ".pcrpkey": "tpm2-pcr-public-key.pem",
    ".osrel": "os-release", ".profile": "profile",
}  # fmt: skip
_SEPARATOR = bytes(4)  # the event that parts what firmware does from what it starts
_CALLING = b"Calling EFI Application from Boot Option"
_LINE = re.compile(r'"?(\d{1,2})"?\s*[:=]\s*"?(?:0x)?([0-9a-f]{64})"?,?', re.IGNORECASE)


class Register(NamedTuple):
    """A predicted register: its number, its value, and what is in it."""

    number: int
    value: str  # hexadecimal
    about: str


def predict(
    program: BinaryIO, keys: Mapping[str, Certificate] | None = None
) -> tuple[Register, ...]:
    """The registers that follow from a unified kernel image, started by firmware itself.

    With ``keys``, by role, on a machine with Secure Boot and just these, and then also the
    register of what it trusts; otherwise on one without.  Raises LK0772 and LK0764 for what is no
    such image.
    """
    sections = _sections(program)
    started = _started(program) if keys else _started(program, sections[".linux"])
    found = [
        Register(4, _of(started), "the program that firmware starts"),
        Register(9, _of(_kernel(program, sections)), "command line and initramfs, by Linux"),
        Register(11, _of(_parts(program, sections)), "the image's parts, by its stub"),
        Register(12, bytes(32).hex(), "nothing: the image takes no other command line"),
    ]
    if keys:
        about = "Secure Boot and its keys"
        found.insert(1, Register(7, _of(_trusted(keys)), about))
    return tuple(found)


def image_register(program: BinaryIO) -> str:
    """What the stub of a unified kernel image will have measured of its parts: PCR 11.

    Raises LK0764.
    """
    return _of(_parts(program, _sections(program)))


def _sections(program: BinaryIO) -> dict[str, Section]:
    head = pe.read(pe.head(program), "LK0764", _WHAT)
    sections = {each.name: each for each in head.sections if each.size}
    if any(name not in sections for name in _NEEDED):
        raise pe.bad("LK0764", _WHAT, "it has no kernel or no command line")
    return sections


def reported(text: str) -> dict[int, str]:
    """Registers that a guest has told: "11: 0x…" as tpm2_pcrread prints them, or JSON.

    Raises LK0778 where there are none.
    """
    found = {int(number): value.lower() for number, value in _LINE.findall(text)}
    if not found:
        raise Error(
            "LK0778", "there are no measurements in this file",
            hint='write lines such as "11: 0x…" with 64 digits, as tpm2_pcrread prints them',
        )  # fmt: skip
    return found


def _of(digests: Iterator[bytes]) -> str:
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value.hex()


def _started(program: BinaryIO, kernel: Section | None = None) -> Iterator[bytes]:
    """The image, and the ``kernel`` in it where its stub leaves the judgement to firmware too."""
    yield hashlib.sha256(_CALLING).digest()
    yield hashlib.sha256(_SEPARATOR).digest()
    yield authenticode.digest(program)
    if kernel:
        with tempfile.TemporaryFile() as copy:
            copy.writelines(_bytes(program, kernel))
            yield authenticode.digest(copy)


def _kernel(program: BinaryIO, sections: Mapping[str, Section]) -> Iterator[bytes]:
    """What Linux' own EFI stub measures of what it was given (drivers/firmware/efi/libstub)."""
    cmdline = b"".join(_bytes(program, sections[".cmdline"])).decode(errors="replace")
    yield hashlib.sha256(f"{cmdline}\0".encode("utf-16-le")).digest()
    given = [*_given(program, sections)]
    if given:
        found = hashlib.sha256()
        for pieces in given:
            size = 0
            for piece in pieces:
                found.update(piece)
                size += len(piece)
            if len(given) > 1:
                found.update(bytes(-size % 4))
        yield found.digest()


def _given(program: BinaryIO, sections: Mapping[str, Section]) -> Iterator[Iterator[bytes]]:
    """The archives that the stub puts together as the initramfs."""
    for name in _INITRAMFS:
        if name in sections:
            yield _bytes(program, sections[name])
    for name, file in _EXTRA.items():
        if name in sections:
            yield iter([_archive(file, b"".join(_bytes(program, sections[name])))])


def _archive(file: str, data: bytes) -> bytes:
    """The cpio archive in which the stub puts one file, byte for byte."""
    return (
        _member(1, 0o40555, ".extra", b"")
        + _member(2, 0o100444, f".extra/{file}", data)
        + _member(0, 0, "TRAILER!!!", b"").replace(b"0000000b", b"0000000B")
    )


def _member(number: int, mode: int, name: str, data: bytes) -> bytes:
    fields = number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def _parts(program: BinaryIO, sections: Mapping[str, Section]) -> Iterator[bytes]:
    for name in _MEASURED:
        if name in sections:
            yield hashlib.sha256(name.encode() + b"\0").digest()
            yield _hash(_bytes(program, sections[name]))


def _trusted(keys: Mapping[str, Certificate]) -> Iterator[bytes]:
    """What firmware measures of its variables, and of the one entry that let the program pass."""
    held = {each.name: each.data for each in efivars.keys(keys)}
    for vendor, name, data in (
        (efivars.GLOBAL, "SecureBoot", b"\1"),
        (efivars.GLOBAL, "PK", held["PK"]),
        (efivars.GLOBAL, "KEK", held["KEK"]),
        (efivars.IMAGES, "db", held["db"]),
        (efivars.IMAGES, "dbx", b""),
    ):
        yield hashlib.sha256(efivars.measured(vendor, name, data)).digest()
    yield hashlib.sha256(_SEPARATOR).digest()
    entry = efivars.entry(keys["db"], efivars.owner(keys["PK"]))
    yield hashlib.sha256(efivars.measured(efivars.IMAGES, "db", entry)).digest()


def _hash(chunks: Iterator[bytes]) -> bytes:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.digest()


def _bytes(program: BinaryIO, section: Section) -> Iterator[bytes]:
    """The section as it is in memory."""
    program.seek(section.offset)
    left = section.size
    while left:
        data = program.read(min(CHUNK, left))
        if not data:
            raise pe.bad("LK0764", _WHAT, "it is cut short")
        left -= len(data)
        yield data
