"""The audit of a whole system: of a plan that was just made, or of an image that lies there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.build.audit import exposure, posture, standards
from linuxkit.build.plan import DataSegment
from linuxkit.build.sandbox import strict
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from linuxkit.base.where import Where
    from linuxkit.build.audit.exposure import Exposure
    from linuxkit.build.audit.posture import Posture
    from linuxkit.build.audit.standards import Verdict
    from linuxkit.build.plan import Plan
    from linuxkit.build.sandbox.grants import Privilege
    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Spec
    from linuxkit.tree.entry import Entry

_FILE = re.compile(
    rf"containers/(onboot|services|onshutdown)/([^/]+)/(config\.json|{re.escape(strict.RECORD)})"
)
_MACHINE = re.compile(r"containers/(services/[^/]+)/machine/initrd")
_MAX_CONTAINERS = 512


class Held(NamedTuple):
    """A privilege, and the place that grants it; None when that is the image's label."""

    privilege: str
    where: Where | None


class Audited(NamedTuple):
    """One container."""

    posture: Posture
    exposure: Exposure
    held: tuple[Held, ...] = ()
    said: str = ""  # its profile, where that is known from the YAML
    machine: bool = False  # it is what runs a virtual machine, in which the service is

    @property
    def profile(self) -> str:
        """Its profile, else what the image shows, and whether there is a machine around it."""
        profile = self.said or ("strict" if self.posture.record else "compat")
        return f"{profile}, vm" if self.machine else profile


class Report(NamedTuple):
    """The whole system; ``containers`` in the order of their names."""

    containers: tuple[Audited, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def worst(self) -> float:
        """The highest exposure."""
        return max((each.exposure.score for each in self.containers), default=0.0)


def of_plan(plan: Plan, spec: Spec) -> Report:
    """The audit of what ``spec`` came to.  Raises LK0750, LK0752 and LK0756."""
    files = {
        item.path: item.data
        for segment in plan.segments
        if isinstance(segment, DataSegment)
        for item in segment.items
        if _FILE.fullmatch(item.path)
    }
    said = {each.container: each.profile for each in plan.confinement}
    machines = {f"services/{entry.name}" for entry in spec.services if entry.inner}
    return _report(files, plan.arch, _held(plan, spec), said, machines)


def of_image(entries: Iterable[Entry], arch: str) -> Report:
    """The audit of a built system's tree.

    Raises LK0757 where there are no containers, LK0750, LK0752 and LK0756.
    """
    files: dict[str, bytes] = {}
    machines: set[str] = set()
    for entry in entries:
        if machine := _MACHINE.fullmatch(entry.path):
            machines.add(machine[1])
        if entry.kind is Kind.FILE and _FILE.fullmatch(entry.path):
            if entry.content.size > posture.MAX_CONFIG or len(files) > 2 * _MAX_CONTAINERS:
                raise Error("LK0756", f"{entry.path} is too large, or one of too many")
            files[entry.path] = b"".join(entry.content.chunks())
    if not files:
        raise Error("LK0757", "this is no built system: it has no containers")
    return _report(files, arch, {}, {}, machines)


def _report(
    files: Mapping[str, bytes],
    arch: str,
    held: Mapping[str, tuple[Held, ...]],
    said: Mapping[str, str],
    machines: Collection[str],
) -> Report:
    audited = []
    for path in sorted(files):
        folder, _, file = path.rpartition("/")
        if file != "config.json":
            continue
        name = folder.removeprefix("containers/")
        found = posture.read(name, files[path], files.get(f"{folder}/{strict.RECORD}"), arch)
        rated, own = exposure.exposure(found), said.get(name, "")
        audited.append(Audited(found, rated, held.get(name, ()), own, name in machines))
    return Report(tuple(audited), standards.verdicts([each.posture for each in audited]))


def _held(plan: Plan, spec: Spec) -> Mapping[str, tuple[Held, ...]]:
    """What each container may do beyond its profile, with the place of the YAML that says so."""
    places = {
        f"{section}/{entry.name if section == 'services' else f'{index:03d}-{entry.name}'}":
            (section, index)
        for section in ("onboot", "onshutdown", "services")
        for index, entry in enumerate(getattr(spec, section))
    }  # fmt: skip
    return {
        each.container: tuple(
            Held(str(p), _place(spec, places[each.container], p)) for p in each.privileges
        )
        for each in plan.confinement
    }


def _place(spec: Spec, entry: tuple[str, int], privilege: Privilege) -> Where | None:
    """Of the value itself, of the key that adds to the label's, or of what accepts the label.

    What runs a machine has devices and folders of its own, not those that stand at the service.
    """
    paths: tuple[Path, ...] = (privilege.path, (f"{privilege.path[0]}.add",), ("grant",))
    if spec.places.exact((*entry, "isolation")):
        own = privilege.path[0] in {"binds", "devices"}
        paths = (("isolation",),) if own else (*paths, ("isolation",))
    found = (spec.places.exact((*entry, *path)) for path in paths)
    return next((where for where in found if where), None)
