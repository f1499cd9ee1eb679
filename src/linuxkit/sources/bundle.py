"""Bundles: everything that builds need in one file, for machines without a network.

A bundle is an OCI image layout in a tar, so that other tools can read the images in it.  One more
manifest, of a type of its own, holds what is no image: the lock, and YAML from URLs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.build.source import locate
from linuxkit.build.wanted import copied, needs
from linuxkit.oci import archive, export, image, model, ref, referrers
from linuxkit.oci.model import Descriptor, Manifest, Platform
from linuxkit.oci.names import REF_NAME
from linuxkit.sources import includes as texts
from linuxkit.sources import lock as locks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.build.source import Source
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.spec.model import Spec
    from linuxkit.tree.compress import Source as Stream
    from linuxkit.tree.content import Sink

TYPE = "application/vnd.linuxkit.bundle.v1"
_LOCK_TYPE = "application/vnd.linuxkit.lock.v1+json"
_TEXT_TYPE = "application/vnd.linuxkit.include.v1+yaml"
_NAME = "linuxkit.bundle/contents:1"
_PLATFORMS = "org.linuxkit.platforms"
_URL = "org.linuxkit.url"
_TEXT_LIMIT = 16 << 20  # bytes of a YAML file or a lock


class Item(NamedTuple):
    """A named image, and the platforms that builds need of it; none means all that it points at."""

    name: str
    root: Descriptor
    platforms: tuple[Platform, ...] = ()


class Brought(NamedTuple):
    """What a bundle has brought."""

    images: tuple[tuple[str, Digest], ...]
    lock: bytes  # b"" when it has none

    def locked(self) -> bytes:
        """The lock.  Raises LK0329 when there is none."""
        if not self.lock:
            raise Error("LK0329", "the bundle has no lock: it was made without one")
        return self.lock


def items(
    spec: Spec, arch: str, store: Store, sources: Sequence[Source]
) -> Iterator[Item]:
    """What a build of ``spec`` reads from the store, with what is known about it there."""
    whole = {copy.wanted.ref: copy.platforms for copy in copied(spec)}
    for platform, wants in needs(spec, Platform("linux", arch)).items():
        for want in wants:
            root = locate(want, platform, sources)
            every = whole.get(want.ref, (platform,)) == ()
            platforms = image.offered(store, root) if every else (platform,)
            yield Item(str(want.ref), root._replace(annotations=()), platforms)
            yield from _about(want.ref, root, platform, store)


def _about(name: Ref, root: Descriptor, platform: Platform, store: Store) -> Iterator[Item]:
    """Signatures and other artifacts about an image, under the tags that registries have too."""
    manifest = image.open_image(store, root, platform).descriptor
    for digest in dict.fromkeys((root.digest, manifest.digest)):
        tag = referrers.tag(digest)
        for each in (f"{name.name}:{tag}", f"{name.name}:{tag}.sig"):
            found = store.find(each)
            if found is not None:
                yield Item(each, found._replace(annotations=()))


def write(
    store: Store,
    found: Sequence[Item],
    lock: bytes,
    includes: Mapping[str, Digest],
    out: Sink,
) -> None:
    """Write a bundle; equal contents give equal bytes.  Raises LK0303 and as image.closure."""
    merged: dict[str, Item] = {}
    for item in found:
        before = merged.get(item.name, item)
        platforms = dict.fromkeys((*before.platforms, *item.platforms))
        merged[item.name] = item._replace(platforms=tuple(sorted(platforms)))
    contents = _contents(store, lock, includes)
    entries = [export.named(contents, _NAME)]
    blobs = list(image.closure(store, contents))
    for name in sorted(merged):
        item = merged[name]
        notes = {_PLATFORMS: ",".join(map(str, item.platforms))} if item.platforms else {}
        entries.append(export.named(item.root, name, **notes))
        blobs += image.closure(store, item.root, item.platforms)
    export.write_entries(store, entries, blobs, out)


def _contents(store: Store, lock: bytes, includes: Mapping[str, Digest]) -> Descriptor:
    empty = Descriptor(referrers.EMPTY_TYPE, store.put(b"{}"), 2)
    layers = [Descriptor(_LOCK_TYPE, store.put(lock), len(lock))] if lock else []
    for url in sorted(includes):
        size = store.path(includes[url]).stat().st_size
        layers.append(Descriptor(_TEXT_TYPE, includes[url], size, ((_URL, url),)))
    data = model.encode_manifest(Manifest(empty, tuple(layers) or (empty,), artifact_type=TYPE))
    return Descriptor(model.OCI_MANIFEST, store.put(data), len(data), artifact_type=TYPE)


def read(source: Stream, store: Store) -> Brought:
    """Bring a bundle into the store; names are given when everything is there and whole.

    Raises LK0329 (an archive, but no bundle), LK0303 (something is not in it), LK0305 (bytes that
    are not what they are called), LK0327 and as archive.read_entries.
    """
    entries = archive.read_entries(source, store)
    contents = next((each for each in entries if _name(each) == _NAME), None)
    if contents is None:
        raise Error(
            "LK0329", "this archive is no bundle", hint="linuxkit cache import takes single images"
        )
    lock = _read_contents(store, contents)
    images = [(_checked_name(each), each) for each in entries if each is not contents]
    for name, each in images:
        _require_whole(store, name, each)
    for name, each in images:
        store.set_name(name, each._replace(annotations=()))
    return Brought(tuple((name, each.digest) for name, each in images), lock)


def _read_contents(store: Store, contents: Descriptor) -> bytes:
    """Remember the texts; the lock, looked at."""
    data = store.read(contents.digest, model.MANIFEST_LIMIT)
    lock = b""
    for layer in model.decode_manifest(data, contents._replace(annotations=())).layers:
        if layer.media_type == _LOCK_TYPE:
            lock = store.read(layer.digest, _TEXT_LIMIT)
            locks.decode(lock, "the lock in the bundle")
        elif layer.media_type == _TEXT_TYPE:
            url = dict(layer.annotations).get(_URL, "")
            texts.remember(store, url, store.read(layer.digest, _TEXT_LIMIT))
    return lock


def _name(entry: Descriptor) -> str:
    return dict(entry.annotations).get(REF_NAME, "")


def _checked_name(entry: Descriptor) -> str:
    name = _name(entry)
    if str(ref.parse(name)) != name:
        raise Error("LK0329", f'"{printable(name)}" in the bundle is not a full reference')
    return name


def _require_whole(store: Store, name: str, entry: Descriptor) -> None:
    """Everything that the bundle says it has of an image must have come."""
    texts = dict(entry.annotations).get(_PLATFORMS, "").split(",")
    platforms = [Platform(*text.split("/", 2)) for text in texts if text.count("/") in (1, 2)]
    for blob in image.closure(store, entry._replace(annotations=()), platforms):
        if not store.has(blob.digest, blob.size):
            raise Error(
                "LK0303", f"the bundle does not have all parts of {name}: {blob.digest}",
                hint="export it anew",
            )  # fmt: skip
