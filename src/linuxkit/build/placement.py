"""Containers in their places: where each one's files and configuration go, and what these are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, raise_all
from linuxkit.build import privileges, runtime, runtimes, secrets
from linuxkit.build.ids import id_table
from linuxkit.build.plan import Origin
from linuxkit.build.sandbox import profile, ranges
from linuxkit.build.supervision import notifying
from linuxkit.spec import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from linuxkit.base.where import Where
    from linuxkit.build.sandbox.profile import Confined
    from linuxkit.oci.image import Image
    from linuxkit.oci.ref import Ref
    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Container, Spec

    Images = Mapping[Ref, Image]

_SECTIONS = ("onboot", "onshutdown", "services")


class Placed(NamedTuple):
    """A container with its place: ``bundle`` is its folder, ``root`` where its files are."""

    section: str
    number: int
    entry: Container
    bundle: str
    root: str
    shared: bool  # the files are another container's of the same image
    configuration: runtime.Bundle
    granted: tuple[str, ...]  # by the image's label, beyond what the YAML says
    confined: Confined

    @property
    def unit(self) -> str:
        """The name of its unit in the guest."""
        return self.bundle.rsplit("/", 1)[1]

    @property
    def origin(self) -> Origin:
        """Whose entries these are."""
        return Origin(str(self.entry.image), f"{self.section}[{self.number}]")


def placed(spec: Spec, images: Images, arch: str, *, learn: bool) -> Iterator[Placed]:
    """Every container where it goes; one image is unpacked once, where it is first used."""
    ids = id_table(spec)
    volumes = {volume.name: volume for volume in spec.volumes}
    own_ids = ranges.ranges(f"{at}/{entry.name}" for at in _SECTIONS for entry in getattr(spec, at))
    first: dict[tuple[Ref, int], str] = {}  # files that belong to other ids are other files
    starters = runtimes.named(images[ref].config.labels for ref in spec.init)
    errors: list[Error] = []
    for section in _SECTIONS:
        for index, entry in enumerate(getattr(spec, section)):
            name = entry.name if section == "services" else f"{index:03d}-{entry.name}"
            bundle = f"containers/{section}/{name}"
            image = images[entry.image]
            place = (section, index)
            try:
                confined = profile.confine(
                    entry, profile.of(entry, spec), image.config.labels, arch=arch,
                    first_id=own_ids[f"{section}/{entry.name}"],
                    where=_within(spec, place), learns=learn,
                )  # fmt: skip
                settings, sandbox = confined.settings, confined.sandbox
                own = f"{bundle}/{'rootfs' if settings.readonly else 'lower'}"
                root = first.setdefault((entry.image, sandbox.first_id if sandbox else 0), own)
                settings = notifying(settings, entry, image.config.env)
                settings = secrets.shown(settings, entry, bundle)
                if settings.clocks:
                    starters.check_clocks(settings, section, spec.where((*place, "clocks")))
                made = runtime.container_config(
                    settings, image.config, ids=ids, volumes=volumes, bundle=bundle, lower=root,
                    sandbox=sandbox, guard=confined.guard, root=starters.root(section, bundle),
                )  # fmt: skip
            except Error as error:
                for single in error.all():
                    single.where = single.where or spec.where(place)
                    errors.append(single)
                continue
            has_label = labels.LABEL in image.config.labels
            told = has_label and not sandbox  # the strict profile tells of all that is granted
            granted = privileges.granted_by_label(entry, settings) if told else ()
            yield Placed(section, index, entry, bundle, root, root != own, made, granted, confined)
    raise_all(errors)


def _within(spec: Spec, place: Path) -> Callable[[Path], Where | None]:
    """Finds places in the part of the file that ``place`` leads to."""
    return lambda path: spec.where((*place, *path))
