"""A tree as text, one line per object, for people and for tests that compare."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.tree.entry import Entry

_DIGITS = 8  # of the content's SHA-256: enough to see a difference


def dump(entries: Iterable[Entry]) -> str:
    """``PATH KIND MODE UID:GID @MTIME`` and what belongs to the kind, for each entry.

    That is ``SIZE DIGEST`` for a file, ``-> TARGET`` for a symbolic link, ``=> PATH`` for a hard
    link, ``MAJOR:MINOR`` for a device; then ``NAME=DIGEST`` for each extended attribute.
    """
    return "".join(f"{line(entry)}\n" for entry in entries)


def line(entry: Entry) -> str:
    """One entry; spaces and whatever does not print are shown escaped."""
    words = [
        _shown(entry.path), entry.kind.value, f"{entry.mode:04o}", f"{entry.uid}:{entry.gid}",
        f"@{entry.mtime}",
    ]  # fmt: skip
    if entry.kind is Kind.FILE:
        digest = hashlib.sha256()
        for chunk in entry.content.chunks():
            digest.update(chunk)
        words += [str(entry.content.size), digest.hexdigest()[:_DIGITS]]
    elif entry.kind is Kind.SYMLINK:
        words += ["->", _shown(entry.link)]
    elif entry.kind is Kind.HARDLINK:
        words += ["=>", _shown(entry.link)]
    elif entry.kind in {Kind.CHAR, Kind.BLOCK}:
        words.append(f"{entry.major}:{entry.minor}")
    for name, value in sorted(entry.xattrs.items()):
        words.append(f"{_shown(name)}={hashlib.sha256(value).hexdigest()[:_DIGITS]}")
    return " ".join(words)


def _shown(text: str) -> str:
    def escaped(c: str) -> str:
        if c.isprintable() and c not in " \\":
            return c
        return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}"  # noqa: PLR2004

    return "".join(escaped(c) for c in text)
