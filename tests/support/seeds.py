"""Small inputs to begin mutating from: the hostile ones, and examples."""

from __future__ import annotations

import io
from pathlib import Path

from support.archives import END
from support.debian_archive import ar
from support.hostile import LAYERS
from support.hostile_yaml import YAMLS

ROOT = Path(__file__).parent.parent.parent
_SEED = 64 << 10  # bytes: what is larger teaches a fuzzer little


def of(kind: str) -> list[bytes]:
    """Those of a kind: "tar", "cpio", "yaml" or "deb"."""
    if kind == "yaml":
        found = [case.make().encode("utf-8", "surrogateescape") for case in YAMLS]
        found += [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.yml"))]
    else:
        archives = [data for case in LAYERS for data in case.archives()]
        found = archives if kind == "tar" else [made for a in archives for made in _as(kind, a)]
    return [data for data in found if len(data) <= _SEED]


def _as(kind: str, data: bytes) -> list[bytes]:
    """The archive as another kind, where it can be one."""
    from linuxkit.base.errors import Error
    from linuxkit.tree import cpio, tar
    from support.archives import opened

    if kind == "deb":
        return [ar(("debian-binary", b"2.0\n"), ("control.tar", END), ("data.tar", data))]
    out = io.BytesIO()
    try:
        with opened(data) as handle:
            cpio.write(tar.read(handle), out)
    except Error:
        return []
    return [out.getvalue()]
