"""The content-addressed store: an OCI image layout that any number of processes use at once.

It keeps blobs, the names that point at them and the records of derived forms; what the blobs mean
is left to :mod:`linuxkit.oci.image`, how they are made and fetched to the layers above.

On disk it is what the Go tool calls its cache (image-spec, image-layout.md): ``oci-layout``,
``index.json``, ``blobs/sha256/HEX`` and the lock file ``.lock``.  What only we understand lies in
``linuxkit/``: drafts in ``tmp``, ``derived/KK/KEY/FORM``, records of ``uses`` by builds, ``leases``
of running processes, and ``trash``: what was collected while somebody may still want it.

Crashes: a file is written as a draft, flushed to disk and only then renamed, so a name never leads
to half a file, whatever is killed and whenever the power fails.  The record of a derived form is
not flushed itself.  It is written after its blob is safe on disk and names that blob by size and
digest, so a record that a power cut lost or tore is no record: one rebuild, never a wrong byte.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.oci import names as names_
from linuxkit.oci import uses
from linuxkit.oci.draft import BlobWriter, Drafts
from linuxkit.oci.folders import Folders
from linuxkit.oci.indexfile import IndexFile, changing, is_refusal
from linuxkit.oci.lease import Lease, Leases
from linuxkit.oci.trash import Trash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.names import Names
    from linuxkit.oci.uses import Use

T = TypeVar("T")

_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_RECORD = rb"(sha256:[0-9a-f]{64}) (0|[1-9][0-9]{0,15})\n"


def default_root() -> Path:
    """``$LINUXKIT_CACHE``, else ``~/.linuxkit/cache``.  Raises LK0311 when there is no home."""
    chosen = os.environ.get("LINUXKIT_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".linuxkit" / "cache"
    except RuntimeError as error:
        raise Error(
            "LK0311", "there is no home folder for the cache", hint="set LINUXKIT_CACHE to a folder"
        ) from error


class Blob(NamedTuple):
    """A blob in the store; ``size`` in bytes."""

    digest: Digest
    size: int


class Store:
    """The store in the folder ``root``, which is made when something is first written.

    Readers need no permission to write, and wait for nobody; only one who misses a file waits while
    a collector moves some.  A lease tells that there are readers.
    ``sync=False`` leaves out every flush to disk, for stores that are thrown away.
    """

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        self.root = root
        self._sync = sync
        self.at = Folders(root)
        self.drafts = Drafts(self.at.tmp)
        self._index = IndexFile(self.at)
        self._noted = uses.Noted()
        self.leases = Leases(self.at.leases)
        self.trash = Trash(self.at.trash, self.at.locks / "trash")
        self._lease: Lease | None = None

    # Blobs

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, or would."""
        return self.at.blob(digest)

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Whether the blob is there, with ``size`` bytes if that is given.  Raises LK0102."""
        self._hold()
        path = self.path(digest)
        try:
            found = self._there(path, path.name, path.stat)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise files.os_error(error, "look at") from error
        self._noted.blobs.add(digest)
        return size is None or found.st_size == size

    def open(self, digest: Digest, size: int | None = None) -> BinaryIO:
        """Open a blob to read; its digest is checked by who reads it.

        Raises LK0303 (not there), LK0304 (not of ``size`` bytes), LK0102.
        """
        self._hold()
        path = self.path(digest)
        try:
            blob = self._there(path, path.name, lambda: path.open("rb"))
        except FileNotFoundError as error:
            raise Error(
                "LK0303",
                f"{digest} is not in the store",
                hint="the image was not fetched whole: fetch or build it again",
            ) from error
        except OSError as error:
            raise files.os_error(error, "read") from error
        self._noted.blobs.add(digest)
        found = os.fstat(blob.fileno()).st_size
        if size is not None and found != size:
            blob.close()
            raise self._damaged("LK0304", digest, f"{found} bytes lie there instead of {size}")
        return blob

    def read(self, digest: Digest, limit: int) -> bytes:
        """The whole of a small blob, its digest checked.

        Raises LK0303, LK0305 (damaged), LK0308 (more than ``limit`` bytes), LK0102.
        """
        with self.open(digest) as blob:
            try:
                data = blob.read(limit + 1)
            except OSError as error:
                raise files.os_error(error, "read", self.path(digest)) from error
        if len(data) > limit:
            raise Error("LK0308", f"{digest}: more than {limit} bytes, which is the most allowed")
        if digests.of_bytes(data) != digest:
            raise self._damaged("LK0305", digest, "the bytes that lie there have another digest")
        return data

    def put(self, data: bytes) -> Digest:
        """Store ``data``; a good blob that is there already is left alone.  Raises LK0102."""
        digest = digests.of_bytes(data)
        with contextlib.suppress(OSError):
            if self.has(digest, len(data)) and self.path(digest).read_bytes() == data:
                return digest
        with self.writer(digest, len(data)) as blob:
            blob.write(data)
        return digest

    @contextlib.contextmanager
    def writer(self, expect: Digest | None = None, size: int | None = None) -> Iterator[BlobWriter]:
        """Store what is written inside the block, if it is what was announced.

        It takes the place of a blob that is there already, which mends a damaged one.  An error,
        from inside the block too, leaves nothing.  Raises LK0304, LK0305, LK0102.
        """
        with contextlib.ExitStack() as stack:
            with self._changing("store a blob"):
                draft = stack.enter_context(self._ready().new())
            blob = BlobWriter(draft.out, self.root, expect, size)
            yield blob
            blob.check()
            with self._changing("store a blob"):
                draft.publish(self.path(blob.digest), sync=self._sync)
            self._noted.blobs.add(blob.digest)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """A scratch file without a name, on the file system of the store; gone after the block.

        Where the store may not be written, it lies in the system's folder for such files.
        Raises LK0102.
        """
        try:
            with self._changing("make a scratch file"):
                scratch = self._ready().nameless()
        except Error as error:
            if not is_refusal(error):
                raise
            import tempfile

            scratch = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            yield scratch
        finally:
            with contextlib.suppress(OSError):  # it would flush to a full disk what is thrown away
                scratch.close()

    # Names

    def find(self, name: str) -> Descriptor | None:
        """What ``name`` stands for.  Raises LK0310 (index.json is damaged), LK0102."""
        return self._current().find(name)

    def names(self) -> tuple[tuple[str, Descriptor], ...]:
        """All names, in the order of ``index.json``.  Raises as :meth:`find`."""
        return self._current().all()

    def roots(self) -> tuple[Descriptor, ...]:
        """What the index lists, by name or without one.  Raises as :meth:`find`."""
        return self._current().roots()

    def faults(self) -> tuple[Error, ...]:
        """What is wrong with single entries of the index.  Raises as :meth:`find`."""
        return self._current().faults()

    def set_name(self, name: str, descriptor: Descriptor) -> None:
        """Let ``name`` stand for ``descriptor`` alone.  Raises LK0310, LK0102."""
        marked = {**dict(descriptor.annotations), names_.REF_NAME: name}
        found = self.find(name)
        wanted = descriptor._replace(annotations=tuple(marked.items()))
        if found != wanted:
            with self._changing("name an image"):
                self._ready()
                with files.locked(self.at.lock):
                    self._replace_names(self._index.read().with_name(name, wanted))

    def replace_name(self, name: str, old: Descriptor | None, new: Descriptor) -> bool:
        """Let ``name`` stand for ``new`` if it still stands for ``old``; whether it did.

        For changes that begin with what somebody else may be changing too.  Raises LK0310, LK0102.
        """
        with self._changing("name an image"):
            self._ready()
            with files.locked(self.at.lock):
                names = self._index.read()
                same = names.find(name) == old
                if same:
                    self._replace_names(names.with_name(name, new))
                return same

    def remove_name(self, name: str) -> bool:
        """Forget a name; its blobs stay.  False when there is none.  Raises LK0310, LK0102."""
        if name not in self._current():
            return False
        with self._changing("remove a name"):
            self._ready()
            with files.locked(self.at.lock):
                names = self._index.read()
                there = name in names
                if there:
                    self._replace_names(names.without(name))
                return there

    def clear_names(self) -> None:
        """Forget everything that the index lists.  Raises LK0102."""
        with self._changing("remove the names"):
            self._ready()
            with files.locked(self.at.lock):
                self._replace_names(names_.empty(str(self.at.index)))

    def mend_names(self) -> None:
        """Drop faulty entries of the index; one that is no index goes to the quarantine.

        Raises LK0102.
        """
        with self._changing("mend the names"):
            self._ready()
            with files.locked(self.at.lock):
                if not self._index.is_version_readable():
                    files.write(self.at.layout, digests.canonical_json(_LAYOUT), sync=self._sync)
                try:
                    names = self._index.read().sound()
                except Error as error:
                    if error.code != "LK0310":
                        raise
                    self.at.quarantine.mkdir(exist_ok=True)
                    self.at.index.rename(self.at.quarantine / self.at.index.name)
                    names = names_.empty(str(self.at.index))
                self._replace_names(names)

    # Derived forms

    def derived(self, key: Digest, form: str) -> Blob | None:
        """The blob recorded as ``form`` (such as "cpio.zstd.3") of ``key``, if it is still there.

        Raises LK0102.
        """
        self._hold()
        path = self.at.record(key, form)
        try:
            record = self._there(path, f"{path.parent.name}.{form}", path.read_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise files.os_error(error, "read") from error
        blob = parse_record(record)
        if blob is None or not self.has(*blob):
            return None
        self._noted.forms.add(uses.Form(key, form))
        return blob

    def set_derived(self, key: Digest, form: str, digest: Digest, size: int) -> None:
        """Record a blob, which has been stored before, as ``form`` of ``key``.  Raises LK0102."""
        record = self.at.record(key, form)
        with self._changing("record a derived form"):
            drafts = self._ready()
            record.parent.mkdir(parents=True, exist_ok=True)
            drafts.write(record, f"{digest} {size}\n".encode(), sync=False)
        self._noted.forms.add(uses.Form(key, form))

    # Uses

    def note_use(self, blobs: Iterable[Digest]) -> None:
        """Count ``blobs`` as used, though nobody has asked for them."""
        self._noted.blobs.update(blobs)

    def keep_uses(self, what: Sequence[str], locks: Sequence[str] = ()) -> None:
        """Record that all that was asked for until now belongs to ``what``, so that it stays.

        ``what`` are texts that tell one build from another; it has one record, of the last time.
        ``locks`` are paths of lock files, whose digests stay as long as the file does.  Raises
        LK0102.
        """
        folder = self.at.uses
        with self._changing("record what was used"):
            drafts = self._ready()
            folder.mkdir(exist_ok=True)
            record = uses.encode(self._noted.use(what, locks))
            drafts.write(folder / uses.name_of(what), record, sync=False)
            uses.make_room(folder)

    def uses(self) -> Iterator[Use]:
        """What builds have used, as far as it is recorded."""
        return uses.read_all(self.at.uses)

    def release(self) -> None:
        """Give the lease back: nothing that was seen until now is counted on any more."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _there(self, path: Path, name: str, look: Callable[[], T]) -> T:
        """Look at a file, which may have been taken out as ``name``.  Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            return look()
        with self.trash.calm():
            self.trash.rescue(name, path)
            return look()  # another process may have been quicker

    def _hold(self) -> None:
        """Take a lease before the first look, where there can be one."""
        if self._lease is None:
            self._lease = self.leases.take()

    def now_s(self) -> float:
        """The time by the file system's own clock, in seconds since 1970.  Raises LK0102."""
        with self._changing("make a scratch file"):
            return self._ready().now_s()

    # The layout

    def _current(self) -> Names:
        self._hold()
        return self._index.current()

    def _replace_names(self, names: Names) -> None:
        # The caller holds the lock, and so has made sure of the folders: making them takes it too.
        self.drafts.write(self.at.index, names.encode(), sync=self._sync)

    def _ready(self) -> Drafts:
        """Make sure of the folders; looked at each time, for somebody may clean the cache."""
        if not self.at.tmp.is_dir():
            self._make()
        if self._lease is None:
            self.leases.prepare()
            self._hold()
        return self.drafts

    def _make(self) -> None:
        self.at.blobs.mkdir(parents=True, exist_ok=True)
        with files.locked(self.at.lock):
            layout = self.at.layout
            if not layout.exists():
                files.write(layout, digests.canonical_json(_LAYOUT), sync=self._sync)
            if not self.at.index.exists():
                files.write(self.at.index, names_.empty("").encode(), sync=self._sync)
        self.at.tmp.mkdir(parents=True, exist_ok=True)  # the last: it stands for all of them
        if self._sync:
            for folder in (self.at.blobs.parent, self.at.tmp.parent, self.root):
                files.sync_folder(folder)

    def _changing(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return changing(self.root, doing)

    def _damaged(self, code: str, digest: Digest, why: str) -> Error:
        return Error(
            code,
            f"{digest} is damaged: {why}",
            hint=f"remove {self.path(digest)}; the image is then fetched or built again",
        )


def parse_record(data: bytes) -> Blob | None:
    """The blob that the record of a derived form names; None when it is none."""
    match = re.fullmatch(_RECORD, data)
    return Blob(Digest(match[1].decode()), int(match[2])) if match else None
