"""Receipts for written artifacts, so that a build which changed nothing writes nothing.

The store keeps, for each place, which build was written there and how the file system described the
files afterwards.  Any later change of a file shows in its change time (inode(7)), which programs
cannot set.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.base.events import note
from linuxkit.build import artifact as artifacts
from linuxkit.build.plan import REWRITER
from linuxkit.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from linuxkit.base.digest import Digest
    from linuxkit.build.artifact import Artifact
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.oci.store import Store

_FORM = "receipt"
_LIMIT = 1 << 16
_WRITER = 6
"""Raise it when a format makes other bytes of the same system."""


def build_of(system: System, options: Options) -> Digest:
    """What is being written: the plan, how and by what it is made."""
    written = [_WRITER, REWRITER, __version__, system.plan.digest]
    return digests.of_value([*written, *options.identity])


def find(store: Store, build: Digest, sidecar: Path) -> Artifact | None:
    """The artifact beside ``sidecar`` if it is this build's and nobody has touched a file of it."""
    record = store.derived(_key(sidecar), _FORM)
    if record is None:
        return None
    try:
        kept = json.loads(store.read(record.digest, _LIMIT))
        found = artifacts.load(sidecar)
        same = kept == _describe(build, found)
    except (Error, OSError, ValueError) as error:
        note(f"{sidecar} is written anew: {error}", level="debug")
        return None
    return found if same else None


def keep(store: Store, build: Digest, artifact: Artifact) -> None:
    """Remember that ``build`` was written as ``artifact``.

    The artifact is there and good: a store that cannot be written to only costs the next build.
    """
    data = digests.canonical_json(_describe(build, artifact))
    try:
        store.set_derived(_key(artifact.sidecar), _FORM, store.put(data), len(data))
    except Error as error:
        note(f"the next build will write {artifact.name} again: {error}", level="debug")


def _key(sidecar: Path) -> Digest:
    return digests.of_value([_FORM, str(sidecar.absolute())])


def _describe(build: Digest, artifact: Artifact) -> dict[str, object]:
    paths = [artifact.directory / file.name for file in artifact.files]
    states = {}
    for path in (*paths, artifact.sidecar):
        found = path.stat()
        states[path.name] = [
            found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
        ]  # fmt: skip
    return {"build": build, "files": states}
