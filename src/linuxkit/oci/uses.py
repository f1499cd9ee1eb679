"""What builds have used of a store: small records that keep it from being collected.

A record is a JSON file named after what was built; the time of its last use is the file's own.
Which blobs a build needs is noted by the store itself while it is asked for them.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

COUNT_LIMIT = 1000  # records; the oldest make room
_SIZE_LIMIT = 16 << 20  # bytes of a record or a lock file
_VERSION = 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class Form(NamedTuple):
    """A derived form: its key and its name, such as "tar"."""

    key: Digest
    form: str


class Use(NamedTuple):
    """What one build used.  ``what`` are texts that tell it apart, the first is shown to people."""

    what: tuple[str, ...]
    blobs: frozenset[Digest]
    forms: frozenset[Form]
    locks: tuple[str, ...] = ()  # paths of lock files, whose digests are used as long as they exist
    last_s: float = 0.0  # seconds since 1970
    path: Path | None = None  # of the record


class Noted:
    """What has been used until now."""

    def __init__(self) -> None:
        self.blobs: set[Digest] = set()
        self.forms: set[Form] = set()

    def use(self, what: Sequence[str], locks: Sequence[str] = ()) -> Use:
        """All of it, as the use of one build."""
        return Use(tuple(what), frozenset(self.blobs), frozenset(self.forms), tuple(locks))


def name_of(what: Sequence[str]) -> str:
    """The name of the record."""
    return digests.hex_of(digests.of_value(list(what)))


def encode(use: Use) -> bytes:
    """The text of a record."""
    value = {
        "version": _VERSION,
        "what": use.what,
        "locks": use.locks,
        "blobs": sorted(use.blobs),
        "forms": sorted(use.forms),
    }
    return digests.canonical_json(value)


def read_all(folder: Path) -> Iterator[Use]:
    """Every record that can be understood; a torn one is none."""
    for path in _records(folder):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            last_s = path.stat().st_mtime
            with path.open("rb") as file:
                value: Any = json.loads(file.read(_SIZE_LIMIT))
            if value["version"] != _VERSION:
                continue
            yield Use(
                tuple(map(str, value["what"])),
                frozenset(digests_in(value["blobs"])),
                frozenset(Form(Digest(key), str(form)) for key, form in value["forms"]),
                tuple(map(str, value["locks"])),
                last_s,
                path,
            )


def digests_in(texts: Iterable[object]) -> Iterator[Digest]:
    """Those of ``texts`` that are digests."""
    for text in texts:
        if isinstance(text, str) and _DIGEST.fullmatch(text):
            yield Digest(text)


def locked(use: Use) -> frozenset[Digest]:
    """Every digest in the lock files of a use, as far as they are there.

    Any 64 hexadecimal digits count as one: those of .debs stand there without "sha256:".
    """
    found: set[Digest] = set()
    for name in use.locks:
        with contextlib.suppress(OSError), open(name, "rb") as file:  # noqa: PTH123
            text = file.read(_SIZE_LIMIT)
            found.update(Digest(f"sha256:{hex_.decode()}") for hex_ in _HEX.findall(text))
    return frozenset(found)


def make_room(folder: Path) -> None:
    """Remove the records that were not used for longest, where there are too many."""
    found = _records(folder)
    if len(found) > COUNT_LIMIT:
        aged: list[tuple[float, Path]] = []
        for path in found:
            with contextlib.suppress(OSError):
                aged.append((path.stat().st_mtime, path))
        for _, path in sorted(aged)[: len(found) - COUNT_LIMIT]:
            path.unlink(missing_ok=True)


def _records(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
