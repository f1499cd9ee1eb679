"""Checking a store: whether each blob is what its name says, and all that is named is there.

What is wrong is told as findings; :mod:`linuxkit.oci.mend` puts it right.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error, printable
from linuxkit.oci import inventory, model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Blob, Store

_WORKERS = 4


class Finding(NamedTuple):
    """One thing that is wrong, with the code of its error.

    ``repaired`` says what was done about it, "" as long as it is wrong; ``hint`` what to do.
    """

    code: str
    message: str
    hint: str = ""
    name: str = ""  # of the image that suffers
    digest: str = ""  # of the blob
    path: Path | None = None  # of the file
    repaired: str = ""


class Checked(NamedTuple):
    """What was looked at, in bytes and blobs, and what was found."""

    blobs: int
    size: int
    findings: tuple[Finding, ...]


def check(store: Store) -> Checked:
    """Read every byte of the store and look whether it is right.  Raises LK0102."""
    found = list(inventory.blobs(store))
    damaged = _damaged(store, found)
    wrong = frozenset(finding.digest for finding in damaged)
    findings = [*damaged, *_index(store, wrong), *records(store), *_files(store)]
    return Checked(len(found), sum(blob.size for blob in found), tuple(findings))


def _damaged(store: Store, found: Collection[Blob]) -> list[Finding]:
    """Blobs whose bytes have another digest than their name."""
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    total = sum(blob.size for blob in found)
    with (
        events.task("check", str(store.root), total) as task,
        ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as workers,
    ):

        def look(blob: Blob) -> Finding | None:
            finding = _look(store, blob)
            task.advance(blob.size)
            return finding

        jobs = [workers.submit(copy_context().run, look, blob) for blob in found]
        return [finding for job in jobs if (finding := job.result())]


def _look(store: Store, blob: Blob) -> Finding | None:
    path = store.path(blob.digest)
    try:
        with path.open("rb") as file:
            actual = digests.of_file(file)
    except FileNotFoundError:  # somebody collects meanwhile
        return None
    except OSError as error:
        reason = f"{blob.digest} cannot be read: {os.strerror(error.errno or 0)}"
        return Finding("LK0102", reason, "look after the disk", digest=blob.digest)
    if actual == blob.digest:
        return None
    return Finding(
        "LK0305", f"{blob.digest} is damaged: its {blob.size} bytes have the digest {actual}",
        "linuxkit cache fsck --repair puts it aside and fetches it again where it can",
        digest=blob.digest, path=path,
    )  # fmt: skip


def _index(store: Store, damaged: Collection[str]) -> Iterator[Finding]:
    """What is wrong with the index and with what it names."""
    try:
        faults, names = store.faults(), () if store.faults() else store.names()
    except Error as error:
        if error.code == "LK0102":
            raise
        yield Finding(error.code, error.message, "linuxkit cache fsck --repair puts it aside")
        return
    for fault in faults:
        yield Finding(fault.code, fault.message, "linuxkit cache fsck --repair drops the entry")
    for name, root in names:
        yield from image_faults(store, name, root, damaged)


def image_faults(
    store: Store, name: str, root: Descriptor, damaged: Collection[str] = ()
) -> Iterator[Finding]:
    """What is missing of a named image.  Raises LK0102."""
    shown = printable(name)
    pull = f"linuxkit cache pull {shown}"
    if not store.has(root.digest):
        text = f"{shown} leads to {root.digest}, which is not there"
        yield Finding("LK0350", text, pull, name, root.digest)
        return
    try:
        for part in missing(store, root, damaged):
            lies = store.has(part.digest)
            text = f"{shown} needs {part.digest}, which "
            text += f"has not its {part.size} bytes" if lies else "is not there"
            yield Finding("LK0304" if lies else "LK0303", text, pull, name, part.digest)
    except Error as error:
        yield Finding(error.code, f"{shown}: {error.message}", pull, name, root.digest)


def missing(
    store: Store, root: Descriptor, damaged: Collection[str] = ()
) -> Iterator[Descriptor]:
    """What is not there of the images that are, in part or whole, behind ``root``.

    Of an index that is the images whose manifest is in the store, for the others may never have
    been fetched; where there is none, all of them.  Documents that are known to be ``damaged`` are
    not read.  Raises LK03xx for those that cannot be understood.
    """
    return _missing(store, root, damaged, set(damaged), 1)


def _missing(
    store: Store, root: Descriptor, damaged: Collection[str], seen: set[str], depth: int
) -> Iterator[Descriptor]:
    """``seen`` are documents that need no reading: one may be listed very often."""
    if root.digest in seen:
        return
    seen.add(root.digest)
    data = store.read(root.digest, model.MANIFEST_LIMIT)
    if root.media_type not in model.INDEXES:
        manifest = model.decode_manifest(data, root)
        for part in (manifest.config, *manifest.layers):
            if part.digest not in damaged and not store.has(part.digest, part.size):
                yield part
        return
    entries = model.decode_index(data, root).manifests
    known = [e for e in entries if e.media_type in model.INDEXES | model.MANIFESTS]
    there = [entry for entry in known if store.has(entry.digest)]
    if not there:
        yield from known
    for entry in there:
        if depth <= model.INDEX_DEPTH_LIMIT:
            yield from _missing(store, entry, damaged, seen, depth + 1)


def records(store: Store) -> Iterator[Finding]:
    """Records of derived forms that lead nowhere: a power cut may leave some."""
    for record in inventory.dangling(store):
        text = f"the record of {record.form.form} of {record.form.key} leads nowhere"
        hint = "it is made again when it is wanted; linuxkit cache fsck --repair removes it"
        yield Finding("LK0352", text, hint, path=record.path)


def _files(store: Store) -> Iterator[Finding]:
    for path in inventory.strays(store):
        hint = "linuxkit cache fsck --repair puts it aside"
        yield Finding("LK0353", f"{printable(str(path))} is not a blob", hint, path=path)
    for path in inventory.left(store):
        text = f"{printable(str(path))} was left by a process that was killed"
        hint = "linuxkit cache fsck --repair removes it"
        yield Finding("LK0351", text, hint, path=path)
