"""Where things lie in a store on disk; the OCI image layout's part and our own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests

if TYPE_CHECKING:
    from pathlib import Path

    from linuxkit.base.digest import Digest

_FORM = r"[a-z0-9][a-z0-9._+-]{0,63}"


class Folders:
    """The paths of the store in ``root``."""

    def __init__(self, root: Path) -> None:
        own = root / "linuxkit"
        self.root = root
        self.layout = root / "oci-layout"
        self.index = root / "index.json"
        self.lock = root / ".lock"
        self.blobs = root / "blobs" / "sha256"
        self.derived = own / "derived"
        self.tmp = own / "tmp"
        self.uses = own / "uses"
        self.leases = own / "leases"
        self.trash = own / "trash"
        self.locks = own / "locks"
        self.quarantine = own / "quarantine"

    def blob(self, digest: Digest) -> Path:
        """Where a blob lies, or would."""
        return self.blobs / digests.hex_of(digest)

    def record(self, key: Digest, form: str) -> Path:
        """Where the record of a derived form lies, or would."""
        if not re.fullmatch(_FORM, form):
            raise ValueError(f"not the name of a form: {form!r}")
        name = digests.hex_of(key)
        return self.derived / name[:2] / name / form
