"""Images in the store: choosing one for a platform, and writing one.

Bringing images into the store is the business of sources and builders; turning layers into a tree
that of :mod:`linuxkit.oci.flatten`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.oci import model
from linuxkit.oci.model import Descriptor, ImageConfig, Index, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.model import Platform
    from linuxkit.oci.store import Store

UNKNOWN = "unknown"  # the platform that attestations are filed under


class Image(NamedTuple):
    """An image for one platform; ``descriptor`` points at the manifest."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig


class Layer(NamedTuple):
    """A layer for a new image; ``diff_id`` is the digest of its uncompressed bytes."""

    descriptor: Descriptor
    diff_id: Digest


def open_image(store: Store, descriptor: Descriptor, platform: Platform) -> Image:
    """The image for ``platform`` behind an index or a manifest; its layers are not looked at.

    Any variant serves a platform without one.  Raises LK0306 (not offered), LK0303, LK0304, LK0305,
    and whatever :mod:`linuxkit.oci.model` refuses.
    """
    if descriptor.media_type not in model.INDEXES:
        image = _open(store, descriptor)
        if not _serves(image.config.platform, platform):
            raise _not_offered(descriptor, platform, [image.config.platform])
        return image
    return _open(store, choose(descriptor, _manifests(store, descriptor), platform)[0])


def describe(store: Store, digest: Digest) -> Descriptor | None:
    """The descriptor of an index or manifest that is in the store; None when it is not there.

    What has no ``mediaType`` is of the OCI kind that its members say.  Raises LK0305, LK0308 and
    LK0307 (no document of an image).
    """
    if not store.has(digest):
        return None
    data = store.read(digest, model.MANIFEST_LIMIT)
    return Descriptor(model.media_type(data, digest), digest, len(data))


def choose(
    root: Descriptor, entries: Iterable[Descriptor], wanted: Platform
) -> tuple[Descriptor, ...]:
    """The entries of the index ``root`` that serve a platform, in their order.

    Raises LK0306 when there is none.
    """
    offers = [(entry.platform, entry) for entry in entries if entry.platform]
    mine = tuple(entry for offer, entry in offers if _serves(offer, wanted))
    if not mine:
        known = [offer for offer, _ in offers if offer.os != UNKNOWN]
        raise _not_offered(root, wanted, known)
    return mine


def offered(store: Store, descriptor: Descriptor) -> tuple[Platform, ...]:
    """The platforms that an index or a manifest serves, in its order.  Raises as open_image."""
    if descriptor.media_type not in model.INDEXES:
        return (_open(store, descriptor).config.platform,)
    found = (entry.platform for entry in _manifests(store, descriptor))
    return tuple(dict.fromkeys(p for p in found if p is not None and p.os != UNKNOWN))


def closure(
    store: Store, descriptor: Descriptor, platforms: Sequence[Platform] = ()
) -> tuple[Descriptor, ...]:
    """Every blob of an image, each once: what a copy of it has to hold, its root last.

    With ``platforms`` only what serves these; an index then names images that are left out, so
    that it keeps its digest.  Without, everything that it points at, attestations too.  Layers are
    not looked at.  Raises LK0306 for a platform that is not offered, and as open_image.
    """
    entries, indexes = [descriptor], []
    if descriptor.media_type in model.INDEXES:
        walked = list(_walk(store, descriptor, set()))
        entries = [entry for entry in walked if entry.media_type in model.MANIFESTS]
        indexes = [entry for entry in walked if entry.media_type in model.INDEXES]
    if platforms:
        entries = _chosen(store, descriptor, platforms, entries)
    found: list[Descriptor] = []
    for entry in entries:
        data = _read(store, entry, model.MANIFEST_LIMIT)
        manifest = model.decode_manifest(data, entry)
        found += [*manifest.layers, manifest.config, entry]
    found += indexes
    return tuple({blob.digest: blob for blob in found}.values())


def is_whole(store: Store, root: Descriptor, platform: Platform) -> bool:
    """Whether everything that ``platform`` needs of an image is in the store.

    True for an image that is not offered for the platform: nothing is missing of it.
    """
    try:
        blobs = closure(store, root, (platform,))
    except Error as error:
        if error.code in {"LK0303", "LK0304"}:
            return False
        if error.code == "LK0306":
            return True
        raise
    return all(store.has(blob.digest, blob.size) for blob in blobs)


def _chosen(
    store: Store, root: Descriptor, platforms: Sequence[Platform], entries: Sequence[Descriptor]
) -> list[Descriptor]:
    """The entries that serve one of ``platforms``, for which each must have one."""
    if root.media_type not in model.INDEXES:
        entries = [root._replace(platform=_open(store, root).config.platform)]
    chosen: list[Descriptor] = []
    for wanted in platforms:
        chosen += choose(root, entries, wanted)
    return chosen


def write_image(
    store: Store,
    *,
    platform: Platform,
    layers: Sequence[Layer],
    entrypoint: Sequence[str] = (),
    cmd: Sequence[str] = (),
    env: Sequence[str] = (),
    cwd: str = "",
    user: str = "",
    labels: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
    created_s: int = 0,
) -> Descriptor:
    """Store the configuration and the manifest of an image whose layers are in the store.

    Equal arguments give equal bytes; ``created_s`` (seconds since 1970) is the only time told.
    Raises LK0102.
    """
    diff_ids = tuple(layer.diff_id for layer in layers)
    config = ImageConfig(
        platform, tuple(entrypoint), tuple(cmd), tuple(env), cwd, user, labels, diff_ids
    )
    data = model.encode_config(config, created_s=created_s)
    manifest = Manifest(
        Descriptor(model.OCI_CONFIG, store.put(data), len(data)),
        tuple(layer.descriptor for layer in layers),
        tuple(sorted(annotations.items())),
    )
    data = model.encode_manifest(manifest)
    return Descriptor(model.OCI_MANIFEST, store.put(data), len(data), platform=platform)


def write_index(
    store: Store,
    manifests: Sequence[Descriptor],
    *,
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> Descriptor:
    """Store an index of images, one for each platform, in the order given.  Raises LK0102."""
    data = model.encode_index(Index(tuple(manifests), tuple(sorted(annotations.items()))))
    return Descriptor(model.OCI_INDEX, store.put(data), len(data))


def _manifests(store: Store, index: Descriptor) -> Iterator[Descriptor]:
    """All manifests of an index and of the indexes in it, in order."""
    return (e for e in _walk(store, index, set()) if e.media_type in model.MANIFESTS)


def _walk(
    store: Store, index: Descriptor, seen: set[Digest], depth: int = 1
) -> Iterator[Descriptor]:
    """The manifests and indexes behind an index, in order, each index after what it lists.

    ``seen`` are the indexes that were read: none is read twice, however often it is listed.  Raises
    LK0308 for too many.
    """
    if index.digest in seen:
        return
    seen.add(index.digest)
    if depth > model.INDEX_DEPTH_LIMIT or len(seen) > model.INDEX_COUNT_LIMIT:
        raise Error("LK0308", f"{index.digest}: too many indexes inside indexes")
    data = _read(store, index, model.MANIFEST_LIMIT)
    for entry in dict.fromkeys(model.decode_index(data, index).manifests):
        if entry.media_type in model.INDEXES:
            yield from _walk(store, entry, seen, depth + 1)
        elif entry.media_type in model.MANIFESTS:
            yield entry
    yield index


def _open(store: Store, descriptor: Descriptor) -> Image:
    data = _read(store, descriptor, model.MANIFEST_LIMIT)
    manifest = model.decode_manifest(data, descriptor)
    data = _read(store, manifest.config, model.CONFIG_LIMIT)
    config = model.decode_config(data, manifest.config)
    if len(config.diff_ids) != len(manifest.layers):
        raise Error(
            "LK0307",
            f"{descriptor.digest}: {len(manifest.layers)} layers in the manifest, "
            f"{len(config.diff_ids)} in the configuration",
        )
    return Image(descriptor, manifest, config)


def _read(store: Store, descriptor: Descriptor, limit: int) -> bytes:
    data = store.read(descriptor.digest, limit)
    if len(data) != descriptor.size:
        raise Error(
            "LK0304",
            f"{descriptor.digest} has {len(data)} bytes where {descriptor.size} were announced",
        )
    return data


def _serves(offered: Platform, wanted: Platform) -> bool:
    return offered[:2] == wanted[:2] and (
        not wanted.variant or _variant(offered) == _variant(wanted)
    )


def _variant(platform: Platform) -> str:
    # 64-bit Arm begins at v8, and most tools leave that out.
    return platform.variant or ("v8" if platform.arch == "arm64" else "")


def _not_offered(image: Descriptor, wanted: Platform, offered: Sequence[Platform]) -> Error:
    names = ", ".join(dict.fromkeys(printable(str(platform)) for platform in offered))
    return Error(
        "LK0306",
        f"{image.digest} is not offered for {wanted}",
        hint=f"it is offered for {names}" if names else "it is offered for no platform at all",
    )
