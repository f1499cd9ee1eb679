"""The records of PAX extended headers: parsed strictly, understood where they concern a tree.

Which header they belong to, and what they override there, is ``tree.tar``'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

XATTR = "SCHILY.xattr."
_MAX_XATTR_NAME = 255  # Linux XATTR_NAME_MAX
_LENGTH_DIGITS = 9
_NUMBER_DIGITS = 20
_NEWLINE = 0x0A
_SPARSE = ("GNU.sparse.", "SCHILY.realsize")
_EACH_ENTRY = ("path", "linkpath", "size", XATTR)
_NO_XATTRS: Mapping[str, bytes] = {}


class Pax(NamedTuple):
    """What the records say of an entry; None where they say nothing."""

    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None
    xattrs: Mapping[str, bytes] = _NO_XATTRS


NOTHING = Pax()


def decode(body: bytes, *, max_value: int, max_total: int) -> Pax:
    """The records of one extended header; unknown ones are ignored, as POSIX asks.

    An extended attribute's value has at most ``max_value`` bytes, all of an entry's ``max_total``.
    Fractions of seconds are dropped.  Raises LK0602 (damaged), LK0603 (sparse), LK0604 (a record
    twice), LK0605 (limits).
    """
    records = parse(body)
    if any(key.startswith(_SPARSE) for key in records):
        raise Error("LK0603", "sparse files are not supported")
    return Pax(
        records.get("path"),
        records.get("linkpath"),
        _number(records, "size"),
        _number(records, "uid"),
        _number(records, "gid"),
        _time(records),
        _xattrs(records, max_value, max_total),
    )


def decode_global(body: bytes) -> Pax:
    """The records of a global header: owners and times only, for nothing else makes sense.

    Raises LK0602, LK0603 and LK0604.
    """
    records = parse(body)
    if any(key.startswith(_SPARSE) for key in records):
        raise Error("LK0603", "sparse files are not supported")
    for key in records:
        if key.startswith(_EACH_ENTRY):
            raise Error("LK0604", f'a global header sets "{printable(key)}" for every entry')
    uid, gid = _number(records, "uid"), _number(records, "gid")
    return Pax(uid=uid, gid=gid, mtime=_time(records))


def over(upper: Pax, lower: Pax) -> Pax:
    """``upper`` with the owners and the time of ``lower`` where it has none."""
    return upper._replace(
        uid=lower.uid if upper.uid is None else upper.uid,
        gid=lower.gid if upper.gid is None else upper.gid,
        mtime=lower.mtime if upper.mtime is None else upper.mtime,
    )


def parse(body: bytes) -> dict[str, bytes]:
    r"""Split ``"LENGTH KEY=VALUE\n"`` records, in linear time.  Raises LK0602 and LK0604."""
    records: dict[str, bytes] = {}
    at, end = 0, len(body)
    while at < end:
        space = body.find(b" ", at, at + _LENGTH_DIGITS)
        digits = body[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise Error("LK0602", "an extended header has a record without a length")
        stop = at + int(digits)
        equals = body.find(b"=", space + 1, max(stop - 1, 0))
        # The first test also keeps a length of 0 from standing still for ever.
        if not space < stop <= end or equals <= space + 1 or body[stop - 1] != _NEWLINE:
            raise Error("LK0602", "an extended header has a malformed record")
        key = body[space + 1 : equals].decode("utf-8", "surrogateescape")
        if "\0" in key:
            raise Error("LK0602", "an extended header has a key with a NUL character")
        if key in records:
            raise Error("LK0604", f'an extended header has "{printable(key)}" twice')
        records[key] = body[equals + 1 : stop - 1]
        at = stop
    return records


def encode(records: Mapping[str, bytes]) -> bytes:
    """An extended header's body; records in the order of their keys."""
    return b"".join(_record(key, records[key]) for key in sorted(records))


def _record(key: str, value: bytes) -> bytes:
    raw = key.encode("utf-8", "surrogateescape")
    size = len(raw) + len(value) + 3  # space, equals sign and newline
    length = size + len(str(size))
    if len(str(length)) > len(str(size)):
        length = size + len(str(length))
    return b"%d %b=%b\n" % (length, raw, value)


def _number(records: Mapping[str, bytes], key: str) -> int | None:
    value = records.get(key)
    if value is None:
        return None
    if not value.isdigit() or len(value) > _NUMBER_DIGITS:
        raise _bad(key, value)
    return int(value)


def _time(records: Mapping[str, bytes]) -> int | None:
    value = records.get("mtime")
    if value is None:
        return None
    whole, _, fraction = value.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > _NUMBER_DIGITS or fraction.strip(b"0123456789"):
        raise _bad("mtime", value)
    # Rounding down is what a file system's whole seconds mean, before 1970 too.
    return int(whole) - (whole != digits and bool(fraction.strip(b"0")))


def _xattrs(records: Mapping[str, bytes], max_value: int, max_total: int) -> Mapping[str, bytes]:
    found = {key.removeprefix(XATTR): records[key] for key in records if key.startswith(XATTR)}
    total = 0
    for name, value in found.items():
        if not name:
            raise Error("LK0602", "an extended attribute has no name")
        if len(name.encode("utf-8", "surrogateescape")) > _MAX_XATTR_NAME:
            raise Error("LK0605", f'the attribute name "{printable(name)}" is too long')
        if len(value) > max_value:
            raise Error("LK0605", f'the attribute "{printable(name)}" has over {max_value} bytes')
        total += len(name) + len(value)
    if total > max_total:
        raise Error("LK0605", f"the extended attributes have over {max_total} bytes")
    return found or _NO_XATTRS


def _bad(key: str, value: bytes) -> Error:
    shown = printable(value.decode("latin-1"), 40)
    return Error("LK0602", f'an extended header has "{shown}" for {key}')
