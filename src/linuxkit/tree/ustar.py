"""The 512-byte header block of tar archives, decoded strictly and encoded in one spelling.

What a header means together with the extended headers before it is ``tree.tar``'s business.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from linuxkit.base.errors import Error, printable

BLOCK = 512
ZEROS = bytes(BLOCK)

MAX_ID = 0o7777777  # largest owner, mode and device number of an eight-byte field
MAX_SIZE = 0o77777777777  # largest size and time of a twelve-byte field
MAX_NAME = 100

_FIELDS = Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_USTAR = b"ustar\0"  # POSIX.1-1988 and later; any version
_GNU = b"ustar  \0"
_V7 = bytes(8)
_SPACES = b" " * 8
_NO_DEVICE = b"0000000\0"
_BASE_256, _BASE_256_NEGATIVE = 0x80, 0xFF


class Header(NamedTuple):
    """A header's fields as they stand; names are cut at the first NUL."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int  # the only one that may be negative
    flag: bytes
    link: bytes
    major: int = 0
    minor: int = 0


def decode(block: bytes) -> Header:
    """Take a header apart (POSIX pax(1), "ustar Interchange Format"; GNU and V7 variants).

    Numbers are octal, or GNU's base-256.  Raises LK0602 when the checksum does not match, a
    number is none or negative, or the format is unknown.
    """
    (
        name, mode, uid, gid, size, mtime, checksum, flag, link, magic, _, _, major, minor, prefix,
        tail,
    ) = _FIELDS.unpack(block)  # fmt: skip
    if _number(checksum) != _sum(block):
        raise _damaged("the header's checksum is wrong")
    name = _text(name)
    if magic.startswith(_USTAR):
        # Old star puts times behind a shorter prefix and says so at the very end.
        before = _text(prefix[:131] if tail.endswith(b"tar\0") else prefix)
        if before:
            name = before + b"/" + name
    elif magic not in {_GNU, _V7}:
        raise _damaged(f'the header\'s format "{_shown(magic)}" is unknown')
    if flag not in b"34":
        major = minor = b""
    return Header(
        name, natural(mode), natural(uid), natural(gid), natural(size), _number(mtime), flag,
        _text(link), natural(major), natural(minor),
    )  # fmt: skip


def encode(header: Header) -> bytes:
    """The header as a POSIX block without user and group names; every value must fit."""
    is_device = header.flag in b"34"
    block = _FIELDS.pack(
        header.name,
        b"%07o\0" % header.mode,
        b"%07o\0" % header.uid,
        b"%07o\0" % header.gid,
        b"%011o\0" % header.size,
        b"%011o\0" % header.mtime,
        _SPACES,
        header.flag,
        header.link,
        b"ustar\x0000",
        b"",
        b"",
        b"%07o\0" % header.major if is_device else _NO_DEVICE,
        b"%07o\0" % header.minor if is_device else _NO_DEVICE,
        b"",
        b"",
    )
    return b"%b%06o\0 %b" % (block[:148], _sum(block), block[156:])


def natural(field: bytes) -> int:
    """The number in a field; an empty field is 0.  Raises LK0602, also for negative ones."""
    value = _number(field)
    if value < 0:
        raise _damaged("the header has a negative number")
    return value


# Owners, modes and often times repeat from header to header.
@lru_cache(maxsize=1024)
def _number(field: bytes) -> int:
    first = field[0] if field else 0
    if first == _BASE_256:
        return int.from_bytes(field[1:], "big")
    if first == _BASE_256_NEGATIVE:
        return int.from_bytes(field, "big", signed=True)
    digits = field.rstrip(b" \0").lstrip(b" ")
    # int() alone would take signs, underscores and prefixes too.
    if digits.strip(b"01234567"):
        raise _damaged(f'the header has "{_shown(field)}" for a number')
    return int(digits or b"0", 8)


def _sum(block: bytes) -> int:
    """The sum of all bytes, the checksum field taken as spaces.

    The low half of Adler-32 is one plus the sum of the bytes modulo 65521, which 256 bytes cannot
    reach; so three pieces give an exact sum in a fifth of the time of ``sum``.
    """
    adler = zlib.adler32
    return (
        (adler(block[:148]) & 0xFFFF)
        + (adler(block[156:334]) & 0xFFFF)
        + (adler(block[334:]) & 0xFFFF)
        + (8 * 0x20 - 3)
    )


def _text(field: bytes) -> bytes:
    end = field.find(0)
    return field if end < 0 else field[:end]


def _shown(field: bytes) -> str:
    return printable(field.decode("latin-1"))


def _damaged(why: str) -> Error:
    return Error("LK0602", why)
