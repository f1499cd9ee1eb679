"""Content digests (``sha256:<hex>``), canonical JSON, and hashing while streaming."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, NewType

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import ReadableBuffer

Digest = NewType("Digest", str)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def parse(text: object) -> Digest:
    """Check untrusted ``text``: only lower-case sha256 is a digest (OCI image-spec, descriptor).

    Raises :class:`Error` LK0301.
    """
    if isinstance(text, str) and _DIGEST.fullmatch(text):
        return Digest(text)
    raise Error("LK0301", f'"{printable(str(text))}" is not a sha256 digest')


def hex_of(digest: Digest) -> str:
    """The 64 hexadecimal characters; safe as a file name because digests are checked at birth."""
    return digest[7:]


def of_bytes(data: ReadableBuffer) -> Digest:
    """The digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def of_file(stream: BinaryIO) -> Digest:
    """The digest of everything that is left in ``stream``."""
    checksum = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        checksum.update(chunk)
    return Digest("sha256:" + checksum.hexdigest())


def canonical_json(value: object) -> bytes:
    """One spelling for one value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def of_value(value: object) -> Digest:
    """The digest of a JSON-able value; equal values have equal digests."""
    return of_bytes(canonical_json(value))


class HashingWriter:
    """Passes what is written on to ``out`` and knows its length and digest."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: ReadableBuffer) -> int:
        """Write all of ``data``."""
        self._hash.update(data)
        self._out.write(data)
        length = memoryview(data).nbytes
        self.size += length
        return length

    @property
    def digest(self) -> Digest:
        """The digest of everything written so far."""
        return Digest("sha256:" + self._hash.hexdigest())
