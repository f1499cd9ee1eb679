"""The system's root as one tree, and as file systems that are made once and kept in the store."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.disk import filesystem
from linuxkit.formats import identity
from linuxkit.oci.store import Blob
from linuxkit.tree import tar
from linuxkit.tree.merge import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.disk.tools import Tools

_MAKER = 3
"""Raise it when anything kept here gets other bytes from the same system and tools."""


@contextlib.contextmanager
def merged(system: System) -> Iterator[Tree]:
    """The root as one tree, without what boot loaders read; contents lie in the store."""
    tree = Tree()
    with contextlib.ExitStack() as stack:
        for segment in system.segments:
            source = stack.enter_context(system.store.open(segment.tar.digest, segment.tar.size))
            tree.apply(tar.read(source.fileno()), whiteouts=False)
        tree.remove("boot")
        yield tree


def kept(
    system: System, form: str, about: object, make: Callable[[BinaryIO], None]
) -> Blob:
    """What ``make`` writes to an empty file, made once for this system and ``about``."""
    key = digests.of_value([_MAKER, system.plan.digest, about])
    found = system.store.derived(key, form)
    if found:
        return found
    with system.store.temporary() as scratch:
        make(scratch)
        scratch.flush()
        scratch.seek(0)
        with system.store.writer() as out:
            while data := scratch.read(1 << 20):
                out.write(data)
    system.store.set_derived(key, form, out.digest, out.size)
    return Blob(out.digest, out.size)


def root(system: System, kind: str, tools: Tools) -> Blob:
    """The root as a file system of ``kind``."""

    def make(out: BinaryIO) -> None:
        with events.task("pack", f"root file system ({kind})", unit=""), merged(system) as tree:
            filesystem.make(kind, tree.entries(), out, identity.uuid(system, "root"), tools)

    return kept(system, kind, tools.identity, make)
