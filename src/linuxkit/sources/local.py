"""Images in files and folders of this machine: ``oci:FOLDER`` and ``tar:FILE``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base import events, files
from linuxkit.base.errors import Error, printable
from linuxkit.build.source import Look
from linuxkit.oci import archive
from linuxkit.sources import kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.oci.archive import Imported
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store


class LocalFiles:
    """Brings what a reference with a path names into the store, without a name there.

    A folder is an OCI layout; a file an archive of one, or what ``docker save`` writes.
    """

    name = "files"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[Path, tuple[Imported, ...]] = {}

    def find(self, ref: Ref, _platform: Platform, /) -> Descriptor | None:
        """The image in the file; None for references that name none.

        Raises LK0355 (there is no such file), LK0327 (it is none of images), LK0354 (the image is
        not in it, or another one than the reference has the digest of), LK030x, LK06xx.
        """
        if not ref.is_local:
            return None
        path = path_of(ref)
        if path not in self._read:
            self._read[path] = self._images(path, ref)
        found = archive.choose(self._read[path], ref.tag, str(path)).descriptor
        if ref.digest and found.digest != ref.digest:
            raise Error(
                "LK0354",
                f"{path} has the image {found.digest}, not {ref.digest}",
                hint="the file was replaced: mend the digest, or put the right file back",
            )
        return found

    def missing(self, ref: Ref, _platform: Platform, /) -> Sequence[str] | None:
        """Nothing that a network could bring."""
        return () if ref.is_local else None

    def look(self, ref: Ref, _platform: Platform, /, *, offline: bool) -> Look | None:  # noqa: ARG002 - it is here
        """The file, and what is known to be in it."""
        if not ref.is_local:
            return None
        path = path_of(ref)
        found = archive.listed(path) if path.is_dir() else self._kept(path)
        if found is None:
            size = path.stat().st_size if path.exists() else None
            note = "not read yet" if path.exists() else "there is no such file"
            return Look(path.exists(), str(path), size=size, note=note)
        root = archive.choose(found, ref.tag, str(path)).descriptor
        fits = not ref.digest or root.digest == ref.digest
        return Look(fits, str(path), root.digest, note="" if fits else "of another digest")

    def _kept(self, path: Path) -> tuple[Imported, ...] | None:
        """What was read of a file before, if it is the same since."""
        try:
            with path.open("rb") as file:
                return kept.find(self._store, self._key(path, file.fileno()))
        except OSError:
            return None

    def _images(self, path: Path, ref: Ref) -> tuple[Imported, ...]:
        if path.is_dir():
            return archive.bring_folder(path, self._store)
        try:
            with path.open("rb") as file:
                key = self._key(path, file.fileno())
                found = kept.find(self._store, key)
                if found is None:
                    with events.task("read", str(path)), archive.naming(str(path)):
                        found = archive.bring(file, self._store)
                    kept.keep(self._store, key, found)
                return found
        except FileNotFoundError:
            raise Error(
                "LK0355",
                f"there is no {printable(str(path))}",
                hint=f"{ref.name} is a path beside the YAML file; for an image of that name in a "
                "registry write its host too, as in docker.io/library/tar:1",
            ) from None
        except OSError as error:
            raise files.os_error(error, "read", path) from error

    @staticmethod
    def _key(path: Path, handle: int) -> digests.Digest:
        """One state of one file: any later change shows in its change time (inode(7))."""
        found = os.fstat(handle)
        state = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        return digests.of_value(["images", str(path.absolute()), state])


def path_of(ref: Ref) -> Path:
    """The path that a local reference names."""
    return Path(ref.folder) / Path(ref.name.partition(":")[2]).expanduser()
