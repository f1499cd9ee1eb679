"""Small ELF files, made to measure."""

from __future__ import annotations

import struct


def program(
    needed: list[str], interpreter: str, runpath: str = "", *, machine: int = 62, bits: int = 64,
    order: str = "<", soname: str = "",
) -> bytes:  # fmt: skip
    """A program or library with a dynamic section; nothing in it can run."""
    wide = bits == 64
    header, segment = (64, 56) if wide else (52, 32)
    names = [*needed, runpath, soname]
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    places = {name: strings.index(b"\0" + name.encode() + b"\0") + 1 for name in names if name}
    count = 2 + bool(interpreter)
    interp_at = header + count * segment
    interp = interpreter.encode() + b"\0" if interpreter else b""
    strings_at = interp_at + len(interp)
    dynamic_at = (strings_at + len(strings) + 7) // 8 * 8
    rows = [(1, places[name]) for name in needed] + [(29, places[n]) for n in (runpath,) if n]
    rows += [(5, 0x10000 + strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *row) for row in rows)
    whole = dynamic_at + len(dynamic)
    segments = [(1, 0, 0x10000, whole)]
    if interpreter:
        segments.append((3, interp_at, 0x10000 + interp_at, len(interp)))
    segments.append((2, dynamic_at, 0x10000 + dynamic_at, len(dynamic)))
    table = b"".join(_segment(*one, wide=wide, order=order) for one in segments)
    head = _header(3, machine, (header, len(segments)), (0, 0, 0), wide=wide, order=order)
    return (head + table + interp + strings).ljust(dynamic_at, b"\0") + dynamic


def _segment(kind, offset, address, size, *, wide, order):
    if wide:
        return struct.pack(order + "IIQQQQQQ", kind, 4, offset, address, address, size, size, 8)
    return struct.pack(order + "8I", kind, offset, address, address, size, size, 4, 4)


def _header(kind, machine, programs, sections, *, wide, order):
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    sizes = (64, 56, 64) if wide else (52, 32, 40)
    return ident + struct.pack(
        layout, kind, machine, 1, 0, programs[0], sections[0], 0, sizes[0], sizes[1], programs[1],
        sizes[2], sections[1], sections[2],
    )  # fmt: skip


def module(info: dict[str, str | list[str]], *, bits: int = 64, order: str = "<") -> bytes:
    """A relocatable object with a ``.modinfo`` section, as kernel modules are."""
    wide = bits == 64
    text = b"".join(
        f"{key}={value}\0".encode()
        for key, values in info.items()
        for value in ([values] if isinstance(values, str) else values)
    )
    names = b"\0.modinfo\0.shstrtab\0"
    start = 64 if wide else 52
    names_at = start + len(text)
    sections_at = (names_at + len(names) + 7) // 8 * 8
    layout = order + ("IIQQQQIIQQ" if wide else "10I")
    rows = [(0,) * 10, (1, 1, 0, 0, start, len(text), 0, 0, 1, 0),
            (10, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)]  # fmt: skip
    head = _header(1, 62, (0, 0), (sections_at, 3, 2), wide=wide, order=order)
    body = (head + text + names).ljust(sections_at, b"\0")
    return body + b"".join(struct.pack(layout, *row) for row in rows)
