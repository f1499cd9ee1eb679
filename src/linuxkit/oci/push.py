"""Pushing: an image of the store, with all that it points at, sent to a registry.

Artifacts about it go along, and nothing is sent that the registry has.  Making images is left to
others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.oci import image, model, parallel, referrers
from linuxkit.oci.model import Index
from linuxkit.oci.ref import Ref
from linuxkit.oci.registry import Overtaken, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.registry import Client, Place
    from linuxkit.oci.store import Store

_DOCUMENTS = model.MANIFESTS | model.INDEXES
_TRIES = 8  # to list an artifact where others list theirs at the same time


def push(
    client: Client,
    root: Descriptor,
    target: Ref,
    store: Store,
    *,
    override: bool = False,
    source: str = "",
) -> bool:
    """Send the image ``root`` to the registry, repository and tag of ``target``.

    Artifacts about it that the store lists for the repository ``source`` (else that of ``target``)
    are sent too; a registry that has the image there is asked to take its blobs from there.  False
    when the tag stands for this image already.  Raises LK0328 when it stands for another and
    ``override`` is not given, LK0303 when the store has not all platforms that an index lists,
    LK0331 (others list artifacts without pause), and as :meth:`Client.send_blob`.
    """
    place, tag = place_of(target), target.tag or root.digest
    blobs = _whole(store, root)
    found = _current(client, target, tag)
    if found and found != root.digest and not override:
        raise Error(
            "LK0328",
            f"{target} is another image there: {found}",
            hint="choose another tag, or replace it with --override",
        )
    for blob in blobs if source else ():
        client.note(place_of(Ref(source)), blob.digest)
    pushing = _Push(client, place, store, str(target))
    if found != root.digest:
        pushing.send(blobs, {root.digest: tag})
    documents = [blob for blob in blobs if blob.media_type in _DOCUMENTS]
    pushing.send_referrers(source or target.name, documents)
    return found != root.digest


class _Push:
    """What goes to one repository."""

    def __init__(self, client: Client, place: Place, store: Store, name: str) -> None:
        self._client = client
        self._place = place
        self._store = store
        self._name = name

    def send(self, blobs: Iterable[Descriptor], tags: dict[Digest, str]) -> set[Digest]:
        """Send blobs and documents, parts before what lists them.

        Returns those that the registry lists now as being about their subjects.
        """
        blobs = tuple(blobs)
        others = [blob for blob in blobs if blob.media_type not in _DOCUMENTS]
        with events.task("upload", self._name, sum(blob.size for blob in others)) as task:
            parallel.each(others, self._send_blob, task.advance)
        listed = set()
        for each in blobs:
            if each.media_type in _DOCUMENTS:
                data = self._store.read(each.digest, model.MANIFEST_LIMIT)
                name = tags.get(each.digest, each.digest)
                if self._client.send_manifest(self._place, name, data, each.media_type):
                    listed.add(each.digest)
        return listed

    def _send_blob(self, blob: Descriptor, advance: Callable[[int], None]) -> None:
        if not self._client.send_blob(self._place, blob, self._store, advance):
            advance(blob.size)

    def send_referrers(self, source: str, subjects: Sequence[Descriptor], depth: int = 1) -> None:
        """Send what the store lists as being about ``subjects``, and what is about that."""
        for subject in subjects:
            entries = referrers.find(self._store, source, subject.digest)
            if not entries or depth > referrers.DEPTH_LIMIT:
                continue
            blobs = [blob for entry in entries for blob in _whole(self._store, entry)]
            listed = self.send({blob.digest: blob for blob in blobs}.values(), {})
            self._list(subject.digest, [e for e in entries if e.digest not in listed])
            self.send_referrers(source, entries, depth + 1)

    def _list(self, subject: Digest, entries: Sequence[Descriptor]) -> None:
        """List artifacts in a registry without referrers API, by the tag that others look at.

        Others may do the same at the same time, and few registries prevent that one overwrites
        what another wrote; so it is looked at afterwards.
        """
        tag = referrers.tag(subject)
        for _ in range(_TRIES if entries else 0):
            old, etag = self._client.tagged(self._place, tag) or (Index(()), "")
            new = referrers.with_entries(old, entries, f"{self._place.repository}:{tag}")
            if new.manifests == old.manifests:
                return
            data = model.encode_index(new)
            try:
                self._client.send_manifest(self._place, tag, data, model.OCI_INDEX, instead_of=etag)
            except Overtaken:
                continue
        if entries:
            raise Error(
                "LK0331",
                f"{self._name}: others change the list of its artifacts at the same time",
                hint="push again when they are done",
            )


def _whole(store: Store, root: Descriptor) -> tuple[Descriptor, ...]:
    """Everything to send, parts first.  Raises LK0303 when something is missing."""
    try:
        blobs = image.closure(store, root)
    except Error as error:
        if error.code == "LK0303":
            error.hint = "it lists other platforms too: linuxkit cache pull --arch ARCH … NAME"
        raise
    for blob in blobs:
        store.open(blob.digest, blob.size).close()
    return blobs


def _current(client: Client, target: Ref, tag: str) -> str:
    """The digest that the tag stands for; "" when there is none."""
    try:
        return client.manifest(place_of(target), tag)[1].digest
    except Error as error:
        if error.code == "LK0320":
            return ""
        raise
