"""The boot table of a system: its containers as units, for an init that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build import boot, boottable, daemonfile, runtimes, secrets
from linuxkit.build.plan import Item, Origin, Parents
from linuxkit.build.supervision import keys_said, supervision
from linuxkit.spec import isolation, order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from linuxkit.build.placement import Images, Placed
    from linuxkit.spec.model import Spec

BOOT_TABLE_LABEL = "org.linuxkit.boot-table"
"""Set by an init image that reads the boot table: the version that it reads."""


def table(
    spec: Spec, images: Images, containers: Sequence[Placed], files: Iterable[Item], *, quiet: bool
) -> tuple[Item, ...]:
    """The boot table, for an init that reads it; upstream's init scans the folders instead."""
    init = [images[ref].config.labels for ref in spec.init]
    if not any(label.get(BOOT_TABLE_LABEL) == boottable.VERSION for label in init):
        _tell_unkept(spec, containers)
        return ()
    units = list(_units(spec, containers))
    starters = daemonfile.heeded(spec, runtimes.named(init), files)
    if units and not starters.program:
        raise Error(
            "LK0711",
            "there are containers, but no init image brings an OCI runtime to start them",
            hint='add "@pkg:crun" to init',
            where=spec.where(("init",)),
        )
    volumes = [boot.Volume(v.name, bool(v.readonly)) for v in spec.volumes]
    watchdog = None
    if spec.watchdog:
        usual, said = boot.Watchdog(), spec.watchdog
        ms = said.timeout.ms if said.timeout else usual.ms
        watchdog = boot.Watchdog(said.device or usual.device, ms)
    made = boot.compile_table(
        units, runtimes=starters, volumes=volumes, watchdog=watchdog, quiet=quiet
    )
    origin = Origin("linuxkit.boot", "boot")
    rule = Parents(0o755, 0, 0)
    return (Item(boot.PATH, "file", 0o644, origin, made, parents=rule),)


def _tell_unkept(spec: Spec, containers: Sequence[Placed]) -> None:
    """Say which keys have no effect, as no init image of ours is there to heed them.

    Raises LK0732 for secrets, without which a container would be another one.
    """
    entries = [placed.entry for placed in containers]
    secret = next((placed for placed in containers if placed.entry.secrets), None)
    if secret:
        place = spec.where((secret.section, secret.number, "secrets"))
        raise secrets.unheeded(secret.entry.name, place)
    said = {name for entry in entries for name in keys_said(entry)}
    said |= {"watchdog"} if spec.watchdog else set()
    if spec.init and said:
        events.note(
            f"no init image heeds these keys: {', '.join(sorted(said))}",
            level="warning",
            code="LK0727",
        )


def _units(spec: Spec, containers: Iterable[Placed]) -> Iterator[boot.Unit]:
    """The containers as units: services behind those they come after."""
    places = {(placed.section, placed.number): placed for placed in containers}
    turns = {index: turn for turn, index in enumerate(order.services(spec))}
    links = order.links(spec)
    names = {place: (place[0], placed.unit) for place, placed in places.items()}
    nothing = order.Links((), ())
    for place in sorted(places, key=lambda p: (p[0], turns[p[1]] if p[0] == "services" else p[1])):
        placed = places[place]
        after, requires = links.get(place, nothing)
        sandbox = placed.confined.sandbox
        yield boot.Unit(
            placed.section,
            placed.unit,
            placed.bundle,
            placed.configuration.config,
            placed.configuration.runtime,
            supervision(placed.section, placed.entry),
            tuple(names[other] for other in after),
            tuple(names[other] for other in requires),
            sandbox.command if sandbox else (),
            placed.entry.secrets or (),
            sandbox.first_id if sandbox else 0,
            (isolation.KVM,) if getattr(placed.entry, "inner", None) else (),
        )
