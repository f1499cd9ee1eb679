"""The boot table's format: records as bytes, and back as text for people and tests.

The same limits and names stand in ``guest/include/layout.h``; what goes into a table is decided
in :mod:`linuxkit.build.boot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = "linuxkit-boot-table"
VERSION = "1"

MAX_TABLE_BYTES = 1048576
MAX_UNITS = 512
MAX_FIELDS = 64
MAX_STRING = 4095
MAX_NAME = 128
MAX_LINK_NAME = 15
MAX_LINK_KIND = 31

RECORDS = {
    "log-ring": ("head", 1, 1),
    "log-file": ("head", 1, 1),
    "console-rate": ("head", 1, 1),
    "parallel": ("head", 1, 1),
    "watchdog": ("head", 2, 2),
    "unit": ("mark", 2, 2),
    "on-failure": ("property", 1, 1),
    "stop-signal": ("property", 1, 1),
    "grace": ("property", 1, 1),
    "timeout": ("property", 1, 1),
    "pidfile": ("property", 1, 1),
    "log": ("property", 1, 1),
    "restart": ("property", 1, 1),
    "back-off": ("property", 4, 4),
    "after": ("property", 1, MAX_FIELDS),
    "requires": ("property", 1, MAX_FIELDS),
    "enter": ("property", 1, MAX_FIELDS),
    "ready": ("property", 4, MAX_FIELDS),
    "health": ("property", 6, MAX_FIELDS),
    "start": ("mark", 0, 0),
    "clean": ("mark", 0, 0),
    "mkdir": ("step", 2, 2),
    "device": ("step", 2, 2),
    "mount": ("step", 5, 5),
    "mount-once": ("step", 5, 5),
    "umount": ("step", 1, 1),
    "bind-ns": ("step", 2, 2),
    "link": ("step", 4, 4),
    "exec": ("step", 1, MAX_FIELDS),
    "end": ("mark", 0, 0),
}
"""Name → where it may stand, least and most fields; layout.h has the same rows."""

_INDENTS = {"head": 0, "property": 1, "step": 2}
_MARK_INDENTS = {"unit": 0, "start": 1, "clean": 1, "end": 0}

_PLAIN = bytes(set(range(ord(" "), ord("~") + 1)) - set(b'"\\'))

Record = tuple[str, ...]


def encode(records: Iterable[Record]) -> bytes:
    """The table of ``records``.

    Raises LK0723 for a field or a list that is too long or holds a NUL, LK0724 for a table that
    is too large.
    """
    words = [MAGIC, VERSION]
    for name, *fields in (*records, ("end",)):
        _check(name, fields)
        words += [f"{len(fields)} {name}", *fields]
    table = b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)
    if len(table) > MAX_TABLE_BYTES:
        raise Error("LK0724", f"the boot table takes {len(table)} bytes; 1 MiB is possible")
    return table


def _check(name: str, fields: list[str]) -> None:
    if len(fields) > MAX_FIELDS:
        raise Error("LK0723", f"{name}: {len(fields)} words; {MAX_FIELDS} are possible")
    for field in fields:
        if "\0" in field or len(field.encode("utf-8", "surrogateescape")) > MAX_STRING:
            shown = printable(field, 60)
            raise Error("LK0723", f'{name}: "{shown}" is too long or holds a NUL character')


def decode(table: bytes) -> Iterator[Record]:
    """The records without the final ``end``.  Raises LK0725 for what is no such table."""
    words = table.split(b"\0")
    if words.pop() or words[:2] != [MAGIC.encode(), VERSION.encode()]:
        raise Error("LK0725", "this is no boot table of this version")
    at = 2
    while at < len(words):
        count, _, name = words[at].decode("utf-8", "replace").partition(" ")
        if name not in RECORDS or not count.isdecimal():
            raise Error("LK0725", f'unknown record "{printable(name or count)}" in the boot table')
        fields = words[at + 1 : at + 1 + int(count)]
        at += 1 + int(count)
        if at > len(words) or not RECORDS[name][1] <= len(fields) <= RECORDS[name][2]:
            raise Error("LK0725", f'the record "{name}" has a wrong number of fields')
        if name == "end":
            break
        yield (name, *(field.decode("utf-8", "surrogateescape") for field in fields))
    else:
        raise Error("LK0725", "the boot table has no end")
    if at != len(words):
        raise Error("LK0725", "the boot table goes on after its end")


def dump(table: bytes) -> str:
    """One line per record, indented by what it belongs to; fields in quotes.  Raises LK0725."""
    lines = [f"{MAGIC} {VERSION}"]
    for name, *fields in decode(table):
        place = RECORDS[name][0]
        indent = _MARK_INDENTS[name] if place == "mark" else _INDENTS[place]
        lines.append("  " * indent + " ".join([name, *map(_quoted, fields)]))
    return "\n".join(lines) + "\n"


def _quoted(field: str) -> str:
    raw = field.encode("utf-8", "surrogateescape")
    shown = (chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in raw)
    return f'"{"".join(shown)}"'
