"""The files of one artifact, which appear all together or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple, Self

from linuxkit.base import events, files
from linuxkit.build.artifact import Artifact, OutFile
from linuxkit.formats import receipt
from linuxkit.tree.entry import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.formats import Format, Options
    from linuxkit.oci.store import Blob, Store


class Output:
    """Where a format writes; use as a context manager, whose good end makes the files appear."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.name = name
        self._stack = contextlib.ExitStack()
        self._open: list[tuple[str, str, BinaryIO]] = []
        self.files: tuple[OutFile, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.files = tuple(OutFile(r, name, _length(out)) for r, name, out in self._open)
        self._stack.__exit__(*error)  # type: ignore[arg-type] # the three are passed on as they came

    def file(self, role: str, suffix: str) -> BinaryIO:
        """A new file NAME``suffix`` for ``role``; closed with the output."""
        name = self.name + suffix
        out = self._stack.enter_context(files.replacing(self._directory / name, sync=False))
        self._open.append((role, name, out))
        return out


def _length(out: BinaryIO) -> int:
    """Tools write to the file too, so its position says nothing."""
    out.flush()
    return os.fstat(out.fileno()).st_size


def write_artifact(
    system: System, kind: str, form: Format, *, directory: Path, name: str, options: Options
) -> Artifact:
    """Let ``form`` write its files into ``directory``, and the sidecar beside them.

    Files that lie there as an earlier run of the same build has written them are left alone.
    """
    files.need_folder(directory)
    build = receipt.build_of(system, options)
    written = receipt.find(system.store, build, directory / f"{name}.{kind}.json")
    if written:
        return written
    with events.task("write", f"{name} ({kind})"), Output(directory, name) as out:
        boot = form.emit(system, out, options)
    arch, plan = system.plan.arch, system.plan.digest
    signer = options.signer.certificate.pem if options.signer else ""
    artifact = Artifact(kind, name, directory, arch, plan, out.files, boot, signer)
    artifact.save()
    receipt.keep(system.store, build, artifact)
    return artifact


def copy_blob(store: Store, blob: Blob, out: BinaryIO) -> None:
    """Append a blob to ``out``."""
    with store.open(blob.digest, blob.size) as source:
        files.copy_range(source, out, blob.size)


class Blobs(NamedTuple):
    """Several blobs as the content of one archive member."""

    store: Store
    blobs: Sequence[Blob]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(blob.size for blob in self.blobs)

    def chunks(self) -> Iterator[bytes]:
        """The bytes of one after the other."""
        for blob in self.blobs:
            with self.store.open(blob.digest, blob.size) as source:
                while data := source.read(CHUNK):
                    yield data
