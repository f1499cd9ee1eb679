"""The ``files`` section as items of the plan; contents named by ``source`` go into the store."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.base.errors import Error, raise_all
from linuxkit.build.ids import numeric
from linuxkit.build.plan import Item, Origin, Parents
from linuxkit.oci.store import Blob
from linuxkit.tree.entry import CHUNK
from linuxkit.tree.path import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from linuxkit.oci.store import Store
    from linuxkit.spec.model import File, Spec

_INLINE = 1 << 16
"""Contents up to this many bytes are part of the plan itself."""

SOURCE = "linuxkit.files"


def items(
    spec: Spec, ids: Mapping[str, int], store: Store, metadata: Callable[[str], bytes]
) -> tuple[Item, ...]:
    """One item for each entry; ``metadata`` gives the resolved YAML as "yaml" or "json".

    Relative sources lie in the working directory, as upstream has it.  Raises LK0220 for each
    source that cannot be read and is not optional.
    """
    made: list[Item] = []
    errors: list[Error] = []
    for index, entry in enumerate(spec.files):
        try:
            item = _item(entry, index, ids, store, metadata)
        except Error as error:
            error.where = error.where or spec.where(("files", index))
            errors.append(error)
        else:
            made += [item] if item else []
    raise_all(errors)
    return tuple(made)


def _item(
    entry: File,
    index: int,
    ids: Mapping[str, int],
    store: Store,
    metadata: Callable[[str], bytes],
) -> Item | None:
    path = clean(entry.path.lstrip("/"), what="path")
    origin = Origin(SOURCE, f"files[{index}]")
    default = 0o700 if entry.directory else 0o600
    mode = default if entry.mode is None else entry.mode.bits
    uid, gid = numeric(entry.uid, ids), numeric(entry.gid, ids)
    parents = Parents(_searchable(mode), uid, gid)
    kind, data, link = "file", b"", ""
    blob: Blob | None = None
    if entry.directory:
        kind = "dir"
    elif entry.symlink is not None:
        kind, link = "symlink", entry.symlink
    elif entry.metadata is not None:
        data = metadata(entry.metadata)
    elif entry.source is not None:
        content = _read(Path(entry.source).expanduser(), store, optional=bool(entry.optional))
        if content is None:
            return None
        if isinstance(content, Blob):
            blob = content
        else:
            data = content
    else:
        data = (entry.contents or "").encode()
    return Item(path, kind, mode, origin, data, blob, link, uid, gid, parents)


def _searchable(mode: int) -> int:
    """A directory's mode after a file's: whoever may do anything with the file may enter."""
    return mode | sum(0o1 << shift for shift in (0, 3, 6) if mode >> shift & 0o7)


def _read(path: Path, store: Store, *, optional: bool) -> bytes | Blob | None:
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if optional:
            return None
        found = files.os_error(error, "read", path)
        raise Error("LK0220", found.message, hint=found.hint or "mend `source`") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Error("LK0220", f"cannot read {path}: it is not a regular file")
    with open(handle, "rb") as source:  # noqa: PTH123 - a descriptor, not a path
        data = source.read(_INLINE + 1)
        return data if len(data) <= _INLINE else _stored(source, store)


def _stored(source: BinaryIO, store: Store) -> Blob:
    """The file as a blob; one that changes while it is read twice is an error (LK0305)."""
    source.seek(0)
    digest = digests.of_file(source)
    size = source.tell()
    if not store.has(digest, size):
        source.seek(0)
        with store.writer(digest, size) as out:
            while chunk := source.read(CHUNK):
                out.write(chunk)
    return Blob(digest, size)
