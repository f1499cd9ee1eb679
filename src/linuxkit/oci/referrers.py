"""Referrers: artifacts about an image, such as its list of parts, its origin or a signature.

An artifact is a manifest with a ``subject`` (image-spec 1.1, manifest.md).  The store lists them as
registries without a referrers API do (distribution-spec 1.1, "Referrers Tag Schema"): an index
under the name ``REPOSITORY:sha256-HEX``.  How they travel is the business of
:mod:`linuxkit.oci.pull` and :mod:`linuxkit.oci.push`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable
from linuxkit.oci import model
from linuxkit.oci.gc import reach
from linuxkit.oci.model import Descriptor, Index, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.store import Store

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
COUNT_LIMIT = 256  # artifacts about one image
DEPTH_LIMIT = 2  # an artifact about an image, such as a list of its parts, may be signed itself
_EMPTY = b"{}"
_SUFFIXES = ("", ".sig", ".att", ".sbom")  # cosign has a name of its own for each kind


def attach(
    store: Store,
    repository: str,
    subject: Descriptor,
    artifact_type: str,
    layers: Sequence[Descriptor],
    *,
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> Descriptor:
    """Store an artifact about ``subject``, an image of ``repository``; its entry in their list.

    ``repository`` is the name in a reference, with its host; the layers are in the store.  Equal
    arguments give equal bytes, and what is attached already is not attached twice.  Raises LK0308
    (too many), LK0310, LK0102.
    """
    empty = Descriptor(EMPTY_TYPE, store.put(_EMPTY), len(_EMPTY))
    manifest = Manifest(
        empty,
        tuple(layers) or (empty,),
        tuple(sorted(annotations.items())),
        Descriptor(subject.media_type, subject.digest, subject.size),
        artifact_type,
    )
    data = model.encode_manifest(manifest)
    store.put(data)
    entry, _ = entry_of(data, Descriptor(model.OCI_MANIFEST, digests.of_bytes(data), len(data)))
    add(store, repository, subject.digest, [entry])
    return entry


def find(
    store: Store, repository: str, digest: Digest, artifact_type: str = ""
) -> tuple[Descriptor, ...]:
    """The artifacts about an image of ``repository``; those of one type, if it is given.

    Raises LK0303 to LK0309 (the index that lists them is damaged), LK0310, LK0102.
    """
    found = store.find(f"{repository}:{tag(digest)}")
    return matching(_read(store, found).manifests, artifact_type) if found else ()


def add(store: Store, repository: str, digest: Digest, entries: Iterable[Descriptor]) -> None:
    """List stored artifacts as being about an image of ``repository``.  Raises as :func:`find`."""
    name = f"{repository}:{tag(digest)}"
    while True:  # until nobody else was faster
        old = store.find(name)
        index = _read(store, old) if old else Index(())
        data = model.encode_index(with_entries(index, entries, name))
        new = Descriptor(model.OCI_INDEX, store.put(data), len(data))
        if old and old.digest == new.digest:
            return
        if store.replace_name(name, old, new):
            return


def forget(store: Store, name: str) -> None:
    """Forget the image ``name``, and the lists of what is about it that no image needs any more.

    A list goes when no name of its repository leads to what it is about.  Raises LK0102.
    """
    root = store.find(name)
    store.remove_name(name)
    repository = _repository(name)
    todo = [root.digest] if root else []
    while todo:
        others = [each.digest for other, each in store.names() if _repository(other) == repository]
        kept = reach(store, others)
        for digest in reach(store, [todo.pop()]) - kept:
            for suffix in _SUFFIXES:
                about = f"{repository}:{tag(digest)}{suffix}"
                listed = store.find(about)
                if listed is not None:
                    store.remove_name(about)
                    todo.append(listed.digest)


def _repository(name: str) -> str:
    """A stored name without its tag and digest; not all that other tools store are references."""
    above, slash, last = name.partition("@")[0].rpartition("/")
    return above + slash + last.partition(":")[0]


def tag(digest: Digest) -> str:
    """The tag of the index that lists what is about ``digest``."""
    return "sha256-" + digests.hex_of(digest)


def with_entries(index: Index, entries: Iterable[Descriptor], name: str) -> Index:
    """The index with these entries too, each digest once; ``name`` is for messages.

    They are ordered by digest, so that it tells what is listed and not who came first.  Raises
    LK0308 for more than ``COUNT_LIMIT``.
    """
    merged = {entry.digest: entry for entry in (*entries, *index.manifests)}
    limit(len(merged), name)
    return index._replace(manifests=tuple(merged[digest] for digest in sorted(merged)))


def limit(count: int, about: str) -> None:
    """Raise LK0308 when an image has too many referrers."""
    if count > COUNT_LIMIT:
        raise Error(
            "LK0308",
            f"{printable(about)}: more than {COUNT_LIMIT} artifacts are about one image",
        )


def matching(entries: Iterable[Descriptor], artifact_type: str) -> tuple[Descriptor, ...]:
    """The entries of one type; all when that is ""."""
    return tuple(e for e in entries if not artifact_type or e.artifact_type == artifact_type)


def entry_of(data: bytes, descriptor: Descriptor) -> tuple[Descriptor, Descriptor | None]:
    """How a manifest or index is listed among the referrers of its subject; and that subject.

    Raises as :func:`linuxkit.oci.model.decode_manifest`.
    """
    if descriptor.media_type in model.INDEXES:
        index = model.decode_index(data, descriptor)
        subject, annotations, kind = index.subject, index.annotations, index.artifact_type
    else:
        manifest = model.decode_manifest(data, descriptor)
        subject, annotations = manifest.subject, manifest.annotations
        kind = manifest.artifact_type or manifest.config.media_type
    entry = Descriptor(
        descriptor.media_type, descriptor.digest, descriptor.size, annotations, artifact_type=kind
    )
    return entry, subject


def _read(store: Store, index: Descriptor) -> Index:
    data = store.read(index.digest, model.MANIFEST_LIMIT)
    return model.decode_index(data, index)
