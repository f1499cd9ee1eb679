"""Putting right what a check of the store has found (:mod:`linuxkit.oci.fsck`).

Nothing that may be of use is deleted: damaged blobs are put aside in ``linuxkit/quarantine``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base import events, files
from linuxkit.base.errors import Error
from linuxkit.oci import fsck, origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from linuxkit.oci.fsck import Finding
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store

_ROUNDS = 4  # root, index inside it, manifest, its parts
_ASIDE = "put aside in the quarantine"
_DROPPED = "its name was dropped"


def mend(
    store: Store, findings: Sequence[Finding], client: Client | None, *, made: str = ""
) -> tuple[Finding, ...]:
    """Put right what can be; the findings, with what was done, and new ones of what it brought.

    Without a ``client`` no registry is asked.  A name whose image is gone is dropped when it cannot
    be fetched, and so is one that begins with ``made``, for its image is made again when it is
    wanted.  Raises LK0102.
    """
    with _changing(store):
        done = [_at_once(store, finding) for finding in findings]
    if any(f.code == "LK0310" for f in findings):
        store.mend_names()
    outcomes: dict[str, str] = {}
    for name, root in store.names():
        if _lacks(store, root):
            outcomes[name] = _bring(store, name, root, client, made)
    done = [_settled(finding, outcomes) for finding in done]
    known = {(finding.name, finding.digest) for finding in done}
    for name, root in store.names():
        if outcomes.get(name) == "":
            faults = fsck.image_faults(store, name, root)
            done += [fault for fault in faults if (fault.name, fault.digest) not in known]
    with _changing(store):
        # Records of what has just been put aside.
        for finding in fsck.records(store):
            if finding.path is not None:
                finding.path.unlink(missing_ok=True)
    return tuple(done)


def _at_once(store: Store, finding: Finding) -> Finding:
    """What needs no network."""
    path = finding.path
    if finding.code in {"LK0305", "LK0353"} and path is not None:
        _put_aside(store, path)
        return finding._replace(repaired=_ASIDE)
    if finding.code in {"LK0351", "LK0352"} and path is not None:
        path.unlink(missing_ok=True)
        return finding._replace(repaired="removed")
    if finding.code == "LK0310":
        return finding._replace(repaired="the index was mended")
    return finding


def _put_aside(store: Store, path: Path) -> None:
    store.at.quarantine.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.rename(store.at.quarantine / path.name)


def _lacks(store: Store, root: Descriptor) -> bool:
    try:
        return not store.has(root.digest) or any(True for _ in fsck.missing(store, root))
    except Error:
        return True


def _bring(
    store: Store, name: str, root: Descriptor, client: Client | None, made: str
) -> str:
    """Fetch what is missing of an image; what was done, "" if that was nothing."""
    if made and name.startswith(made):
        store.remove_name(name)
        return f"{_DROPPED}: it is made again when it is wanted"
    try:
        if client is not None and _fetch(store, name, root, client):
            return "fetched again"
    except Error as error:
        events.note(f"{name}: {error}", level="warning", code=error.code)
    if store.has(root.digest):
        return ""
    store.remove_name(name)
    return _DROPPED


def _fetch(store: Store, name: str, root: Descriptor, client: Client) -> bool:
    for _ in range(_ROUNDS):
        lacking = list(fsck.missing(store, root)) if store.has(root.digest) else [root]
        for blob in lacking:
            origin.bring(client, name, blob, store)
        if not lacking:
            return True
    return False


def _settled(finding: Finding, outcomes: dict[str, str]) -> Finding:
    """A finding about an image, with what became of that."""
    if not finding.name:
        return finding
    outcome = outcomes.get(finding.name, "")
    return finding._replace(repaired=outcome) if outcome else finding


@contextlib.contextmanager
def _changing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.os_error(error, "mend", store.root) from error
