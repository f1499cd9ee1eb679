"""DER (ITU-T X.690): writing just what signatures that firmware reads are made of."""

from __future__ import annotations

INTEGER, BITS, OCTETS, NULL, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x30, 0x31
_SHORT = 0x80


def value(tag: int, *parts: bytes) -> bytes:
    """One value: its tag, the length of its content, and that."""
    content = b"".join(parts)
    size = len(content)
    if size < _SHORT:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT | len(length))) + length + content


def content(data: bytes) -> bytes:
    """The content of the value that ``data`` begins with.  Raises ValueError."""
    if len(data) < 2 or data[1] == _SHORT:  # noqa: PLR2004 - tag and length
        raise ValueError("this is not DER")
    start, size = 2, data[1]
    if size & _SHORT:
        start += size & ~_SHORT
        size = int.from_bytes(data[2:start], "big")
    if start + size > len(data):
        raise ValueError("the value is cut short")
    return data[start : start + size]


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE."""
    return value(SEQUENCE, *parts)


def tagged(number: int, *parts: bytes) -> bytes:
    """[number], around values or in their place."""
    return value(0xA0 | number, *parts)


def integer(number: int) -> bytes:
    """INTEGER, of a number that is not negative."""
    return value(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octets(data: bytes) -> bytes:
    """OCTET STRING."""
    return value(OCTETS, data)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER of a text such as "1.2.840"."""
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return value(0x06, content)
