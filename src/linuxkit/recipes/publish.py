"""Sends the images of a package to its registry, beside what is there for other platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import platform
from linuxkit.base.errors import Error
from linuxkit.oci import image, model, pull, push, ref
from linuxkit.oci.model import Descriptor, Index, Platform
from linuxkit.oci.registry import Overtaken, place_of
from linuxkit.recipes.making import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store
    from linuxkit.recipes.making import Made
    from linuxkit.recipes.package import Package

_TRIES = 8


def publish(
    package: Package,
    made: Sequence[Made],
    client: Client,
    store: Store,
    *,
    release: str = "",
    with_index: bool = True,
) -> tuple[str, ...]:
    """Send what is in the store of ``made`` as NAME-ARCH, and NAME for all platforms together.

    With ``release``, or a git tag on the commit, the same under that tag, unless it stands for
    something already.  The names that were sent.  Raises LK0583 (uncommitted changes), and as
    push.push.
    """
    require_clean(package)
    whole = ref.parse(package.reference)
    sent = []
    entries = []
    for one in made:
        if one.descriptor is not None:
            target = ref.parse(package.name_for(one.arch))
            root = one.descriptor._replace(annotations=())
            push.push(client, root, target, store, override=True)
            entries.append(root)
            sent.append(str(target))
    if with_index and entries:
        _merge(client, whole, lambda old: merged(old, entries))
        sent.append(str(whole))
        release = release or package.revision.release
        if release:
            sent.append(_release(client, whole, whole._replace(tag=release)))
    return tuple(sent)


def require_clean(package: Package) -> None:
    """Raise LK0583 where a package has changes that are not committed."""
    if package.identity.is_dirty:
        raise Error(
            "LK0583", f"{package.reference} has changes that are not committed",
            hint="what is in a registry should be in git too: commit first",
        )  # fmt: skip


def _merge(
    client: Client, name: Ref, change: Callable[[Sequence[Descriptor]], tuple[Descriptor, ...]]
) -> None:
    """Change the index that lies under a tag, whoever else does the same meanwhile."""
    place = place_of(name)
    for _ in range(_TRIES):
        found = client.tagged(place, name.tag)
        old, etag = (found[0].manifests, found[1]) if found else ((), "")
        new = change(old)
        if new == old:
            return
        data = model.encode_index(Index(new))
        try:
            client.send_manifest(place, name.tag, data, model.OCI_INDEX, instead_of=etag)
        except Overtaken:
            continue
        # Few registries refuse to overwrite what has changed: the next round looks at it.
    raise Error("LK0331", f"{name}: others change it without pause", hint="try again")


def _release(client: Client, name: Ref, target: Ref) -> str:
    """Give the index of ``name`` another tag.  Raises LK0328 where that is something else."""
    retag(client, name, target, override=False)
    return str(target)


def retag(client: Client, name: Ref, target: Ref, *, override: bool = True) -> None:
    """Give an image of a registry another tag in the same repository.

    Raises LK0320 (there is none), LK0328 (the tag is another image's, without ``override``).
    """
    place = place_of(name)
    data, found = client.manifest(place, name.digest or name.tag or "latest")
    if not override:
        try:
            other = client.manifest(place, target.tag)[1]
        except Error as error:
            if error.code != "LK0320":
                raise
        else:
            if other.digest != found.digest:
                raise Error(
                    "LK0328", f"{target} is another image there: {other.digest}",
                    hint="a release stays what it was: choose another tag",
                )  # fmt: skip
    client.send_manifest(place, target.tag, data, found.media_type)


def copy(client: Client, name: Ref, target: Ref, store: Store) -> None:
    """Copy an image with all its platforms to another repository, through the store.

    Raises as pull.pull and push.push.
    """
    data, found = client.manifest(place_of(name), name.digest or name.tag or "latest")
    offers = [found.platform]
    if found.media_type in model.INDEXES:
        offers = [entry.platform for entry in model.decode_index(data, found).manifests]
    wanted = [offer for offer in offers if offer and offer.os != image.UNKNOWN]
    root = found
    for offer in wanted or [Platform("linux", platform.host().oci)]:
        root = pull.pull(client, name, offer, store, artifacts=True)
    push.push(client, root._replace(annotations=()), target, store, override=True, source=name.name)


def index(client: Client, name: Ref) -> tuple[Platform, ...]:
    """Let ``name`` be an index of what the registry has as NAME-ARCH; the platforms it has then.

    Raises LK0584 where there is nothing of the kind.
    """
    place = place_of(name)
    entries: list[Descriptor] = []
    for arch in (*platform.names(), "ppc64le"):
        try:
            _, found = client.manifest(place, f"{name.tag}-{arch}")
        except Error as error:
            if error.code == "LK0320":
                continue
            raise
        if found.media_type in model.MANIFESTS:
            entries.append(found._replace(platform=Platform("linux", arch)))
    if not entries:
        raise Error(
            "LK0584", f"the registry has no {name}-ARCH",
            hint="push the package for each architecture first: linuxkit pkg push",
        )  # fmt: skip
    _merge(client, name, lambda old: merged(old, entries))
    return tuple(entry.platform for entry in entries if entry.platform)
