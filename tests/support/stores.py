"""What tests of the local store have in common: some descriptors, and what it leaves and refuses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import model
from linuxkit.oci.model import Descriptor, Platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.oci.store import Store

X = digests.of_bytes(b"x")
NOTHING = digests.of_bytes(b"nothing like it")
D = Descriptor(model.OCI_MANIFEST, X, 1)
AMD = Platform("linux", "amd64")


def drafts(kept: Store) -> list[str]:
    """Names of the drafts that lie in the store."""
    folder = kept.root / "linuxkit" / "tmp"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@contextlib.contextmanager
def refused(code: str, says: str = "") -> Iterator[None]:
    """What is done inside ends with this error, whose message or hint says that."""
    with pytest.raises(Error) as caught:
        yield
    assert caught.value.code == code
    assert says in f"{caught.value.message}; {caught.value.hint}"
