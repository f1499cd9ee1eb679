"""What the machine is to do about its network, as files that stock programs read.

Pure.  ``packages/network`` works them off: ``links`` says which interfaces have to be there,
``ip.batch`` is for ``ip -batch``, ``NAME.conf`` for ``wg setconf``, ``keys`` names files with keys.
"""

from __future__ import annotations

import posixpath
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from linuxkit.spec import address, topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.spec.network import Link, Networking, Peer, Route, WireGuard

FOLDER = "etc/linuxkit/network"
"""Where the files are in the root."""

RESOLVER = "/run/resolvconf"
"""The folder of the root with the name servers, to which its /etc/resolv.conf leads."""

PLACE = "/etc/network"
"""Where the programs find them."""

KEYS = "/keys"
"""Where they find the folders of keys; a file system in memory, for any number of them."""

_MONITOR_MS = 100


def compiled(network: Networking) -> dict[str, str]:
    """The files by name."""
    links = topology.ordered(network)
    there = [link for link in links if not link.kind]
    files = {
        "links": "".join(f"{link.name} {link.mac or '-'}\n" for link in there),
        "ip.batch": "".join(f"{line}\n" for link in links for line in _commands(link)),
    }
    if network.dns:
        lines = [f"search {' '.join(network.dns.search)}"] if network.dns.search else []
        lines += [f"nameserver {server}" for server in network.dns.servers]
        files["resolv.conf"] = "".join(f"{line}\n" for line in lines)
    tunnels = [(link.name, link.wireguard) for link in links if link.wireguard]
    for name, tunnel in tunnels:
        files[f"{name}.conf"] = "\n".join(_tunnel(tunnel)) + "\n"
    if tunnels:
        folders = key_folders(network)
        lines = [line for name, said in tunnels for line in _keys(name, said, folders)]
        files["keys"] = "".join(f"{line}\n" for line in lines)
    return files


def key_folders(network: Networking) -> tuple[str, ...]:
    """The folders of the machine with keys; the container finds number N at ``KEYS/N``."""
    tunnels = [(link.name, link.wireguard) for link in network.interfaces if link.wireguard]
    files = [path for name, tunnel in tunnels for _, path in _key_files(name, tunnel)]
    return tuple(sorted({posixpath.dirname(path) for path in files}))


def _commands(link: Link) -> Iterator[str]:
    """What ``ip`` has to do for one interface; those that it is made of are there."""
    name = link.name
    yield from _made(link)
    if link.mtu:
        yield f"link set dev {name} mtu {link.mtu}"
    for said in link.addresses or ():
        spread = " broadcast +" if _has_broadcast(said) else ""
        yield f"address add {said}{spread} dev {name}"
    yield f"link set dev {name} up"
    for route in link.all_routes():
        yield _route(route, link)
    tunnel = link.wireguard
    if tunnel and tunnel.routes is not False:
        for network in dict.fromkeys(n for peer in tunnel.peers for n in peer.allowed_ips):
            yield f"route replace {network} dev {name}"


def _made(link: Link) -> Iterator[str]:
    name = link.name
    if link.vlan:
        yield f"link add link {link.vlan.of} name {name} type vlan id {link.vlan.id}"
    if link.wireguard:
        yield f"link add name {name} type wireguard"
    if link.bridge:
        # without the protocol there is nothing to listen for before packets go through
        tree = "stp_state 1" if link.bridge.stp else "stp_state 0 forward_delay 0"
        yield f"link add name {name} type bridge {tree}"
        for member in link.bridge.members:
            yield f"link set dev {member} master {name}"
    if link.bond:
        bond = link.bond
        monitor = bond.monitor.ms if bond.monitor else _MONITOR_MS
        yield f"link add name {name} type bond mode {bond.mode or 'active-backup'} miimon {monitor}"
        for member in bond.members:
            # a bond takes interfaces that are down
            yield f"link set dev {member} down"
            yield f"link set dev {member} master {name}"
            yield f"link set dev {member} up"
        if bond.primary:
            yield f"link set dev {name} type bond primary {bond.primary}"


def _has_broadcast(said: str) -> bool:
    network = ip_interface(said).network
    return network.version == 4 and network.prefixlen < 31  # noqa: PLR2004


def _route(route: Route, link: Link) -> str:
    to = address.DEFAULTS.get(route.to, route.to)
    words = ["route", "replace", to]
    if route.via:
        words += ["via", route.via]
    words += ["dev", link.name]
    # the address by which the router is in reach may come with a lease, later
    later = link.dhcp and route.via and address.version(route.via) == 4  # noqa: PLR2004
    if route.on_link or later:
        words.append("onlink")
    if route.metric is not None:
        words += ["metric", str(route.metric)]
    return " ".join(words)


def _tunnel(tunnel: WireGuard) -> Iterator[str]:
    yield "[Interface]"
    if tunnel.port:
        yield f"ListenPort = {tunnel.port}"
    for peer in tunnel.peers:
        yield from _peer(peer)


def _peer(peer: Peer) -> Iterator[str]:
    yield "[Peer]"
    yield f"PublicKey = {peer.public_key}"
    yield f"AllowedIPs = {', '.join(peer.allowed_ips)}"
    if peer.endpoint:
        yield f"Endpoint = {peer.endpoint}"
    if peer.keepalive:
        yield f"PersistentKeepalive = {peer.keepalive}"


def _key_files(name: str, tunnel: WireGuard) -> Iterator[tuple[str, str]]:
    """Whose key it is, the peer's or ``-`` for the tunnel's own, and its file."""
    yield "-", tunnel.private_key_file or f"/var/lib/wireguard/{name}.key"
    for peer in tunnel.peers:
        if peer.preshared_key_file:
            yield peer.public_key, peer.preshared_key_file


def _keys(name: str, tunnel: WireGuard, folders: tuple[str, ...]) -> Iterator[str]:
    """The interface, whose key, the file in the container, the file in the machine."""
    for whose, path in _key_files(name, tunnel):
        folder, base = posixpath.split(path)
        yield f"{name} {whose} {KEYS}/{folders.index(folder)}/{base} {path}"
