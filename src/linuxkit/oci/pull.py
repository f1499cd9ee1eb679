"""Pulling: what a platform needs of an image is fetched from its registry, if it is missing.

An index is kept as it is, with all the platforms that it lists, so that its digest stays what it
was; the images of other platforms are fetched when somebody asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.oci import image, model, parallel, referrers
from linuxkit.oci.registry import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.model import Descriptor, Manifest, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client, Place
    from linuxkit.oci.store import Store

_KNOWN = model.MANIFESTS | model.INDEXES
_ARTIFACT_PARTS = 1024  # manifests and blobs of all artifacts about an image
_ARTIFACT_BYTES = 1 << 30
_LATEST = "latest"
_ATTESTED = "vnd.docker.reference.digest"  # how an attestation names the manifest it is about


def pull(
    client: Client, ref: Ref, platform: Platform, store: Store, *, artifacts: bool = False
) -> Descriptor:
    """Fetch ``ref`` for ``platform`` into the store and name it there; its index or manifest.

    A reference without tag and digest is asked for as ``latest``, and named as it stands.  With
    ``artifacts``, what the registry has about the image comes too (:mod:`linuxkit.oci.referrers`).
    Raises LK0306 (not offered for the platform), LK03xx for what the registry should not have
    sent, and as :meth:`Client.manifest`, :meth:`Client.blob` and :meth:`Client.referrers`.
    """
    pulling = _Pull(client, place_of(ref), store)
    root = pulling.root(ref.digest or ref.tag or _LATEST)
    entries = list(pulling.manifests(root, platform))
    needed = [pulling.read(entry) for entry in entries]
    configs = pulling.missing(manifest.config for manifest in needed)
    layers = pulling.missing(layer for manifest in needed for layer in manifest.layers)
    for config in configs:
        _check_config(config)
    if configs or layers:
        total = sum(blob.size for blob in (*configs, *layers))
        with events.task("download", str(ref), total) as task:
            pulling.fetch(configs, task.advance)
            image.open_image(store, root, platform)  # refuses what is not for us before it comes
            pulling.fetch(layers, task.advance)
    image.open_image(store, root, platform)
    if artifacts:
        subjects = {each.digest: each for each in (root, *entries)}
        for digest, found in list(pulling.artifacts(ref.name, tuple(subjects.values()))):
            referrers.add(store, ref.name, digest, found)
    store.set_name(str(ref), root)
    return root


def look(
    client: Client, ref: Ref, platform: Platform, store: Store
) -> tuple[Descriptor, image.Image]:
    """The index or manifest that ``ref`` means now, and its image for ``platform``; no layers come.

    The index, the manifest and the configuration are stored, without a name.  Raises as
    :func:`pull`.
    """
    pulling = _Pull(client, place_of(ref), store)
    root = pulling.root(ref.digest or ref.tag or _LATEST)
    chosen = next(pulling.manifests(root, platform))
    config = pulling.read(chosen).config
    _check_config(config)
    pulling.fetch(pulling.missing([config]), lambda _done: None)
    return root, image.open_image(store, root, platform)


def _check_config(config: Descriptor) -> None:
    if config.size > model.CONFIG_LIMIT:
        raise Error(
            "LK0308", f"{config.digest}: a configuration of {config.size} bytes, "
            f"{model.CONFIG_LIMIT} are allowed",
        )  # fmt: skip


class _Pull:
    """One image under way."""

    def __init__(self, client: Client, place: Place, store: Store) -> None:
        self._client = client
        self._place = place
        self._store = store
        self._indexes = 0
        self._artifacts = (0, 0)  # parts and bytes

    def root(self, reference: str) -> Descriptor:
        """Fetch what the tag or digest names, look whether it is an image, and store it."""
        data, found = self._client.manifest(self._place, reference)
        if found.media_type in model.INDEXES:
            model.decode_index(data, found)
        else:
            model.decode_manifest(data, found)
        self._store.put(data)
        return found

    def manifests(self, root: Descriptor, platform: Platform) -> Iterator[Descriptor]:
        """The stored manifests that the platform needs, with what attests them or serves none."""
        if root.media_type not in model.INDEXES:
            yield root
            return
        entries = list(dict.fromkeys(self._entries(root, depth=1)))
        chosen = image.choose(root, entries, platform)
        digests = {entry.digest for entry in chosen}
        others = (e for e in entries if _is_about(e, digests))
        for entry in dict.fromkeys((*chosen, *others)):
            self._bring(entry)
            yield entry

    def read(self, manifest: Descriptor) -> Manifest:
        """A manifest that is in the store."""
        data = self._store.read(manifest.digest, model.MANIFEST_LIMIT)
        return model.decode_manifest(data, manifest)

    def missing(self, blobs: Iterable[Descriptor]) -> list[Descriptor]:
        """Those that are not in the store, each once."""
        unique = {blob.digest: blob for blob in blobs}.values()
        return [blob for blob in unique if not self._store.has(blob.digest, blob.size)]

    def fetch(self, blobs: Sequence[Descriptor], advance: Callable[[int], None]) -> None:
        """Fetch blobs, several at once; the first failure ends the others."""
        if blobs:
            parallel.each(
                blobs,
                lambda blob, step: self._client.blob(self._place, blob, self._store, step),
                advance,
            )

    def artifacts(
        self, name: str, subjects: Sequence[Descriptor], depth: int = 1
    ) -> Iterator[tuple[Digest, Sequence[Descriptor]]]:
        """Fetch what is about ``subjects``, images of ``name``, and about that; to be listed so."""
        for subject in subjects:
            listed = self._client.referrers(self._place, subject.digest)
            listed = tuple(each for each in listed if each.media_type in _KNOWN)
            self._count_artifacts(name, listed)
            entries = [self._artifact(each, subject) for each in listed]
            blobs = self.missing(
                blob
                for entry in entries
                for blob in image.closure(self._store, entry)
                if blob.media_type not in _KNOWN
            )
            self._count_artifacts(name, blobs)
            if blobs:
                text = f"artifacts about {name}"
                with events.task("download", text, sum(blob.size for blob in blobs)) as task:
                    self.fetch(blobs, task.advance)
            if entries:
                yield subject.digest, entries
                if depth < referrers.DEPTH_LIMIT:
                    yield from self.artifacts(name, entries, depth + 1)

    def _count_artifacts(self, name: str, parts: Sequence[Descriptor]) -> None:
        self._artifacts = (
            self._artifacts[0] + len(parts),
            self._artifacts[1] + sum(part.size for part in parts),
        )
        if self._artifacts[0] > _ARTIFACT_PARTS or self._artifacts[1] > _ARTIFACT_BYTES:
            raise Error(
                "LK0308",
                f"{name}: {self._artifacts[0]} parts of {self._artifacts[1]} bytes are about it; "
                f"{_ARTIFACT_PARTS} of {_ARTIFACT_BYTES} are allowed",
            )

    def _artifact(self, listed: Descriptor, subject: Descriptor) -> Descriptor:
        """Fetch the manifests of an artifact; its entry, made of what it says itself."""
        self._bring(listed)
        data = self._store.read(listed.digest, model.MANIFEST_LIMIT)
        entry, about = referrers.entry_of(data, listed)
        if about is None or about.digest != subject.digest:
            raise Error(
                "LK0307", f"{listed.digest} is listed as being about {subject.digest}, and is not"
            )
        if listed.media_type in model.INDEXES:
            for each in self._entries(listed, depth=1):
                self._bring(each)
        return entry

    def _entries(self, index: Descriptor, depth: int) -> Iterator[Descriptor]:
        self._indexes += 1
        if depth > model.INDEX_DEPTH_LIMIT or self._indexes > model.INDEX_COUNT_LIMIT:
            raise Error("LK0308", f"{index.digest}: too many indexes inside indexes")
        data = self._store.read(index.digest, model.MANIFEST_LIMIT)
        for entry in model.decode_index(data, index).manifests:
            if entry.media_type in model.INDEXES:
                self._bring(entry)
                yield from self._entries(entry, depth + 1)
            elif entry.media_type in model.MANIFESTS:
                yield entry

    def _bring(self, entry: Descriptor) -> None:
        """Store the manifest or index that an index points at."""
        if self._store.has(entry.digest, entry.size):
            return
        data, found = self._client.manifest(self._place, entry.digest)
        if (found.media_type, found.size) != (entry.media_type, entry.size):
            raise Error(
                "LK0307",
                f"{entry.digest}: it came with another type or size than its index has",
            )
        self._store.put(data)


def _is_about(entry: Descriptor, digests: Collection[str]) -> bool:
    """Whether an entry for no platform may tell something of one of the manifests."""
    if entry.platform is not None and entry.platform.os != image.UNKNOWN:
        return False
    about = dict(entry.annotations).get(_ATTESTED)
    return about is None or about in digests
