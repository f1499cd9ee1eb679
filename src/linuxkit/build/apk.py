"""The package database of Alpine's apk, which each init image brings and the last would win.

Scanners read it for the packages of a running system, so the root gets one of all of them, as
upstream has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.build.plan import Origin
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.oci.store import Blob, Store

PATH = "lib/apk/db/installed"
ORIGIN = Origin("LINUXKIT.apkinit", "init")

_LIMIT = 64 << 20  # bytes of all databases; a big image has some 200 KiB


def merged(trees: Iterable[Blob], store: Store) -> Entry:
    """The database of ``trees``, tar archives without an end, that have one each, dated 1970.

    Raises LK0712 for more bytes than packages can need.
    """
    parts: list[bytes] = []
    for blob in trees:
        with store.open(blob.digest, blob.size) as source:
            for entry in tar.read(source.fileno()):
                if entry.path == PATH and entry.kind is Kind.FILE:
                    _check(sum(map(len, parts)) + entry.content.size)
                    parts += [*entry.content.chunks(), b"\n\n"]
    return Entry(PATH, Kind.FILE, 0o644, content=Bytes(b"".join(parts)))


def _check(size: int) -> None:
    if size > _LIMIT:
        raise Error(
            "LK0712",
            f"the apk databases of the init images have over {_LIMIT >> 20} MiB",
            hint=f"/{PATH} is the list of an image's packages: one of them is damaged",
        )
