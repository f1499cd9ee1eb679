"""Which container comes after which: names resolved, circles found, services in a fitting order.

Pure.  What the guest makes of the order is said in :mod:`linuxkit.build.boot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.spec.model import Spec

Place = tuple[str, int]
"""A section, and the entry's number in it."""


class Links(NamedTuple):
    """What an entry comes after, in the order it says so; ``requires`` is part of ``after``."""

    after: tuple[Place, ...]
    requires: tuple[Place, ...]


_KEYS = ("after", "requires")


def problems(spec: Spec) -> Iterator[Error]:
    """LK0211 for names that nobody has, LK0230 for services that wait for each other."""
    known = _known(spec)
    for section in ("services", "onshutdown"):
        for index, entry in enumerate(getattr(spec, section)):
            names = known if section == "services" else _services(known)
            for key in _KEYS:
                for number, name in enumerate(getattr(entry, key, None) or ()):
                    if name not in names:
                        yield Error(
                            "LK0211",
                            f'no {"container" if section == "services" else "service"} that can '
                            f'come before "{printable(entry.name)}" is called "{printable(name)}"',
                            hint=suggestion(name, names) or "names of services are possible"
                            + (" and of onboot" if section == "services" else ""),
                            where=spec.where((section, index, key, number)),
                        )  # fmt: skip
    circle = _circle(spec)
    if circle:
        path = [spec.services[index].name for index in (*circle, circle[0])]
        yield Error(
            "LK0230",
            f"services wait for each other: {' → '.join(map(printable, path))}",
            hint="each arrow is an `after` or `requires`: take one of them out",
            where=spec.where(("services", circle[0], _said(spec, circle))),
        )


def links(spec: Spec) -> Mapping[Place, Links]:
    """What each service and onshutdown entry of a checked ``spec`` comes after."""
    known = _known(spec)
    found = {}
    for section in ("services", "onshutdown"):
        for index, entry in enumerate(getattr(spec, section)):
            after, requires = (
                [known[name] for name in getattr(entry, key, None) or () if name in known]
                for key in _KEYS
            )
            both = tuple(dict.fromkeys((*after, *requires)))
            found[section, index] = Links(both, tuple(dict.fromkeys(requires)))
    return found


def services(spec: Spec) -> tuple[int, ...]:
    """The numbers of the services, each behind those it comes after, else as they are written."""
    left = _waits(spec)
    ordered: list[int] = []
    while left:
        index = min(i for i, before in left.items() if not before & left.keys())
        ordered.append(index)
        del left[index]
    return tuple(ordered)


def _known(spec: Spec) -> dict[str, Place]:
    """Names of what can come before: services, then onboot; ``onboot/NAME`` says which."""
    found: dict[str, Place] = {}
    for section, entries in (("onboot", spec.onboot), ("services", spec.services)):
        for index, entry in enumerate(entries):
            found[f"{section}/{entry.name}"] = found[entry.name] = (section, index)
    return found


def _services(known: Mapping[str, Place]) -> Mapping[str, Place]:
    return {name: place for name, place in known.items() if place[0] == "services"}


def _waits(spec: Spec) -> dict[int, set[int]]:
    """For each service the services it comes after."""
    return {
        place[1]: {index for section, index in found.after if section == "services"}
        for place, found in links(spec).items()
        if place[0] == "services"
    }


def _circle(spec: Spec) -> Sequence[int]:
    """Services that wait for each other, the first before the second's turn; else none."""
    left = _waits(spec)
    while True:
        free = [index for index, before in left.items() if not before & left.keys()]
        if not free:
            break
        for index in free:
            del left[index]
    if not left:
        return ()
    # Every service that is left waits for another one that is left: following it leads round.
    path = [min(left)]
    while True:
        index = min(left[path[-1]] & left.keys())
        if index in path:
            return path[path.index(index) :]
        path.append(index)


def _said(spec: Spec, circle: Sequence[int]) -> str:
    """The key in which the circle's first service names the second one."""
    after = spec.services[circle[0]].after or ()
    following = spec.services[circle[1 % len(circle)]].name
    return "after" if following in after or f"services/{following}" in after else "requires"
