"""`network:` and `hostname:`: what they become, and every contradiction with its place."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import netfiles
from linuxkit.spec.load import parse

KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
OTHER = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="


class Packages:
    def reference(self, text, *, base, where):
        assert where.file == "my.yml"
        return f"linuxkit.stock/{text}:0123456789abcdef"


def spec(network: str, rest: str = ""):
    return parse(f"network:\n{network}{rest}", "my.yml", packages=Packages())


def links(*lines: str) -> str:
    return "  interfaces:\n" + "".join(f"    - {{{line}}}\n" for line in lines)


def files(network: str) -> dict[str, str]:
    prefix = f"{netfiles.FOLDER}/"
    made = spec(network).files
    return {f.path.removeprefix(prefix): f.contents for f in made if f.path.startswith(prefix)}


def faults(network: str, rest: str = "") -> list[tuple[str, int, str]]:
    with pytest.raises(Error) as caught:
        spec(network, rest)
    return [(e.code, e.where.line, f"{e.message} ({e.hint})") for e in caught.value.all()]


def batch(network: str) -> list[str]:
    return files(network)["ip.batch"].splitlines()


def test_nothing_said_nothing_made():
    made = parse("onboot: []\n")
    assert (made.files, made.onboot, made.services) == ((), (), ())


def test_static_addresses():
    said = links(
        "name: lan, mac: 52-54-00-AB-cd-01, addresses: [192.0.2.7/24, '2001:DB8::7/64'],"
        " gateway: 192.0.2.1, gateway6: 'fe80::1', mtu: 1400,"
        " routes: [{to: 10.0.0.0/8, via: 192.0.2.9, metric: 5}, {to: 198.51.100.0/24}]"
    )
    assert files(said)["links"] == "lan 52:54:00:ab:cd:01\n"
    assert batch(said) == [
        "link set dev lan mtu 1400",
        "address add 192.0.2.7/24 broadcast + dev lan",
        "address add 2001:db8::7/64 dev lan",
        "link set dev lan up",
        "route replace 0.0.0.0/0 via 192.0.2.1 dev lan",
        "route replace ::/0 via fe80::1 dev lan",
        "route replace 10.0.0.0/8 via 192.0.2.9 dev lan metric 5",
        "route replace 198.51.100.0/24 dev lan",
    ]


def test_what_is_made_of_others_comes_behind_them():
    said = links(
        "name: v7, vlan: {of: bond0, id: 7}, addresses: [10.0.0.1/31]",
        "name: br0, bridge: {members: [v8]}",
        "name: bond0, bond: {members: [a, b], primary: b, monitor: 1s}",
        "name: a",
        "name: v8, vlan: {of: bond0, id: 8}",
        "name: b",
    )
    assert batch(said) == [
        "link set dev a up",
        "link set dev b up",
        "link add name bond0 type bond mode active-backup miimon 1000",
        "link set dev a down",
        "link set dev a master bond0",
        "link set dev a up",
        "link set dev b down",
        "link set dev b master bond0",
        "link set dev b up",
        "link set dev bond0 type bond primary b",
        "link set dev bond0 up",
        "link add link bond0 name v8 type vlan id 8",
        "link set dev v8 up",
        "link add link bond0 name v7 type vlan id 7",
        "address add 10.0.0.1/31 dev v7",
        "link set dev v7 up",
        "link add name br0 type bridge stp_state 0 forward_delay 0",
        "link set dev v8 master br0",
        "link set dev br0 up",
    ]
    assert files(said)["links"] == "a -\nb -\n"


def test_tunnels():
    said = (
        "  interfaces:\n  - name: wg0\n    addresses: [10.9.0.1/24]\n    wireguard:\n"
        f"      port: 51820\n      peers:\n      - {{publicKey: '{KEY}', allowedIPs: [10.9.0.2/32, 10.8.0.0/16],"
        " endpoint: 'Example.org:51820', keepalive: 25, presharedKeyFile: /run/config/psk}\n"
        f"      - {{publicKey: '{OTHER}', allowedIPs: ['fd00::/64'], endpoint: '[2001:DB8::1]:1'}}\n"
    )
    made = files(said)
    assert made["wg0.conf"] == (
        f"[Interface]\nListenPort = 51820\n[Peer]\nPublicKey = {KEY}\nAllowedIPs = 10.9.0.2/32, 10.8.0.0/16\n"
        "Endpoint = Example.org:51820\nPersistentKeepalive = 25\n"
        f"[Peer]\nPublicKey = {OTHER}\nAllowedIPs = fd00::/64\nEndpoint = [2001:db8::1]:1\n"
    )
    assert made["keys"] == (
        "wg0 - /keys/1/wg0.key /var/lib/wireguard/wg0.key\n"
        f"wg0 {KEY} /keys/0/psk /run/config/psk\n"
    )
    assert batch(said)[0] == "link add name wg0 type wireguard"
    assert batch(said)[-3:] == [f"route replace {n} dev wg0" for n in ("10.9.0.2/32", "10.8.0.0/16", "fd00::/64")]
    step = spec(said).onboot[-1]
    assert (step.name, step.capabilities) == ("network-wireguard", ("CAP_NET_ADMIN",))
    assert [str(b) for b in step.binds][2:] == [
        "/run/config:/keys/0:rw", "/var/lib/wireguard:/keys/1:rw",
    ]  # fmt: skip


def test_who_carries_it_out():
    made = spec(links("name: eth0, dhcp: true", "name: eth1, dhcp: keep"), "onboot:\n- {name: a, image: x}\n")
    assert [step.name for step in made.onboot] == ["network", "network-dhcp", "a"]
    first, second, _ = made.onboot
    assert first.capabilities == ("CAP_NET_ADMIN",)
    assert [str(b) for b in first.binds] == ["/etc/linuxkit/network:/etc/network:ro"]
    assert second.command == ("/usr/bin/udhcpc.sh", "-1", "eth0", "eth1")
    assert [str(b) for b in second.binds] == ["/run/resolvconf:/run/resolvconf:rw"]
    assert [(s.name, s.command) for s in made.services] == [("network-dhcp", ("/usr/bin/udhcpc.sh", "eth1"))]
    assert made.network is None


def test_own_name_servers_keep_those_of_leases_away():
    said = links("name: eth0, dhcp: keep") + "  dns: {servers: [192.0.2.53, '2001:db8::53'], search: [a.example]}\n"
    made = spec(said)
    assert files(said)["resolv.conf"] == "search a.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
    assert "/run/resolvconf:/run/resolvconf:rw" in map(str, made.onboot[0].binds)
    for client in (made.onboot[1], made.services[0]):
        assert client.binds == ()
        assert [str(t) for t in client.tmpfs] == ["/tmp", "/run/resolvconf"]


def test_a_route_through_a_lease_does_not_wait_for_it():
    said = links("name: eth0, dhcp: true, routes: [{to: 10.0.0.0/8, via: 192.0.2.1}]")
    assert batch(said)[-1] == "route replace 10.0.0.0/8 via 192.0.2.1 dev eth0 onlink"


def test_places_stay_right():
    rest = "onboot:\n- {name: a, image: x}\n- {name: b, image: y}\nservices:\n- {name: s, image: z}\nfiles:\n- {path: f, contents: g}\n"
    made = spec(links("name: eth0, dhcp: keep") + "  after: a\n", rest + "hostname: web\n")
    assert [step.name for step in made.onboot] == ["a", "network", "network-dhcp", "b"]
    lines = [made.where(("onboot", n, "image")).line for n in range(4)]
    assert lines == [6, 2, 2, 7]
    assert [made.where(("services", n, "image")).line for n in range(2)] == [9, 2]
    assert [f.path for f in made.files] == ["f", "etc/hostname", "etc/linuxkit/network/links", "etc/linuxkit/network/ip.batch"]
    assert [made.where(("files", n)).line for n in range(4)] == [11, 12, 2, 2]


def test_hostname():
    made = parse("hostname: web-1\n")
    assert [(f.path, f.contents, str(f.mode)) for f in made.files] == [("etc/hostname", "web-1\n", "0644")]
    assert made.hostname is None
    with pytest.raises(Error, match="both hostname and files"):
        parse("hostname: a\nfiles:\n- {path: /etc/hostname, contents: b}\n")


def test_without_packages():
    with pytest.raises(Error) as caught:
        parse("network: {interfaces: [{name: a}]}\n")
    assert caught.value.code == "LK0214"


@pytest.mark.parametrize(
    ("lines", "code", "line", "words"),
    [
        (["name: a b"], "LK0208", 3, "not a name for an interface"),
        (["name: sixteen-letters-"], "LK0208", 3, "up to 15"),
        (["name: all"], "LK0208", 3, "not a name"),
        (["name: a, mac: '01:00:5e:00:00:01'"], "LK0208", 3, "not the address of a network card"),
        (["name: a, addresses: [192.0.2.1]"], "LK0208", 3, "write 192.0.2.1/24"),
        (["name: a, addresses: [192.0.2.256/24]"], "LK0208", 3, "not an address"),
        (["name: a, addresses: [192.0.2.0/24]"], "LK0208", 3, "stands for all of 192.0.2.0/24"),
        (["name: a, addresses: [224.0.0.1/4]"], "LK0208", 3, "of a machine"),
        (["name: a, addresses: [192.0.2.1/24, 192.0.2.1/16]"], "LK0209", 3, "twice"),
        (["name: a, addresses: ['2001:db8::1/64'], mtu: 1000"], "LK0208", 3, "IPv6 needs 1280"),
        (["name: a, addresses: [192.0.2.7/24], gateway: 198.51.100.1"], "LK0208", 3, "in none of the networks"),
        (["name: a, gateway: '2001:db8::1'"], "LK0208", 3, "the key for IPv6 is gateway6"),
        (["name: a, gateway6: 192.0.2.1"], "LK0208", 3, "the key for IPv4 is gateway"),
        (["name: a, dhcp: true, addresses: [192.0.2.7/24]"], "LK0212", 3, 'has "dhcp" and an IPv4 "addresses"'),
        (["name: a, dhcp: true, gateway: 192.0.2.1"], "LK0212", 3, 'has "dhcp" and an IPv4 "gateway"'),
        (["name: a, dhcp: yes"], "LK0208", 3, "dhcp"),
        (["name: a, routes: [{to: 10.0.0.1/8}]"], "LK0208", 3, "write 10.0.0.0/8"),
        (["name: a, routes: [{to: 10.0.0.0/8, via: '::1'}]"], "LK0208", 3, "IPv4 and IPv6 differ"),
        (["name: a, routes: [{to: 10.0.0.0/8, via: 192.0.2.1}]"], "LK0208", 3, "onLink: true"),
        (["name: a, routes: [{to: 10.0.0.0/8, onLink: true}]"], "LK0208", 3, 'without "via"'),
        (["name: a, mac: '52:54:00:00:00:01', vlan: {of: b, id: 1}", "name: b"], "LK0212", 3, 'both "vlan" and "mac"'),
        (["name: a, bridge: {members: []}, bond: {members: [b]}", "name: b"], "LK0212", 3, 'both "bridge" and "bond"'),
        (["name: a", "name: a"], "LK0209", 4, "there twice"),
        (["name: a, mac: '52:54:00:00:00:01'", "name: b, mac: '52:54:00:00:00:01'"], "LK0209", 4, "two interfaces are"),
        (["name: a, addresses: [192.0.2.7/24]", "name: b, addresses: [192.0.2.7/25]"], "LK0212", 4, '"a" has the address'),
        (["name: v, vlan: {of: eht0, id: 1}", "name: eth0"], "LK0211", 3, 'did you mean "eth0"'),
        (["name: v, vlan: {of: a, id: 4095}", "name: a"], "LK0208", 3, "between 1 and 4094"),
        (["name: a", "name: v, vlan: {of: a, id: 1}", "name: w, vlan: {of: a, id: 1}"], "LK0209", 5, "has a VLAN 1 already"),
        (["name: a, mtu: 1500", "name: v, vlan: {of: a, id: 1}, mtu: 9000"], "LK0208", 4, "larger MTU"),
        (["name: b, bridge: {members: [a]}", "name: a, dhcp: true"], "LK0212", 3, 'write them at "b"'),
        (["name: b, bridge: {members: [a]}", "name: c, bridge: {members: [a]}", "name: a"], "LK0212", 4, 'part of "b" already'),
        (["name: b, bond: {members: []}"], "LK0205", 3, "has no members"),
        (["name: b, bond: {members: [a], primary: c}", "name: a"], "LK0208", 3, "which is no member"),
        (["name: b, bond: {members: [a], primary: a, mode: 802.3ad}", "name: a"], "LK0208", 3, "does not know"),
        (["name: a, vlan: {of: b, id: 1}", "name: b, vlan: {of: a, id: 1}"], "LK0231", 3, "made of each other: a, b"),
        (["name: a, addresses: [192.0.2.7/24], gateway: 192.0.2.1", "name: b, addresses: [198.51.100.7/24], gateway: 198.51.100.1"],
         "LK0212", 4, "both the way to default"),
        (["name: a, dhcp: true", "name: b, addresses: [192.0.2.7/24], gateway: 192.0.2.1"], "LK0212", 4, "both the way to default"),
        (["name: w, wireguard: {peers: [{publicKey: abc, allowedIPs: []}]}"], "LK0208", 3, "not a key of WireGuard"),
        ([f"name: w, wireguard: {{peers: [{{publicKey: '{KEY}', allowedIPs: [], endpoint: a}}]}}"], "LK0208", 3, "not a host with a port"),
        ([f"name: w, wireguard: {{peers: [{{publicKey: '{KEY}', allowedIPs: [], endpoint: '::1:5'}}]}}"], "LK0208", 3, "[2001:db8::1]:51820"),
        (["name: w, wireguard: {privateKeyFile: /key}"], "LK0208", 3, "not a place for a key"),
        (["name: w, wireguard: {privateKeyFile: /a/../b}"], "LK0208", 3, "not a place for a key"),
        (["name: w, dhcp: true, wireguard: {}"], "LK0212", 3, "no DHCP in a tunnel"),
        ([f"name: w, wireguard: {{peers: [{{publicKey: '{KEY}', allowedIPs: [10.0.0.0/8]}}, {{publicKey: '{OTHER}', allowedIPs: [10.0.0.0/8]}}]}}"],
         "LK0212", 3, "which an earlier peer has"),
        (["name: b, bridge: {members: [w]}", "name: w, wireguard: {}"], "LK0212", 3, "cannot be part of anything"),
        (["name: a, nmae: b"], "LK0203", 3, 'unknown key "nmae"'),
    ],
)  # fmt: skip
def test_contradictions_have_their_place(lines, code, line, words):
    found = faults(links(*lines))
    assert [(c, n) for c, n, text in found if words in text] == [(code, line)], found


def test_all_at_once():
    said = links("name: a, addresses: [192.0.2.1]", "name: b, mtu: 5") + "  dns: {servers: [x]}\n  after: y\n"
    assert [(code, line) for code, line, _ in faults(said)] == [("LK0208", 3), ("LK0208", 4), ("LK0208", 5)]
    found = faults(links("name: a", "name: a", "name: v, vlan: {of: c, id: 1}") + "  after: y\n")
    assert [code for code, _, _ in found] == ["LK0209", "LK0211", "LK0211"]


@pytest.mark.parametrize("count", [0, 4])
def test_three_servers_at_most(count):
    servers = ", ".join(f"192.0.2.{n}" for n in range(1, count + 1))
    found = faults(links("name: a") + f"  dns: {{servers: [{servers}]}}\n")
    assert "name one, two or three" in found[0][2]


def test_no_interfaces():
    assert faults("  interfaces: []\n")[0][0] == "LK0205"
