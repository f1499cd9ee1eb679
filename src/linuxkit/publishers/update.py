"""Updates as OCI artifacts: a signed table, and the chunks that it lists, each a blob by itself.

A registry keeps a chunk once for all versions that have it, and a machine fetches those it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.disk import authenticode, uki, update
from linuxkit.oci import model
from linuxkit.oci.model import Descriptor, Manifest

if TYPE_CHECKING:
    from typing import BinaryIO

    from linuxkit.disk.update import Table
    from linuxkit.oci.keys import PrivateKey
    from linuxkit.oci.store import Store

TYPE = "application/vnd.linuxkit.update.v1"
_PART = "application/vnd.linuxkit.update.{}.v1"
_EMPTY = "application/vnd.oci.empty.v1+json"


def make(source: BinaryIO, key: PrivateKey, store: Store) -> tuple[Descriptor, Table]:
    """Put the update to the unified kernel image ``source`` into the store.

    Raises LK0762 (it has no version), LK0763 (too large), LK0764 (no such image), LK0773 (its
    signature for firmware does not hold).
    """
    arch, cmdline = uki.read(source, ".cmdline")
    number = update.required_version(cmdline.rstrip(b"\0").decode(errors="replace"))
    signer = authenticode.signer(source)
    table = update.read(source, number, arch)
    if signer:
        table = table._replace(signer=signer.fingerprint)
    chunks = {}
    for data in update.cut(source, table.size):
        found = Descriptor(_PART.format("chunk"), store.put(data), len(data))
        chunks[found.digest] = found
    text = table.encode()
    parts = (
        _put("table", text, store), _put("signature", key.sign(text), store), *chunks.values(),
    )  # fmt: skip
    config = _put("config", b"{}", store)._replace(media_type=_EMPTY)
    notes = (("org.opencontainers.image.version", number),)
    manifest = model.encode_manifest(Manifest(config, parts, notes, artifact_type=TYPE))
    digest = store.put(manifest)
    return Descriptor(model.OCI_MANIFEST, digest, len(manifest), artifact_type=TYPE), table


def _put(name: str, data: bytes, store: Store) -> Descriptor:
    return Descriptor(_PART.format(name), store.put(data), len(data))
