"""Collecting what nothing names any more: blobs, derived forms, records of old builds.

What stays is what the index names, what recent builds have used and what their lock files name,
with all that these lead to.  The rest is taken out of its place at once, and deleted as soon as
no process lives that may have seen it there (:mod:`linuxkit.oci.lease`); until then whoever asks
for it gets it back.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base import events, files
from linuxkit.oci import inventory, model, uses
from linuxkit.oci.names import REF_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from linuxkit.base.digest import Digest
    from linuxkit.oci.inventory import Record
    from linuxkit.oci.store import Blob, Store
    from linuxkit.oci.uses import Form, Use

KEEP_S = 30 * 86400
GRACE_S = 3600


class Rules(NamedTuple):
    """What is spared.

    Builds of the last ``keep_s`` seconds, and blobs and records that are younger than ``grace_s``:
    another tool that works on the store, which has no lease, may be about to name them.  Names that
    begin with ``made`` stand for images that are made anew when they are wanted: they stay as long
    as a recent build has used them, or one whose lock file is still there.
    """

    keep_s: float = KEEP_S
    grace_s: float = GRACE_S
    made: str = ""


class Collected(NamedTuple):
    """What a collection has found; ``size`` and ``waiting`` in bytes."""

    blobs: int = 0
    records: int = 0  # of derived forms
    uses: int = 0  # records of builds
    names: tuple[str, ...] = ()
    left: int = 0  # drafts of dead processes
    size: int = 0  # freed
    waiting: int = 0  # freed as soon as the processes that now use the store are gone


class _Live(NamedTuple):
    """What stays."""

    blobs: frozenset[Digest]
    forms: frozenset[Form]
    old_uses: tuple[Use, ...]
    old_names: tuple[str, ...]


def collect(store: Store, rules: Rules, *, dry_run: bool = False) -> Collected:
    """Take out what nothing keeps.  With ``dry_run`` only tell what that would be.

    Any number of processes may use the store meanwhile.  Raises LK0310 (without a good index
    nothing can be told), LK0102.
    """
    if not store.root.is_dir():
        return Collected()
    if dry_run:
        return _plan(store, rules)
    with _changing(store):
        store.at.locks.mkdir(parents=True, exist_ok=True)
        store.release()  # our own lease is nobody's to wait for
        with (
            files.locked(store.at.locks / "gc"),
            events.task("collect", str(store.root), unit="") as task,
        ):
            return _collect(store, rules, store.now_s(), task)


def clean(store: Store) -> Collected:
    """Take out everything.  Raises LK0102."""
    if not store.root.is_dir():
        return Collected()
    store.clear_names()
    return collect(store, Rules(keep_s=-1, grace_s=0))


def _plan(store: Store, rules: Rules) -> Collected:
    now_s = time.time()
    live = _live(store, rules, now_s)
    blobs = list(_dead_blobs(store, live, now_s - rules.grace_s))
    size = sum(blob.size for blob in blobs) + sum(taken.size for taken in store.trash.files())
    return Collected(
        len(blobs), sum(1 for _ in _dead_records(store, live, now_s - rules.grace_s)),
        len(live.old_uses), live.old_names, sum(1 for _ in inventory.left(store)), size,
    )  # fmt: skip


def _collect(store: Store, rules: Rules, now_s: float, task: events.Task) -> Collected:
    live = _live(store, rules, now_s)
    before_s = now_s - rules.grace_s
    for name in live.old_names:
        store.remove_name(name)
    for use in live.old_uses:
        if use.path is not None:
            use.path.unlink(missing_ok=True)
    strays = list(inventory.left(store))
    for path in strays:
        path.unlink(missing_ok=True)
    blobs, records = _take_out(store, live, before_s, task)
    # From here on a process that begins does not find them in their places.
    store.leases.advance()
    store.release()
    over = store.leases.oldest_held()
    # Who was there before may have named some of them since we looked: looking brings them back.
    _live(store, rules, now_s)
    store.release()
    freed = waiting = 0
    for taken in store.trash.files():
        if taken.epoch >= over:
            waiting += taken.size
        elif store.trash.forget(taken):
            freed += taken.size
    for record in list(inventory.dangling(store)):
        # Written after we looked for such, by somebody who is gone: its blob went just now.
        record.path.unlink(missing_ok=True)
        records += 1
    store.release()
    return Collected(
        blobs, records, len(live.old_uses), live.old_names, len(strays), freed, waiting
    )


def _take_out(store: Store, live: _Live, before_s: float, task: events.Task) -> tuple[int, int]:
    """Move what is dead to the trash; how many blobs and records that were."""
    epoch = store.leases.newest() or 0
    blobs = records = 0
    with store.trash.taking():
        for record in _dead_records(store, live, before_s):
            # Its folder stays, empty or not: somebody may be about to put another form there.
            name = f"{digests.hex_of(record.form.key)}.{record.form.form}"
            records += store.trash.take(record.path, name, epoch)
        for blob in _dead_blobs(store, live, before_s):
            path = store.path(blob.digest)
            blobs += store.trash.take(path, path.name, epoch)
            task.advance(1)
    return blobs, records


def _live(store: Store, rules: Rules, now_s: float) -> _Live:
    """What stays; whatever of it was taken out before is brought back by being looked at."""
    recent: list[Use] = []
    old: list[Use] = []
    blobs: set[Digest] = set()
    settled: set[Digest] = set()  # used by builds that have a lock still, however long ago
    for use in store.uses():
        named = uses.locked(use)
        blobs |= named
        settled |= use.blobs if named else frozenset()
        if now_s - use.last_s <= rules.keep_s:
            recent.append(use)
            blobs |= use.blobs
        elif not named:
            old.append(use)
    forms = {form for use in recent for form in use.forms}
    for form in forms:
        found = store.derived(*form)
        if found is not None:
            blobs.add(found.digest)
    names = tuple(
        name
        for name, root in store.names()
        if rules.made and name.startswith(rules.made) and root.digest not in blobs | settled
        if _is_older(store.path(root.digest), now_s - rules.keep_s)
    )
    blobs.update(
        root.digest for root in store.roots() if dict(root.annotations).get(REF_NAME) not in names
    )
    return _Live(reach(store, blobs), frozenset(forms), tuple(old), names)


def reach(store: Store, roots: Iterable[Digest]) -> frozenset[Digest]:
    """``roots`` and every blob that indexes and manifests among them lead to, there or not.

    A document that cannot be read leads to nothing.  Raises LK0102.
    """
    found: set[Digest] = set()
    todo = list(roots)
    while todo:
        digest = todo.pop()
        if digest not in found:
            found.add(digest)
            todo += _parts(store, digest)
    return frozenset(found)


def _parts(store: Store, digest: Digest) -> Iterator[Digest]:
    """What a blob names, if it is an index or a manifest."""
    if not store.has(digest):
        return
    with contextlib.suppress(FileNotFoundError), store.path(digest).open("rb") as file:
        head = file.read(1)
        if head != b"{":
            return
        data = head + file.read(model.MANIFEST_LIMIT)
        if len(data) > model.MANIFEST_LIMIT:
            return
        with contextlib.suppress(ValueError, RecursionError):
            document: Any = json.loads(data)
            yield from uses.digests_in(_named(document))


def _named(document: dict[str, Any]) -> Iterator[object]:
    for key in ("manifests", "layers"):
        entries = document.get(key)
        if isinstance(entries, list):
            yield from (entry.get("digest") for entry in entries if isinstance(entry, dict))
    config = document.get("config")
    if isinstance(config, dict):
        yield config.get("digest")


def _dead_blobs(store: Store, live: _Live, before_s: float) -> Iterator[Blob]:
    for blob in inventory.blobs(store):
        if blob.digest not in live.blobs and _is_older(store.path(blob.digest), before_s):
            yield blob


def _dead_records(store: Store, live: _Live, before_s: float) -> Iterator[Record]:
    for record in inventory.records(store):
        if record.form not in live.forms and _is_older(record.path, before_s):
            yield record


def _is_older(path: Path, before_s: float) -> bool:
    try:
        return path.stat().st_mtime <= before_s
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _changing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.os_error(error, "collect in", store.root) from error
