"""From a Spec to a Plan: every reference becomes an image in the store, every default a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, raise_all
from linuxkit.build.layout import lay_out
from linuxkit.build.source import Wanted, locate, require_present
from linuxkit.oci.image import open_image
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.build.plan import Plan
    from linuxkit.build.source import Source
    from linuxkit.oci.image import Image
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
    decompress_kernel: bool = False,
) -> Plan:
    """Find every image (which may download or build it) and lay the system out.

    ``sbom`` is the path of the bill of materials in the image, "" for none.  With ``offline``
    nothing is fetched: LK0402 tells all that is missing.  Raises LK0401 for references that no
    source knows, LK0306 for images without this architecture, LK02xx for labels and files.
    """
    platform = Platform("linux", arch)
    wanted = tuple(_wanted(spec))
    if offline:
        require_present(dict.fromkeys(wanted), platform, sources)
    images = _open_all(wanted, platform, store, sources)
    return lay_out(
        spec, images, store=store, arch=arch, sbom_path=sbom, decompress_kernel=decompress_kernel
    )


def _wanted(spec: Spec) -> Iterator[Wanted]:
    if spec.kernel and spec.kernel.image:
        yield Wanted(spec.kernel.image, spec.where(("kernel", "image")))
    for index, ref in enumerate(spec.init):
        yield Wanted(ref, spec.where(("init", index)))
    for index, volume in enumerate(spec.volumes):
        if volume.image:
            yield Wanted(volume.image, spec.where(("volumes", index, "image")))
    for section in ("onboot", "onshutdown", "services"):
        for index, entry in enumerate(getattr(spec, section)):
            yield Wanted(entry.image, spec.where((section, index, "image")))


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
            errors.append(error)
    raise_all(errors)
    return images
