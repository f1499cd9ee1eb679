"""Which images a system needs, and where the user wrote so; finding them is resolve's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.build.source import Wanted
from linuxkit.build.volume import platforms_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.oci.model import Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.spec.model import Spec


def needs(spec: Spec, platform: Platform) -> Mapping[Platform, Sequence[Wanted]]:
    """Everything that a system for ``platform`` needs, each once for each of its platforms."""
    found: dict[Platform, list[Wanted]] = {platform: list(opened(spec))}
    for copy in copied(spec):
        for each in copy.platforms or (platform,):
            found.setdefault(each, []).append(copy.wanted)
    return {each: tuple(dict.fromkeys(wants)) for each, wants in found.items()}


def opened(spec: Spec) -> Iterator[Wanted]:
    """Every image that the system is made of, in the order of the sections."""
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
    for index, entry in enumerate(spec.services):
        if entry.inner:
            where = spec.where(("services", index, "image"))
            yield from (want._replace(where=where) for want in opened(entry.inner))


class Copy(NamedTuple):
    """An image that a volume holds whole; no platforms means all that it has."""

    wanted: Wanted
    platforms: tuple[Platform, ...]


def copied(spec: Spec) -> tuple[Copy, ...]:
    """One for each image, with the platforms of all volumes that hold it."""
    found: dict[Ref, Copy] = {}
    for index, volume in enumerate(spec.volumes):
        if volume.image is None or volume.format != "oci":
            continue
        wanted = Wanted(volume.image, spec.where(("volumes", index, "image")))
        copy = Copy(wanted, platforms_of(volume))
        before = found.setdefault(volume.image, copy)
        every = before.platforms and copy.platforms
        both = tuple(dict.fromkeys((*before.platforms, *copy.platforms))) if every else ()
        found[volume.image] = before._replace(platforms=both)
    return tuple(found.values())
