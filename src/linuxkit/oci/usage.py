"""What takes the space of a store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.oci import inventory
from linuxkit.oci.gc import reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from linuxkit.base.digest import Digest
    from linuxkit.oci.store import Store

_DEB = b"!<arch>\n"  # how an ar archive begins (deb(5))


class Share(NamedTuple):
    """An image: the bytes that go when only it goes, and those that others have too."""

    name: str
    own: int
    shared: int


class Part(NamedTuple):
    """One kind of content, in files and bytes."""

    kind: str
    files: int
    size: int


class Usage(NamedTuple):
    """Images, and everything by its kind; what counts as one kind counts as no other."""

    images: tuple[Share, ...]
    parts: tuple[Part, ...]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(part.size for part in self.parts)


def measure(store: Store) -> Usage:
    """Look at every blob's size.  Raises LK0310, LK0102."""
    sizes = {blob.digest: blob.size for blob in inventory.blobs(store)}
    reached = {name: reach(store, [root.digest]) for name, root in store.names()}
    users: dict[Digest, int] = {}
    for blobs in reached.values():
        for digest in blobs:
            users[digest] = users.get(digest, 0) + 1
    shares = []
    for name, blobs in reached.items():
        own = sum(sizes.get(digest, 0) for digest in blobs if users[digest] == 1)
        shared = sum(sizes.get(digest, 0) for digest in blobs if users[digest] > 1)
        shares.append(Share(name, own, shared))
    return Usage(tuple(sorted(shares)), tuple(_parts(store, sizes)))


def _parts(store: Store, sizes: Mapping[Digest, int]) -> list[Part]:
    left = dict(sizes)
    kinds: dict[str, list[int]] = {}

    def count(kind: str, digests: Iterable[Digest]) -> None:
        rows = kinds.setdefault(kind, [])
        rows += [left.pop(digest) for digest in list(digests) if digest in left]

    count("images", reach(store, (root.digest for root in store.roots())))
    for record in inventory.records(store):
        if record.blob is not None:
            count(_kind(record.form.form), [record.blob.digest])
    count("Debian packages", [digest for digest in left if _is_deb(store, digest)])
    count("named by nothing", list(left))
    found = [Part(kind, len(rows), sum(rows)) for kind, rows in kinds.items()]
    return [
        *found,
        _files("collected, still in use", (taken.path for taken in store.trash.files())),
        _files("left by killed processes", inventory.left(store)),
        _files("quarantine", inventory.quarantined(store)),
    ]


def _kind(form: str) -> str:
    if form == "tar":
        return "segments"
    return "compressed pieces" if form.startswith("cpio.") else "kernels and other derived forms"


def _is_deb(store: Store, digest: Digest) -> bool:
    with contextlib.suppress(OSError), store.path(digest).open("rb") as file:
        return file.read(len(_DEB)) == _DEB
    return False


def _files(kind: str, paths: Iterable[Path]) -> Part:
    sizes = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return Part(kind, len(sizes), sum(sizes))
