"""Signatures of programs for UEFI (Microsoft, Windows Authenticode Portable Executable Signature).

They are written without the time and in one form only, so that equal programs and keys give equal
bytes; and checked by the same form: what is not byte for byte what we write for the program and the
certificate, does not hold.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.disk import der, pe, pkcs7
from linuxkit.disk.certificates import Certificate
from linuxkit.tree.entry import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.disk.certificates import Signer
    from linuxkit.disk.pe import Headers

_CODE = "LK0772"
_WHAT = "the program for UEFI"
_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_PE_IMAGE = "1.3.6.1.4.1.311.2.1.15"
_OBSOLETE = "<<<Obsolete>>>".encode("utf-16-be")  # a word that every signature has there
_ENTRY = struct.Struct("<IHH")  # WIN_CERTIFICATE: length, revision, kind
_REVISION, _PKCS = 0x0200, 0x0002
_ALIGNMENT = 8
_MAX_TABLE = 1 << 20


def sign(program: BinaryIO, signer: Signer) -> None:
    """Sign the program in a file that is read and written; signatures it had are taken away.

    Raises LK0772 for what is no such program.
    """
    head, end = _look(program)
    program.seek(head.checksum)
    program.write(bytes(4))  # firmware does not look at it, and nobody vouches for it
    program.truncate(end)
    program.seek(end)
    program.write(bytes(-end % _ALIGNMENT))
    end += -end % _ALIGNMENT
    content = _content(_digest(program, head, end))
    table = _table(pkcs7.wrapped(pkcs7.sign(content, signer)))
    program.seek(end)
    program.write(table)
    program.seek(head.certificates)
    program.write(struct.pack("<II", end, len(table)))
    program.seek(0, 2)


def verify(program: BinaryIO, certificate: Certificate) -> None:
    """Whether the program is signed by ``certificate``, in the form that :func:`sign` writes.

    Raises LK0772 for what is no such program, and LK0773 when it is not.
    """
    head, end = _look(program)
    program.seek(head.certificates)
    at, size = struct.unpack("<II", program.read(8))
    if not at:
        raise _refused("it has no signature")
    program.seek(0, 2)
    if size > _MAX_TABLE or at + size != program.tell():
        raise _refused("its signature is not at its end")
    program.seek(at)
    table = program.read(size)
    content = _content(_digest(program, head, end))
    blank = pkcs7.wrapped(pkcs7.signed(content, certificate, bytes(pkcs7.SIGNATURE)))
    last = _ENTRY.size + len(blank)  # the signature ends the structure, before it is filled up
    signature = table[last - pkcs7.SIGNATURE : last]
    if _table(blank[: -pkcs7.SIGNATURE] + signature) != table:
        raise _refused("what was signed, or who has, is another")
    if not certificate.holds(signature, pkcs7.attributes(content)):
        raise _refused("the signature does not hold")
    program.seek(head.checksum)
    if program.read(4) != bytes(4):
        raise _refused("its checksum was changed, for which no signature vouches")


def signer(program: BinaryIO) -> Certificate | None:
    """Who has signed the program, in the form that :func:`sign` writes; None: nobody.

    Raises LK0772 for what is no such program, LK0773 when its signature does not hold, and LK0770
    for a certificate with a key that not all firmware takes.
    """
    head = pe.read(pe.head(program), _CODE, _WHAT)
    program.seek(head.certificates)
    at, _ = struct.unpack("<II", program.read(8)) if head.certificates else (0, 0)
    if not at:
        return None
    head, end = _look(program)
    content = _content(_digest(program, head, end))
    program.seek(at)
    try:
        found = pkcs7.certificate(program.read(_MAX_TABLE), content)
    except ValueError as error:
        raise _refused("what was signed is another, or in another form") from error
    certificate = Certificate.of_der(found, "the certificate in the program")
    verify(program, certificate)
    return certificate


def digest(program: BinaryIO) -> bytes:
    """What firmware knows the program by, signed or not: 32 bytes of SHA-256.  Raises LK0772."""
    head, end = _look(program)
    return _digest(program, head, end)


def _look(program: BinaryIO) -> tuple[Headers, int]:
    """The headers, and where the program ends and its signatures begin."""
    data = pe.head(program)
    head = pe.read(data, _CODE, _WHAT)
    if not head.certificates:
        raise pe.bad(_CODE, _WHAT, "it has no place for a signature")
    at, size = struct.unpack_from("<II", data, head.certificates)
    length = program.seek(0, 2)
    end = at if at and size else length
    # Firmware reads section by section; where they touch, that is the file from start to end.
    here = head.size
    for section in sorted(head.sections, key=lambda each: each.offset):
        if not section.length:
            continue
        if section.offset != here:
            raise pe.bad(_CODE, _WHAT, "there is something between its sections")
        here += section.length
    if not head.size <= here <= end <= length:
        raise pe.bad(_CODE, _WHAT, "it is cut short")
    return head, end


def _digest(program: BinaryIO, head: Headers, end: int) -> bytes:
    """The digest of all but the checksum and the signatures' place, and they themselves."""
    found = hashlib.sha256()
    start = 0
    for at, size in ((head.checksum, 4), (head.certificates, 8), (end, 0)):
        for data in _bytes(program, start, at):
            found.update(data)
        start = at + size
    return found.digest()


def _bytes(program: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    program.seek(start)
    while start < end:
        data = program.read(min(CHUNK, end - start))
        if not data:
            raise pe.bad(_CODE, _WHAT, "it is cut short")
        yield data
        start += len(data)


def _content(image: bytes) -> pkcs7.Content:
    """SpcIndirectDataContent for the program with this digest."""
    file = der.tagged(0, der.tagged(2, der.value(0x80, _OBSOLETE)))
    about = der.sequence(der.oid(_PE_IMAGE), der.sequence(der.value(der.BITS, b"\0"), file))
    said = der.sequence(about, der.sequence(pkcs7.SHA256, der.octets(image)))
    return pkcs7.Content(_INDIRECT_DATA, said)


def _table(data: bytes) -> bytes:
    """The table of signatures, with this one."""
    size = _ENTRY.size + len(data)
    padding = -size % _ALIGNMENT
    return _ENTRY.pack(size + padding, _REVISION, _PKCS) + data + bytes(padding)


def _refused(why: str) -> Error:
    return Error("LK0773", f"the program is not signed by this key: {why}")
