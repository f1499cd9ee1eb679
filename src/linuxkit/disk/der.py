"""Writing DER (ITU-T X.690): just what signatures that firmware reads are made of."""

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
