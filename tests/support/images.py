"""Images made in a test from a dict: path → text, or a tuple that says what else it is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from linuxkit.base import digest
from linuxkit.oci.image import Layer, write_image
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from linuxkit.oci.store import Store

TAR = "application/vnd.oci.image.layer.v1.tar"
Files = dict[str, "str | bytes | Entry"]


def entry(path: str, value: str | bytes | Entry) -> Entry:
    """Text is a file; a path ending in "/" a directory; "-> target" a symlink."""
    if isinstance(value, Entry):
        return value
    if path.endswith("/"):
        return Entry(path.rstrip("/"), Kind.DIR, 0o755, mtime=1_700_000_000)
    if isinstance(value, str) and value.startswith("-> "):
        return Entry(path, Kind.SYMLINK, 0o777, mtime=1_700_000_000, link=value[3:])
    data = value.encode() if isinstance(value, str) else value
    return Entry(path, Kind.FILE, 0o644, mtime=1_700_000_000, content=Bytes(data))


def archive(files: Files) -> bytes:
    """A tar archive of ``files``."""
    out = io.BytesIO()
    writer = tar.Writer(out)
    for path, value in files.items():
        writer.add(entry(path, value))
    writer.close()
    return out.getvalue()


def image(store: Store, name: str, *layers: Files, arch: str = "amd64", **config) -> Descriptor:
    """Store an image of ``layers``, bottom first, under its full ``name``."""
    made = []
    for files in layers:
        data = archive(files)
        made.append(Layer(Descriptor(TAR, store.put(data), len(data)), digest.of_bytes(data)))
    descriptor = write_image(store, platform=Platform("linux", arch), layers=made, **config)
    store.set_name(name, descriptor)
    return descriptor
