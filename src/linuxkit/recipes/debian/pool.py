"""Brings .debs into the store, several at a time, from the first archive that has the right one.

A .deb is a blob like any other: found by its digest, checked while it is written and again
before it is opened, so that later builds need no network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import digest, events
from linuxkit.base.errors import Error, raise_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from linuxkit.net.http import Transport
    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.lock import Deb
    from linuxkit.recipes.debian.mirror import Mirrors

_AT_ONCE = 4


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """Ends a download that nobody waits for any more."""


class Pool:
    """The .debs of a store, and where to get more."""

    def __init__(
        self, store: Store, mirrors: Callable[[], Mirrors], transport: Callable[[], Transport]
    ) -> None:
        """``mirrors`` and ``transport`` are only called when something must be fetched."""
        self._store = store
        self._mirrors = mirrors
        self._transport = transport

    def missing(self, debs: Sequence[Deb]) -> tuple[Deb, ...]:
        """Those that are not in the store."""
        return tuple(deb for deb in debs if not self._store.has(deb.sha256, deb.size))

    def fetch(self, debs: Sequence[Deb], what: str) -> None:
        """Make all of ``debs`` present; ``what`` they are for is told to the listener.

        Raises, for all that failed: LK0527 (no archive has it), LK0528 (what the archives have is
        another file), or the transport's errors.
        """
        missing = self.missing(debs)
        if not missing:
            return
        mirrors, transport = self._mirrors(), self._transport()
        total = sum(deb.size for deb in missing)
        with events.task("download", what, total) as task:

            def get(deb: Deb, stopped: Callable[[], bool]) -> None:
                def advance(done: int) -> None:
                    if stopped():
                        raise _Stopped
                    task.advance(done)

                self._one(deb, mirrors, transport, advance)

            raise_all(_side_by_side(get, missing))

    def open(self, deb: Deb) -> BinaryIO:
        """Open a .deb that is present, after checking its bytes.  Raises LK0303 to LK0305."""
        handle = self._store.open(deb.sha256, deb.size)
        if digest.of_file(handle) != deb.sha256:
            handle.close()
            path = self._store.path(deb.sha256)
            raise Error(
                "LK0305", f"{deb.package} {deb.version} is damaged in the store",
                hint=f"remove {path} and build again",
            )  # fmt: skip
        handle.seek(0)
        return handle

    def _one(
        self, deb: Deb, mirrors: Mirrors, transport: Transport, advance: Callable[[int], None]
    ) -> None:
        failures: list[Error] = []
        for url in mirrors.files(deb.suite, deb.pool, deb.seen):
            try:
                with self._store.writer(deb.sha256, deb.size) as blob:
                    transport.fetch(url, blob, limit=deb.size, progress=advance)
            except Error as error:
                failures.append(error)
            else:
                return
        raise _not_had(deb, failures)


def _not_had(deb: Deb, failures: Sequence[Error]) -> Error:
    """One error for one .deb, out of what each archive answered."""
    name = f"{deb.package} {deb.version}"
    tried = "\n".join(str(error) for error in failures)
    codes = {error.code for error in failures}
    if codes & {"LK0304", "LK0305", "LK0414"}:
        return Error(
            "LK0528", f"what the mirror has as {name} is another file than the lock names",
            hint="use another mirror, or lock what it has: linuxkit lock FILE... --update",
            detail=tried,
        )  # fmt: skip
    if codes == {"LK0411"} or not failures:
        return Error(
            "LK0527", f"no archive has {name} any more",
            hint="lock the versions that there are now (linuxkit lock FILE... --update), or name a "
            "snapshot service with LINUXKIT_DEBIAN_SNAPSHOT", detail=tried,
        )  # fmt: skip
    first = failures[0]
    return Error(first.code, first.message, hint=first.hint, detail=f"while fetching {name}")


def _side_by_side(
    work: Callable[[Deb, Callable[[], bool]], None], debs: Sequence[Deb]
) -> list[Error]:
    """Do ``work`` for each of ``debs``; what is under way ends early when there is no use in it."""
    import threading
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    stop = threading.Event()
    errors: list[Error] = []
    with ThreadPoolExecutor(_AT_ONCE) as workers:
        # Each job has its own copy of the context, for the reporter is found through it.
        jobs = [workers.submit(copy_context().run, work, deb, stop.is_set) for deb in debs]
        try:
            for job in jobs:
                try:
                    job.result()
                except Error as error:
                    errors.append(error)
                    if error.code == "LK0410":  # one unreachable host is one message, not forty
                        break
        finally:
            # Also after an interrupt: who pressed Ctrl-C does not want to wait for the rest.
            stop.set()
            workers.shutdown(wait=False, cancel_futures=True)
    return errors
