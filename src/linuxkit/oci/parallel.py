"""Several transfers at once, of which the first failure ends the others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linuxkit.oci.model import Descriptor

_AT_ONCE = 4


def each(
    blobs: Sequence[Descriptor],
    work: Callable[[Descriptor, Callable[[int], None]], None],
    advance: Callable[[int], None],
) -> None:
    """Do ``work`` for every blob; what it reports is passed on to ``advance``.

    Raises what the first that fails raises.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
    from contextvars import copy_context

    stop = threading.Event()

    def step(done: int) -> None:
        if stop.is_set():
            raise _Stopped
        advance(done)

    with ThreadPoolExecutor(_AT_ONCE) as workers:
        # Each job has its own copy of the context, for the reporter is found through it.
        jobs = [workers.submit(copy_context().run, work, blob, step) for blob in blobs]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
            failed = [job.exception() for job in jobs if job.done()]
        finally:
            stop.set()
            workers.shutdown(wait=True, cancel_futures=True)
    for error in failed:
        if error is not None:
            raise error


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """Another transfer has failed, or the user has had enough."""
