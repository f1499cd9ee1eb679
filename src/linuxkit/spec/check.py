"""Rules that hold between the entries of a configuration: names, volumes and ids.

Rules within one entry are the model's, the shape of values is the decoder's.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.base.events import note
from linuxkit.spec import forwarding, order, topology
from linuxkit.spec.decode import ERROR_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Container, File, ImageSettings, Spec, Volume
    from linuxkit.spec.parts import Mount

ROOT_NAMES = frozenset({"", "root"})
"""What means the id 0 besides the number."""

_STEPS = 1000  # their folders carry a number of three digits, whose order is the order of running


def problems(spec: Spec) -> list[Error]:
    """What is wrong with the whole, in the order of the sections, up to a limit."""
    names = Counter(entry.name for _, entries in _sections(spec) for entry in entries)
    _warn(spec, names)
    return list(islice(_problems(spec, names), ERROR_LIMIT))


def _problems(spec: Spec, names: Collection[str]) -> Iterator[Error]:
    volumes = {volume.name: volume for volume in spec.volumes}
    yield from _kernel(spec)
    yield from _duplicates(spec, "volumes", [volume.name for volume in spec.volumes])
    for section, containers in _sections(spec):
        yield from _steps(spec, section, containers)
        for index, entry in enumerate(containers):
            for key, problem in chain(source_problems(entry, volumes), _ids(entry, names)):
                problem.where = spec.where((section, index, *key))
                yield problem
    yield from _duplicates(spec, "services", [entry.name for entry in spec.services])
    yield from order.problems(spec)
    yield from topology.problems(spec)
    yield from forwarding.problems(spec)
    yield from _hostname(spec)
    for index, file in enumerate(spec.files):
        for key, problem in _ids(file, names):
            problem.where = spec.where(("files", index, *key))
            yield problem


def _hostname(spec: Spec) -> Iterator[Error]:
    paths = [file.path.strip("/") for file in spec.files]
    if spec.hostname is not None and "etc/hostname" in paths:
        at = spec.where(("files", paths.index("etc/hostname"), "path"))
        yield Error(
            "LK0212", "both hostname and files say the machine's name",
            where=spec.where(("hostname",)),
            hint=f"the file is at {at}: keep one of the two",
        )  # fmt: skip


def _sections(spec: Spec) -> Iterator[tuple[str, Sequence[Container]]]:
    yield "onboot", spec.onboot
    yield "onshutdown", spec.onshutdown
    yield "services", spec.services


def _kernel(spec: Spec) -> Iterator[Error]:
    if spec.kernel and spec.kernel.image is None:
        yield Error(
            "LK0205", 'kernel has no "image"', where=spec.where(("kernel",)),
            hint="name its image, or leave the kernel out",
        )  # fmt: skip


def _duplicates(spec: Spec, section: str, names: Sequence[str]) -> Iterator[Error]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name not in first:
            first[name] = index
            continue
        before = spec.where((section, first[name], "name"))
        here = spec.where((section, index, "name"))
        other = before and here and before.file != here.file
        change = ", or change it with override: true" if other else ""
        yield Error(
            "LK0209",
            f'{section[:-1]} "{printable(name)}" is there twice',
            hint=f"the first one is at {before}: rename one of them{change}" if before else "",
            where=here,
        )


def _steps(spec: Spec, section: str, entries: Sequence[Container]) -> Iterator[Error]:
    if section != "services" and len(entries) > _STEPS:
        yield Error(
            "LK0202", f"{section} has more than {_STEPS} entries",
            where=spec.where((section, _STEPS)),
        )  # fmt: skip


def source_problems(
    settings: ImageSettings, volumes: Mapping[str, Volume]
) -> Iterator[tuple[Path, Error]]:
    """What is wrong with the sources of binds and mounts, each with the path of its value."""
    for key, binds in (("binds", settings.binds), ("binds.add", settings.binds_add)):
        for index, bind in enumerate(binds or ()):
            problem = _source_problem(bind.source, bind.options or (), volumes)
            if problem:
                yield (key, index), problem
    for index, mount in enumerate(settings.mounts or ()):
        if is_bind(mount):
            problem = _source_problem(mount.source or "", mount.options or (), volumes)
            if problem:
                yield ("mounts", index, "source"), problem


def is_bind(mount: Mount) -> bool:
    """Whether the mount's source is a path or a volume."""
    return mount.kind == "bind" or not {"bind", "rbind"}.isdisjoint(mount.options or ())


def _source_problem(
    source: str, options: Iterable[str], volumes: Mapping[str, Volume]
) -> Error | None:
    if source.startswith("/"):
        return None
    volume = volumes.get(source)
    if volume is None:
        return Error(
            "LK0211",
            f'no volume is called "{printable(source)}"',
            hint=suggestion(source, volumes)
            or "a source is an absolute path or the name of a volume",
        )
    if volume.readonly and "ro" not in options:
        return Error(
            "LK0208",
            f'volume "{source}" is read-only and cannot be mounted writable',
            hint='add the option "ro"',
        )
    return None


def _ids(entry: Container | File, names: Collection[str]) -> Iterator[tuple[Path, Error]]:
    wanted: list[tuple[Path, object]] = [(("uid",), entry.uid), (("gid",), entry.gid)]
    more = getattr(entry, "additional_gids", None) or ()
    wanted += [(("additionalGids", index), value) for index, value in enumerate(more)]
    for key, value in wanted:
        problem = id_problem(value, names)
        if problem:
            yield key, problem


def id_problem(value: object, names: Collection[str]) -> Error | None:
    """What is wrong with a ``uid`` or ``gid`` when ``names`` are those of the containers."""
    if not isinstance(value, str) or value in ROOT_NAMES or value in names:
        return None
    if value.isdecimal():
        hint = f"write the number without quotes: {printable(value, 20)}"
    else:
        hint = suggestion(value, names) or "an id is a number, or the name of a container"
    return Error("LK0211", f'no container is called "{printable(value)}"', hint=hint)


def _warn(spec: Spec, names: Counter[str]) -> None:
    owned: tuple[Container | File, ...]
    owned = (*spec.onboot, *spec.onshutdown, *spec.services, *spec.files)
    used = {owner for entry in owned for owner in (entry.uid, entry.gid)}
    for name in sorted({n for n in used if isinstance(n, str) and names[n] > 1}):
        note(
            f'several containers are called "{name}": as an id it means the last of them',
            level="warning",
            code="LK0216",
        )
