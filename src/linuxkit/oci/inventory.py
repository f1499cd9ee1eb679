"""What lies in a store, named or not, for those who keep house there."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.oci.store import Blob, parse_record
from linuxkit.oci.uses import Form

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.oci.store import Store

_HEX = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = re.compile(r"\.(index\.json|oci-layout)\.[0-9]+-[0-9]+")


class Record(NamedTuple):
    """The record of a derived form; ``blob`` is None where it was torn."""

    form: Form
    path: Path
    blob: Blob | None


def blobs(store: Store) -> Iterator[Blob]:
    """Every blob, sorted; what is no blob by its name is left out.  Raises LK0102."""
    for path in _listed(store.at.blobs):
        if _HEX.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):
                yield Blob(Digest(f"sha256:{path.name}"), path.stat().st_size)


def strays(store: Store) -> Iterator[Path]:
    """Files among the blobs that are none.  Raises LK0102."""
    return (path for path in _listed(store.at.blobs) if not _HEX.fullmatch(path.name))


def left(store: Store) -> Iterator[Path]:
    """What processes that were killed had under way.  Raises LK0102."""
    if store.at.tmp.is_dir():
        try:
            yield from store.drafts.left()
        except OSError as error:
            raise files.os_error(error, "look for drafts in", store.at.tmp) from error
    yield from (path for path in _listed(store.root) if _UNFINISHED.fullmatch(path.name))


def quarantined(store: Store) -> Iterator[Path]:
    """Damaged files that were put aside.  Raises LK0102."""
    return iter(_listed(store.at.quarantine))


def records(store: Store) -> Iterator[Record]:
    """The records of all derived forms, sorted.  Raises LK0102."""
    for folder in _listed(store.at.derived):
        for keyed in _listed(folder):
            for path in _listed(keyed):
                with contextlib.suppress(OSError, Error):
                    key = digests.parse(f"sha256:{keyed.name}")
                    yield Record(Form(key, path.name), path, parse_record(path.read_bytes()))


def dangling(store: Store) -> Iterator[Record]:
    """Records of derived forms whose blob is not there, or that were torn.  Raises LK0102."""
    for record in records(store):
        if record.blob is None or not store.has(*record.blob):
            yield record


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise files.os_error(error, "read") from error
