"""Where signatures of images lie: in registries, and in the store under the same tags.

What they say is left to :mod:`linuxkit.oci.cosign`, who is trusted to the policies above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.oci import cosign, model, push, referrers
from linuxkit.oci.cosign import RefusedError, Subject
from linuxkit.oci.model import Descriptor, ImageConfig, Manifest, Platform
from linuxkit.oci.registry import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.keys import PrivateKey, PublicKey
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store

COUNT_LIMIT = 64  # signatures of one image in one form
_BUNDLE_LIKE = (cosign.BUNDLE_TYPE, referrers.EMPTY_TYPE, "")
_CONFIG_LIMIT = 64 << 10  # bytes


class Verdict(NamedTuple):
    """What was found out about an image's signatures."""

    key: PublicKey | None  # whose signature holds
    refused: tuple[str, ...] = ()  # why others do not


def tag(digest: Digest) -> str:
    """The tag of the manifest that holds the signatures of ``digest``."""
    return referrers.tag(digest) + ".sig"


def check(
    store: Store,
    ref: Ref,
    digest: Digest,
    keys: Sequence[PublicKey],
    names: Sequence[str] = (),
) -> Verdict:
    """Look at all signatures of an image in the store, until one holds.

    ``names`` are repositories besides that of ``ref`` that the image may be signed as.  Raises
    LK0303 to LK0309 where the store is damaged, LK0308 for too many.
    """
    manifest = store.read(digest, model.MANIFEST_LIMIT)
    subject = Subject(digest, manifest, (ref.name, *names))
    refused: list[str] = []
    for what, attempt in _candidates(store, ref, digest):
        try:
            return Verdict(attempt(subject, keys), tuple(refused))
        except RefusedError as reason:
            refused.append(f"{what}: {reason}")
    return Verdict(None, tuple(refused))


class _Payload(NamedTuple):
    data: bytes
    signature: str

    def __call__(self, subject: Subject, keys: Sequence[PublicKey]) -> PublicKey:
        return cosign.check_payload(self.data, self.signature, subject, keys)


class _Bundle(NamedTuple):
    data: bytes

    def __call__(self, subject: Subject, keys: Sequence[PublicKey]) -> PublicKey:
        return cosign.check_bundle(self.data, subject, keys)


def _candidates(
    store: Store, ref: Ref, digest: Digest
) -> Iterator[tuple[str, _Payload | _Bundle]]:
    root = store.find(f"{ref.name}:{tag(digest)}")
    if root is not None:
        for n, layer in enumerate(_layers(store, root), 1):
            text = dict(layer.annotations).get(cosign.SIGNATURE, "")
            yield f"signature {n}", _Payload(store.read(layer.digest, cosign.PAYLOAD_LIMIT), text)
    entries = referrers.find(store, ref.name, digest, cosign.BUNDLE_TYPE)
    _limit(len(entries), ref)
    for entry in entries:
        for layer in _layers(store, entry):
            data = store.read(layer.digest, cosign.BUNDLE_LIMIT)
            yield f"bundle {entry.digest[:19]}", _Bundle(data)


def _layers(store: Store, root: Descriptor) -> tuple[Descriptor, ...]:
    data = store.read(root.digest, model.MANIFEST_LIMIT)
    layers = model.decode_manifest(data, root).layers
    _limit(len(layers), root.digest)
    return layers


def _limit(count: int, about: object) -> None:
    if count > COUNT_LIMIT:
        raise Error(
            "LK0308", f"{about} has {count} signatures; {COUNT_LIMIT} are allowed"
        )


# Fetching


def fetch(client: Client, ref: Ref, digest: Digest, store: Store) -> None:
    """Bring all signatures of an image that its registry has into the store.

    Raises LK0308 (too many or too large), LK0307, LK0309 (the tag is something else than
    signatures), LK032x, LK041x.
    """
    place = place_of(ref)
    try:
        data, root = client.manifest(place, tag(digest))
    except Error as error:
        if error.code != "LK0320":
            raise
    else:
        _bring(client, ref, (data, root), cosign.PAYLOAD_LIMIT, store)
        store.set_name(f"{ref.name}:{tag(digest)}", root)
    # Some tools list a bundle by the type of its empty configuration: asking for one type is not
    # enough.
    entries = [e for e in client.referrers(place, digest) if e.artifact_type in _BUNDLE_LIKE]
    _limit(len(entries), ref)
    found = []
    for entry in entries:
        data, root = client.manifest(place, entry.digest)
        listed, subject = referrers.entry_of(data, root)
        # What a registry lists is not checked by a digest: the artifact itself must say it.
        if subject is None or subject.digest != digest:
            continue
        if listed.artifact_type == cosign.BUNDLE_TYPE:
            _bring(client, ref, (data, root), cosign.BUNDLE_LIMIT, store)
            found.append(listed)
    if found:
        referrers.add(store, ref.name, digest, found)


def _bring(
    client: Client, ref: Ref, document: tuple[bytes, Descriptor], limit: int, store: Store
) -> None:
    """Store a manifest and its parts, each of at most ``limit`` bytes."""
    manifest = model.decode_manifest(*document)
    _limit(len(manifest.layers), ref)
    for blob in (manifest.config, *manifest.layers):
        most = _CONFIG_LIMIT if blob is manifest.config else limit
        if blob.size > most:
            raise Error(
                "LK0308", f"a signature of {printable(str(ref))} has {blob.size} bytes; "
                f"{most} are allowed",
            )  # fmt: skip
        if not store.has(blob.digest, blob.size):
            client.blob(place_of(ref), blob, store)
    store.put(document[0])


# Signing


def add(store: Store, ref: Ref, digest: Digest, key: PrivateKey) -> Descriptor:
    """Sign an image in the store; the manifest with this signature and those it has already."""
    name = f"{ref.name}:{tag(digest)}"
    data = cosign.payload(ref.name, digest)
    layer = Descriptor(
        cosign.PAYLOAD_TYPE, store.put(data), len(data),
        ((cosign.SIGNATURE, cosign.sign(key, data)),),
    )  # fmt: skip
    before = store.find(name)
    layers = (*(_layers(store, before) if before else ()), layer)
    _limit(len(layers), ref)
    config = model.encode_config(
        ImageConfig(Platform("", ""), diff_ids=tuple(each.digest for each in layers))
    )
    manifest = Manifest(Descriptor(model.OCI_CONFIG, store.put(config), len(config)), layers)
    data = model.encode_manifest(manifest)
    root = Descriptor(model.OCI_MANIFEST, store.put(data), len(data))
    store.set_name(name, root)
    return root


def send(client: Client, ref: Ref, digest: Digest, store: Store) -> None:
    """Send the signatures that the store has of an image.  Raises as push."""
    target = ref._replace(tag=tag(digest), digest="")
    root = store.find(str(target))
    if root is not None:
        push.push(client, root._replace(annotations=()), target, store, override=True)

