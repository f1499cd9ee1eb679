"""The keys that say how the machine's network is set up.

Shapes and rules within one interface; those between interfaces are left to
:mod:`linuxkit.spec.topology`, what becomes of it all to :mod:`linuxkit.spec.expand`.
"""

from __future__ import annotations

from ipaddress import ip_interface
from typing import TYPE_CHECKING, Annotated

from linuxkit.spec import address, text
from linuxkit.spec.decode import Key, Problem
from linuxkit.spec.parts import Strings  # noqa: TC001 - the decoder reads annotations
from linuxkit.spec.record import Record
from linuxkit.spec.text import Duration  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST_IPV6_MTU = 1280  # RFC 8200 section 5
_MOST_SERVERS = 3  # resolv.conf(5): MAXNS
BOND_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
              "balance-alb")  # fmt: skip


class Route(Record):
    """A way to other networks."""

    to: Annotated[
        str, Key("Network such as `10.0.0.0/8`, or `default` or `default6`.",
                 read=address.destination),
    ]  # fmt: skip
    via: Annotated[
        str | None,
        Key("Address of the router; without it the network is on the link.", read=address.address),
    ] = None
    metric: Annotated[
        int | None, Key("Of several ways the one with the least is taken.", least=0, most=2**32 - 1)
    ] = None
    on_link: Annotated[
        bool | None, Key("The router is on this link, though no address here says so.")
    ] = None

    def problems(self) -> Iterator[Problem]:
        """Both ends are of one family."""
        if self.via and address.version(self.to) != address.version(self.via):
            yield Problem("via", f'goes to "{self.to}" via "{self.via}"', "IPv4 and IPv6 differ")
        if self.on_link and not self.via:
            yield Problem("onLink", 'has "onLink" without "via"')


class Vlan(Record):
    """A virtual network (802.1Q) on another interface."""

    of: Annotated[str, Key("The interface it is on.")]
    id: Annotated[int, Key("Its number.", least=1, most=4094)]


class Bridge(Record):
    """Interfaces joined as by a switch."""

    members: Annotated[Strings, Key("The interfaces; none is fine, others may join later.")]
    stp: Annotated[bool | None, Key("Whether it speaks the spanning tree protocol: no.")] = None


class Bond(Record):
    """Interfaces that act as one."""

    members: Annotated[Strings, Key("The interfaces.")]
    mode: Annotated[
        str | None, Key("How they share the work: `active-backup`.", choices=BOND_MODES)
    ] = None
    primary: Annotated[str | None, Key("The member that is preferred.")] = None
    monitor: Annotated[
        Duration | None, Key("How often links are looked at: `100ms`.", read=text.duration)
    ] = None

    def problems(self) -> Iterator[Problem]:
        """It has members, and the preferred one is among them."""
        if not self.members:
            yield Problem("members", "has no members", "name its interfaces", "LK0205")
        if self.primary and self.primary not in self.members:
            yield Problem("primary", f'prefers "{self.primary}", which is no member')
        if self.primary and self.mode not in {None, "active-backup", "balance-tlb", "balance-alb"}:
            yield Problem("primary", f'has "primary", which mode {self.mode} does not know')


class Peer(Record):
    """The other end of a WireGuard tunnel."""

    public_key: Annotated[str, Key("Its public key.", read=address.public_key)]
    allowed_ips: Annotated[
        Strings,
        Key("Networks behind it; what comes from there is taken, what goes there is sent.",
            name="allowedIPs", read=address.network),
    ]  # fmt: skip
    endpoint: Annotated[
        str | None, Key("Where it is: `HOST:PORT`; else it has to call.", read=address.endpoint)
    ] = None
    keepalive: Annotated[
        int | None, Key("Seconds between signs of life: none.", least=1, most=65535)
    ] = None
    preshared_key_file: Annotated[
        str | None, Key("File of the machine with a key that both share.", read=address.key_file)
    ] = None


class WireGuard(Record):
    """Encrypted tunnels to peers."""

    private_key_file: Annotated[
        str | None,
        Key("File of the machine with the private key; made when it is not there: "
            "`/var/lib/wireguard/NAME.key`.", read=address.key_file),
    ] = None  # fmt: skip
    port: Annotated[int | None, Key("UDP port it listens on; else any.", least=1, most=65535)] = (
        None
    )
    peers: Annotated[tuple[Peer, ...], Key("The other ends.")] = ()
    routes: Annotated[
        bool | None, Key("Whether the peers' networks are routed there: yes.")
    ] = None

    def problems(self) -> Iterator[Problem]:
        """A network is behind one peer."""
        keys: set[str] = set()
        owned: set[str] = set()
        for index, peer in enumerate(self.peers):
            at = ("peers", index)
            if peer.public_key in keys:
                yield Problem("publicKey", "has the key of an earlier peer", "", "LK0209", at)
            keys.add(peer.public_key)
            for name in peer.allowed_ips:
                if name in owned:
                    yield Problem(
                        "allowedIPs", f'claims "{name}", which an earlier peer has',
                        "the tunnel would give it to the last one only", "LK0212", at,
                    )  # fmt: skip
                owned.add(name)


class Link(Record):
    """A network interface: one of the machine's, or one that is made."""

    name: Annotated[
        str, Key("Its name; with `mac` the one it is given.", read=address.interface)
    ]
    mac: Annotated[
        str | None, Key("The address of the card, which tells it from others.", read=address.mac)
    ] = None
    vlan: Annotated[Vlan | None, Key("Makes a VLAN.")] = None
    bridge: Annotated[Bridge | None, Key("Makes a bridge.")] = None
    bond: Annotated[Bond | None, Key("Makes a bond.")] = None
    wireguard: Annotated[WireGuard | None, Key("Makes a WireGuard tunnel.")] = None
    dhcp: Annotated[
        bool | str | None,
        Key("Ask for an IPv4 address, once before the services; `keep` also stays to renew it.",
            choices=("keep",)),
    ] = None  # fmt: skip
    addresses: Annotated[
        Strings | None, Key("Its addresses, such as `192.0.2.7/24`.", read=address.with_prefix)
    ] = None
    gateway: Annotated[
        str | None, Key("The router to everywhere else.", read=address.ipv4)
    ] = None
    gateway6: Annotated[
        str | None, Key("The same for IPv6; else routers tell.", read=address.ipv6)
    ] = None
    routes: Annotated[tuple[Route, ...] | None, Key("Ways to other networks.")] = None
    mtu: Annotated[int | None, Key("Size of its largest packets.", least=68, most=65535)] = None

    @property
    def kind(self) -> str:
        """What makes it: "vlan", "bridge", "bond" or "wireguard"; "" for one that is there."""
        return next((key for key in KINDS if getattr(self, key) is not None), "")

    @property
    def below(self) -> tuple[str, ...]:
        """The interfaces that have to be there before it."""
        if self.vlan:
            return (self.vlan.of,)
        joined = self.bridge or self.bond
        return joined.members if joined else ()

    def all_routes(self) -> tuple[Route, ...]:
        """Its routes, those of its gateways first."""
        pairs = (("default", self.gateway), ("default6", self.gateway6))
        ways = tuple(Route(to=to, via=via) for to, via in pairs if via)
        return ways + (self.routes or ())

    def problems(self) -> Iterator[Problem]:
        """It is of one kind, and its addresses do not contradict each other."""
        kinds = [key for key in KINDS if getattr(self, key) is not None]
        if self.mac and kinds:
            kinds.append("mac")
        if len(kinds) > 1:
            said = " and ".join(f'"{kind}"' for kind in kinds[:2])
            yield Problem(kinds[1], f"has both {said}", "it can be of one kind", "LK0212")
        yield from self._dhcp_problems()
        yield from self._address_problems()
        yield from self._route_problems()

    def _dhcp_problems(self) -> Iterator[Problem]:
        if not self.dhcp:
            return
        fixed = [a for a in self.addresses or () if address.version(a) == 4]  # noqa: PLR2004
        for key, said in (("addresses", bool(fixed)), ("gateway", self.gateway)):
            if said:
                yield Problem(
                    key, f'has "dhcp" and an IPv4 "{key}" of its own',
                    "the server gives both: keep one of the two", "LK0212",
                )  # fmt: skip
        if self.wireguard:
            yield Problem("dhcp", 'has "dhcp"', "there is no DHCP in a tunnel", "LK0212")

    def _address_problems(self) -> Iterator[Problem]:
        seen: set[object] = set()
        for said in self.addresses or ():
            if ip_interface(said).ip in seen:
                yield Problem("addresses", f'has "{said}" twice', "", "LK0209")
            seen.add(ip_interface(said).ip)
            if address.version(said) == 6 and self.mtu and self.mtu < _LEAST_IPV6_MTU:  # noqa: PLR2004
                yield Problem(
                    "mtu", f'has the IPv6 address "{said}" and an MTU of {self.mtu}',
                    f"IPv6 needs {_LEAST_IPV6_MTU}",
                )  # fmt: skip

    def _route_problems(self) -> Iterator[Problem]:
        """A router has to be in reach."""
        networks = [ip_interface(a).network for a in self.addresses or ()]
        for number, route in enumerate(self.all_routes()):
            via = route.via
            if via is None or route.on_link:
                continue
            hop = ip_interface(via).ip
            leased = bool(self.dhcp) and hop.version == 4  # noqa: PLR2004
            if leased or hop.is_link_local or any(hop in network for network in networks):
                continue
            gateways = len(self.all_routes()) - len(self.routes or ())
            key = ("gateway6" if hop.version == 6 else "gateway") if number < gateways else "via"  # noqa: PLR2004
            at = () if number < gateways else ("routes", number - gateways)
            yield Problem(
                key, f'has the router "{via}", which is in none of the networks of its addresses',
                "mend the address or its prefix, or write routes: [{to: default, "
                f"via: {via}, onLink: true}}]", "LK0208", at,
            )  # fmt: skip


KINDS = ("vlan", "bridge", "bond", "wireguard")


class Dns(Record):
    """Who resolves names."""

    servers: Annotated[Strings, Key("Their addresses, three at most.", read=address.address)]
    search: Annotated[
        Strings | None, Key("Domains that short names are looked for in.", read=address.domain)
    ] = None

    def problems(self) -> Iterator[Problem]:
        """Resolvers take three."""
        if not 1 <= len(self.servers) <= _MOST_SERVERS:
            yield Problem("servers", f"has {len(self.servers)} servers", "name one, two or three")


class Networking(Record):
    """The machine's network, set up before the services start."""

    interfaces: Annotated[tuple[Link, ...], Key("The interfaces; those of DHCP too.")]
    dns: Annotated[Dns | None, Key("Who resolves names; else the DHCP server says.")] = None
    after: Annotated[
        str | None, Key("The container of `onboot` behind which this is done; else it comes first.")
    ] = None
    on_failure: Annotated[
        str | None,
        Key("What a failure leads to: `stop` (the default) halts the boot with a message.",
            choices=("stop", "continue", "reboot", "poweroff")),
    ] = None  # fmt: skip
