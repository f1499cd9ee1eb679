"""The variables that Secure Boot is made of, as firmware keeps them and as it takes them.

Lists of certificates and signed updates: UEFI, 8.2 and 32.4.  The store of variables that virtual
machines bring: edk2's MdeModulePkg/Include/Guid/VariableFormat.h and MdePkg/Include/Pi/
PiFirmwareVolume.h.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.disk import pkcs7

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from linuxkit.disk.certificates import Certificate, Signer

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
IMAGES = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
_CUSTOM = uuid.UUID("c076ec0c-7028-4399-a072-71ee5c448b9f")
_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
_VOLUME = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")

_VOLUME_HEADER = struct.Struct("<16x16sQ4sIH")
_STORE_HEADER = struct.Struct("<16sIBB6x")
_VARIABLE = struct.Struct("<HBxIQ16sIII16s")
_START, _ADDED, _ERASED = 0x55AA, 0x3F, 0xFF
_FORMATTED, _HEALTHY = 0x5A, 0xFE
_STORED, _BOOT, _RUNTIME, _SIGNED = 0x01, 0x02, 0x04, 0x20
_REVISION, _GUID_KIND = 0x0200, 0x0EF1  # of WIN_CERTIFICATE_UEFI_GUID

VENDORS: Mapping[str, uuid.UUID] = {"PK": GLOBAL, "KEK": GLOBAL, "db": IMAGES}
ATTRIBUTES = _STORED | _BOOT | _RUNTIME | _SIGNED


class Variable(NamedTuple):
    """A variable: whose it is, its name, and what it holds."""

    vendor: uuid.UUID
    name: str
    data: bytes
    attributes: int = _STORED | _BOOT
    time: bytes = bytes(16)  # when a signed one was made


def owner(certificate: Certificate) -> uuid.UUID:
    """A name for whom the keys belong to: every entry of a list has one."""
    return uuid.uuid5(GLOBAL, certificate.fingerprint)


def entry(certificate: Certificate, whose: uuid.UUID) -> bytes:
    """EFI_SIGNATURE_DATA: one certificate in a list."""
    return whose.bytes_le + certificate.der


def listed(certificate: Certificate, whose: uuid.UUID) -> bytes:
    """EFI_SIGNATURE_LIST with one certificate."""
    data = entry(certificate, whose)
    return _X509.bytes_le + struct.pack("<III", 28 + len(data), 0, len(data)) + data


def update(role: str, certificate: Certificate, whose: uuid.UUID, signer: Signer) -> bytes:
    """The signed order to make ``certificate`` the whole of the variable ``role``.

    It holds on machines where ``signer`` is of the key above it, and on those that have no keys.
    Its time is when the certificate was made, so an older key cannot replace a newer one.
    """
    payload = listed(certificate, whose)
    time = _time(certificate.made)
    about = role.encode("utf-16-le") + VENDORS[role].bytes_le + struct.pack("<I", ATTRIBUTES) + time
    signature = pkcs7.sign_detached(about + payload, signer)
    head = struct.pack("<IHH", 24 + len(signature), _REVISION, _GUID_KIND) + _PKCS7.bytes_le
    return time + head + signature + payload


def keys(certificates: Mapping[str, Certificate]) -> tuple[Variable, ...]:
    """What firmware holds once the certificates, by role, are enrolled."""
    whose = owner(certificates["PK"])
    return tuple(
        Variable(
            vendor, role, listed(certificates[role], whose), ATTRIBUTES,
            _time(certificates[role].made),
        )
        for role, vendor in VENDORS.items()
    )  # fmt: skip


def measured(vendor: uuid.UUID, name: str, data: bytes) -> bytes:
    """UEFI_VARIABLE_DATA: what a TPM is told of a variable (TCG, PC Client Platform Firmware)."""
    spelled = name.encode("utf-16-le")
    return vendor.bytes_le + struct.pack("<QQ", len(name), len(data)) + spelled + data


def enabled(template: bytes, certificates: Mapping[str, Certificate]) -> bytes:
    """A store of variables like ``template`` with the certificates, and Secure Boot switched on.

    Raises LK0774 when the template is no such store, has keys already, or has no room.
    """
    more = (
        *keys(certificates),
        Variable(_ENABLE, "SecureBootEnable", b"\1"),
        Variable(_CUSTOM, "CustomMode", b"\0"),
    )
    return extended(template, more)


def extended(template: bytes, more: Iterable[Variable]) -> bytes:
    """A store of variables like ``template`` with further ones behind those it has.

    Raises LK0774 when the template is no such store, has one of them already, or has no room.
    """
    at, end = _bounds(template)
    found = bytearray(template)
    wanted = {(each.vendor.bytes_le, each.name) for each in more}
    while at + _VARIABLE.size <= end:
        start, state, _, _, _, _, name_size, size, vendor = _VARIABLE.unpack_from(found, at)
        if start != _START:
            break
        name_at = at + _VARIABLE.size
        name = bytes(found[name_at : name_at + name_size]).decode("utf-16-le", "replace")
        if state == _ADDED and (vendor, name.rstrip("\0")) in wanted:
            raise _bad("it has keys already")
        at = name_at + name_size + size
        at += -at % 4
    for each in more:
        data = _encode(each)
        if at + len(data) > end or any(byte != _ERASED for byte in found[at : at + len(data)]):
            raise _bad("it has no room for keys")
        found[at : at + len(data)] = data
        at += len(data)
    return bytes(found)


def _bounds(data: bytes) -> tuple[int, int]:
    """Where variables begin, and where their room ends."""
    try:
        volume, _, mark, _, header = _VOLUME_HEADER.unpack_from(data)
        store, size, form, state = _STORE_HEADER.unpack_from(data, header)
    except struct.error:
        raise _bad("it is cut short") from None
    if volume != _VOLUME.bytes_le or mark != b"_FVH":
        raise _bad("it is no volume of variables")
    if store != _STORE.bytes_le or (form, state) != (_FORMATTED, _HEALTHY):
        raise _bad("it has no signed variables")
    if header + size > len(data):
        raise _bad("it is cut short")
    return header + _STORE_HEADER.size, header + size


def _encode(each: Variable) -> bytes:
    name = each.name.encode("utf-16-le") + b"\0\0"
    head = _VARIABLE.pack(
        _START, _ADDED, each.attributes, 0, each.time, 0, len(name), len(each.data),
        each.vendor.bytes_le,
    )  # fmt: skip
    data = head + name + each.data
    return data + bytes([_ERASED]) * (-len(data) % 4)


def _time(when: dt.datetime) -> bytes:
    """EFI_TIME, in UTC and without fractions, as signed variables have it."""
    parts = when.year, when.month, when.day, when.hour, when.minute, when.second
    return struct.pack("<HBBBBBxIhBx", *parts, 0, 0, 0)


def _bad(why: str) -> Error:
    return Error("LK0774", f"this store of firmware's variables cannot be used: {why}")
