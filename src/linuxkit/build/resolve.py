"""From a Spec to a Plan: every reference becomes an image in the store, every default a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, raise_all
from linuxkit.build import sbom as sboms
from linuxkit.build.layout import lay_out
from linuxkit.build.sandbox import profile
from linuxkit.build.source import locate, require_present
from linuxkit.build.wanted import copied, needs, opened
from linuxkit.oci.image import offered, open_image, write_index
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from linuxkit.build.plan import Plan
    from linuxkit.build.source import Source, Wanted
    from linuxkit.build.wanted import Copy
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
    learn: bool = False,
    allow_unsafe: bool = False,
) -> Plan:
    """Find every image (which may download or build it) and lay the system out.

    ``sbom`` is the path of the bill of materials in the image, "" for none, and ``sbom_created``
    the time that it tells.  With ``offline`` nothing is fetched: LK0402 tells all that is missing.
    With ``learn`` the system counts the system calls of its strict containers.  Containers of the
    profile `none` are LK0731 unless ``allow_unsafe``.
    Raises LK0401 for references that no source knows, LK0306 for images without this architecture,
    LK02xx for labels and files.
    """
    platform = Platform("linux", arch)
    if not allow_unsafe:
        profile.require_any(spec)
    if offline:
        _require(spec, platform, sources)
    images = _open_all(tuple(opened(spec)), platform, store, sources)
    roots = _find_roots(copied(spec), platform, store, sources)
    return lay_out(
        spec,
        images,
        roots,
        store=store,
        arch=arch,
        bill=sboms.Options(sbom, sbom_created),
        decompress_kernel=decompress_kernel,
        learn=learn,
    )


def _require(spec: Spec, platform: Platform, sources: Sequence[Source]) -> None:
    """Raise everything that offline builds lack, for each platform."""
    errors: list[Error] = []
    for each, wants in needs(spec, platform).items():
        try:
            require_present(wants, each, sources)
        except Error as error:
            errors += error.all()
    raise_all(errors)


def _find_roots(
    copies: Sequence[Copy], platform: Platform, store: Store, sources: Sequence[Source]
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
    copy: Copy, platform: Platform, store: Store, sources: Sequence[Source]
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
