"""From a Spec to a Plan: every reference becomes an image in the store, every default a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, raise_all
from linuxkit.build import sbom as sboms
from linuxkit.build.layout import lay_out
from linuxkit.build.source import Wanted, locate, require_present
from linuxkit.build.volume import platforms_of
from linuxkit.oci.image import offered, open_image, write_index
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.build.plan import Plan
    from linuxkit.build.source import Source
    from linuxkit.oci.image import Image
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.spec.model import Spec


def resolve(
    spec: Spec,
    *,
    store: Store,
    sources: Sequence[Source],
    arch: str,
    offline: bool = False,
    sbom: str = "sbom.spdx.json",
    sbom_created: str = sboms.CREATED,
    decompress_kernel: bool = False,
) -> Plan:
    """Find every image (which may download or build it) and lay the system out.

    ``sbom`` is the path of the bill of materials in the image, "" for none, and ``sbom_created``
    the time that it tells.  With ``offline`` nothing is fetched: LK0402 tells all that is missing.
    Raises LK0401 for references that no source knows, LK0306 for images without this architecture,
    LK02xx for labels and files.
    """
    platform = Platform("linux", arch)
    wanted = tuple(_wanted(spec))
    copies = _copies(spec)
    if offline:
        _require(wanted, copies, platform, sources)
    images = _open_all(wanted, platform, store, sources)
    roots = _find_roots(copies, platform, store, sources)
    return lay_out(
        spec,
        images,
        roots,
        store=store,
        arch=arch,
        bill=sboms.Options(sbom, sbom_created),
        decompress_kernel=decompress_kernel,
    )


def _wanted(spec: Spec) -> Iterator[Wanted]:
    if spec.kernel and spec.kernel.image:
        yield Wanted(spec.kernel.image, spec.where(("kernel", "image")))
    for index, ref in enumerate(spec.init):
        yield Wanted(ref, spec.where(("init", index)))
    for index, volume in enumerate(spec.volumes):
        if volume.image and volume.format != "oci":
            yield Wanted(volume.image, spec.where(("volumes", index, "image")))
    for section in ("onboot", "onshutdown", "services"):
        for index, entry in enumerate(getattr(spec, section)):
            yield Wanted(entry.image, spec.where((section, index, "image")))


class _Copy(NamedTuple):
    """An image that a volume holds whole; no platforms means all that it has."""

    wanted: Wanted
    platforms: tuple[Platform, ...]


def _copies(spec: Spec) -> tuple[_Copy, ...]:
    """One for each image, with the platforms of all volumes that hold it."""
    found: dict[Ref, _Copy] = {}
    for index, volume in enumerate(spec.volumes):
        if volume.image is None or volume.format != "oci":
            continue
        wanted = Wanted(volume.image, spec.where(("volumes", index, "image")))
        copy = _Copy(wanted, platforms_of(volume))
        before = found.setdefault(volume.image, copy)
        every = before.platforms and copy.platforms
        both = tuple(dict.fromkeys((*before.platforms, *copy.platforms))) if every else ()
        found[volume.image] = before._replace(platforms=both)
    return tuple(found.values())


def _require(
    wanted: Sequence[Wanted],
    copies: Sequence[_Copy],
    platform: Platform,
    sources: Sequence[Source],
) -> None:
    """Raise everything that offline builds lack, for each platform."""
    needs: dict[Platform, list[Wanted]] = {platform: list(wanted)}
    for copy in copies:
        for each in copy.platforms or (platform,):
            needs.setdefault(each, []).append(copy.wanted)
    errors: list[Error] = []
    for each, wants in needs.items():
        try:
            require_present(dict.fromkeys(wants), each, sources)
        except Error as error:
            errors += error.all()
    raise_all(errors)


def _find_roots(
    copies: Sequence[_Copy], platform: Platform, store: Store, sources: Sequence[Source]
) -> Mapping[Ref, Descriptor]:
    """The index or manifest of every image to copy, brought into the store for its platforms."""
    roots: dict[Ref, Descriptor] = {}
    errors: list[Error] = []
    for copy in copies:
        try:
            roots[copy.wanted.ref] = _find_root(copy, platform, store, sources)
        except Error as error:
            error.where = error.where or copy.wanted.where
            errors.append(error)
    raise_all(errors)
    return roots


def _find_root(
    copy: _Copy, platform: Platform, store: Store, sources: Sequence[Source]
) -> Descriptor:
    first = locate(copy.wanted, (copy.platforms or (platform,))[0], sources)
    platforms = copy.platforms or offered(store, first)
    found = {each: locate(copy.wanted, each, sources) for each in platforms}
    if len(set(found.values())) <= 1:
        return first
    # A source that makes an image for each platform: put them together.
    parts = [root._replace(platform=each, annotations=()) for each, root in found.items()]
    return write_index(store, parts)


def _open_all(
    wanted: Sequence[Wanted], platform: Platform, store: Store, sources: Sequence[Source]
) -> Mapping[Ref, Image]:
    """Every image by its reference; all that cannot be had is told at once."""
    images: dict[Ref, Image] = {}
    errors: list[Error] = []
    for want in wanted:
        if want.ref in images:
            continue
        try:
            images[want.ref] = open_image(store, locate(want, platform, sources), platform)
        except Error as error:
            error.where = error.where or want.where
            # A registry that nobody reaches is the same failure for each of its images.
            if all((error.code, error.message) != (e.code, e.message) for e in errors):
                errors.append(error)
    raise_all(errors)
    return images
