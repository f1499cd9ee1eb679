"""How the machine's interfaces hang together: rules between them, and an order to make them in.

Pure.  Rules within one interface are those of :mod:`linuxkit.spec.network`.
"""

from __future__ import annotations

from ipaddress import ip_interface
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Spec
    from linuxkit.spec.network import Link, Networking

Found = tuple[Error, tuple[str | int, ...]]


def problems(spec: Spec) -> Iterator[Error]:
    """LK0208 to LK0212 for what contradicts itself, LK0231 for interfaces made of each other."""
    network = spec.network
    if network is None:
        return
    for error, path in (*_names(network), *_joined(network), *_routes(network), *_turn(spec)):
        error.where = spec.where(("network", *path))
        yield error


def ordered(network: Networking) -> list[Link]:
    """The interfaces, each behind those that it is made of; those of a circle are left out."""
    links = {link.name: link for link in network.interfaces}
    done: dict[str, Link] = {}
    before = -1
    while len(done) > before:
        before = len(done)
        for name, link in links.items():
            if name not in done and all(other in done for other in link.below):
                done[name] = link
    return list(done.values())


def _names(network: Networking) -> Iterator[Found]:
    """Names, cards and addresses are there once; what an interface is made of is there."""
    if not network.interfaces:
        yield Error("LK0205", "network has no interfaces", hint="name them"), ("interfaces",)
    names: dict[str, int] = {}
    macs: set[str] = set()
    owners: dict[object, str] = {}
    for index, link in enumerate(network.interfaces):
        at = ("interfaces", index)
        if link.name in names:
            yield Error("LK0209", f'interface "{link.name}" is there twice'), (*at, "name")
        names.setdefault(link.name, index)
        if link.mac and link.mac in macs:
            yield Error("LK0209", f"two interfaces are the card {link.mac}"), (*at, "mac")
        macs.add(link.mac or "")
        for number, said in enumerate(link.addresses or ()):
            ip = ip_interface(said).ip
            other = owners.setdefault(ip, link.name)
            if other != link.name and not ip.is_link_local:
                message = f'"{other}" has the address {ip} already'
                yield Error("LK0212", message), (*at, "addresses", number)


def _joined(network: Networking) -> Iterator[Found]:
    links = {link.name: link for link in network.interfaces}
    masters: dict[str, str] = {}
    tags: set[tuple[str, int]] = set()
    for index, link in enumerate(network.interfaces):
        at = ("interfaces", index)
        for number, name in enumerate(link.below):
            path: Path = (*at, link.kind, *(("of",) if link.vlan else ("members", number)))
            if name not in links:
                hint = suggestion(name, links) or "each interface has an entry of its own"
                message = f'no interface is called "{printable(name)}"'
                yield Error("LK0211", message, hint=hint), path
            elif not link.vlan:
                yield from _member(link, links[name], masters, path)
        if link.vlan and (link.vlan.of, link.vlan.id) in tags:
            message = f'"{link.vlan.of}" has a VLAN {link.vlan.id} already'
            yield Error("LK0209", message), (*at, "vlan", "id")
        if link.vlan:
            tags.add((link.vlan.of, link.vlan.id))
            below = links.get(link.vlan.of)
            if below and below.mtu and link.mtu and link.mtu > below.mtu:
                message = f'"{link.name}" has a larger MTU than "{below.name}", which carries it'
                yield Error("LK0208", message), (*at, "mtu")
    known = all(name in links for link in network.interfaces for name in link.below)
    circle = [link.name for link in network.interfaces if link not in ordered(network)]
    if known and circle and len(links) == len(network.interfaces):
        shown = ", ".join(circle)
        yield Error(
            "LK0231", f"interfaces are made of each other: {shown}", hint="take one out"
        ), ("interfaces",)


def _member(
    master: Link, member: Link, masters: dict[str, str], path: Path
) -> Iterator[Found]:
    """What joins others has no addresses, and joins one only."""
    other = masters.setdefault(member.name, master.name)
    if other != master.name:
        message = f'"{member.name}" is part of "{other}" already'
        yield Error("LK0212", message), path
    own = [
        key for key in ("dhcp", "addresses", "gateway", "gateway6", "routes")
        if getattr(member, key)
    ]  # fmt: skip
    if own:
        message = f'"{member.name}" is part of "{master.name}" and has "{own[0]}"'
        yield Error("LK0212", message, hint=f'write them at "{master.name}"'), path
    if member.wireguard:
        yield Error("LK0212", f'the tunnel "{member.name}" cannot be part of anything'), path


def _routes(network: Networking) -> Iterator[Found]:
    """One way to everywhere, unless a metric says which; several DHCP servers may each know one."""
    taken: dict[tuple[str, int], tuple[str, bool]] = {}
    for index, link in enumerate(network.interfaces):
        leased = [("default", 0, True)] if link.dhcp else []
        said = [(route.to, route.metric or 0, False) for route in link.all_routes()]
        for to, metric, by_dhcp in leased + said:
            other, both = taken.setdefault((to, metric), (link.name, by_dhcp))
            if other != link.name and not (by_dhcp and both):
                yield Error(
                    "LK0212", f'"{other}" and "{link.name}" are both the way to {to}',
                    hint="give one of the routes a metric",
                ), ("interfaces", index)  # fmt: skip


def _turn(spec: Spec) -> Iterator[Found]:
    after = spec.network.after if spec.network else None
    names: Mapping[str, None] = dict.fromkeys(step.name for step in spec.onboot)
    if after is not None and after not in names:
        message = f'no container of onboot is called "{printable(after)}"'
        yield Error("LK0211", message, hint=suggestion(after, names)), ("after",)
