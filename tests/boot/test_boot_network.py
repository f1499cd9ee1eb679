"""Machines whose network and disks are set up by stock packages; two that talk through a tunnel."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import time

import pytest

from linuxkit.runners.options import Disk
from support.machines import FULL, OTHER_KERNEL, for_kernel, free_port, start_all, step, use
from support.tools import need
from support.wireguard import Peer

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 400

NETWORK = """\
hostname: set-up
network:
  interfaces:
    - {name: eth0, addresses: [10.0.2.15/24], gateway: 10.0.2.2, mtu: 1400}
    - {name: side, mac: "52:54:00:AA:00:01"}
    - {name: side.7, vlan: {of: side, id: 7}, addresses: ["2001:db8:7::1/64"], routes: [{to: "2001:db8:8::/48", via: "2001:db8:7::2"}]}
    - {name: third, mac: "52:54:00:aa:00:02"}
    - {name: fourth, mac: "52:54:00:aa:00:03"}
    - {name: bond0, bond: {members: [third, fourth], primary: fourth}}
    - {name: br0, bridge: {members: [bond0]}, addresses: [192.0.2.1/28], routes: [{to: 198.51.100.0/24, via: 192.0.2.2, metric: 7}]}
  dns: {servers: [10.0.2.3], search: [a.example]}
"""
CARDS = tuple(f"virtio-net-pci,mac=52:54:00:aa:00:0{n}" for n in (1, 2, 3))


def test_network_and_settings(workshop, boot, tmp_path):
    mount = '["/usr/bin/mountie", "-label", "{}", "{}"]'
    yml = (
        FULL
        + NETWORK
        + "onboot:\n"
        + step("name", "test $(cat /proc/sys/kernel/hostname) = set-up")
        + step("static", "ip -4 addr show dev eth0 | grep -q '10.0.2.15/24 brd 10.0.2.255'")
        + step("mtu", "ip link show dev eth0 | grep -q 'mtu 1400'")
        + step("router", "ping -c 1 -W 5 10.0.2.2", capabilities="[CAP_NET_RAW]")
        + step("resolver", "cat /host/run/resolvconf/resolv.conf | tr '\\n' , | grep -qx 'search a.example,nameserver 10.0.2.3,'")
        + step("renamed", "ip link show dev side | grep -q 52:54:00:aa:00:01")
        + step("vlan", "ip -6 addr show dev side.7 | grep -q 2001:db8:7::1/64 && grep -q 'VID: 7' /proc/net/vlan/side.7")
        + step("vlan-route", "ip -6 route | grep -q '2001:db8:8::/48 via 2001:db8:7::2 dev side.7'")
        + step("bond", "grep -q 'Currently Active Slave: fourth' /proc/net/bonding/bond0")
        + step("bridge", "ip link show dev bond0 | grep -q 'master br0' && ip -4 addr show dev br0 | grep -q 192.0.2.1/28")
        + step("bridge-route", "ip route | grep -q '198.51.100.0/24 via 192.0.2.2 dev br0 .*metric 7'")
        + use("rules", "ip", '["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "DROP"]')
        + use("rules-are-there", "ip", '["/bin/sh", "-c", "iptables -S INPUT | cat; ip -V; tc -V; ss -V; wg --version"]')
        + use("modprobe", "modprobe", '["modprobe", "-a", "tun", "macvlan"]')
        + step("modules", "grep -q ^tun /proc/modules && grep -q ^macvlan /proc/modules")
        + use("sysfs", "sysfs")
        + step("huge-pages", "grep -q '.madvise.' /sys/kernel/mm/transparent_hugepage/enabled")
        + use("format", "format", '["/usr/bin/format", "-type", "xfs", "-label", "DATA", "/dev/vda"]')
        + use("mount", "mount", mount.format("DATA", "/var/lib/data"))
        + step("is-xfs", "grep -q ' /host/var/lib/data xfs ' /proc/mounts")
        + use("no-swap", "swap", '["/swap.sh", "--path", "/var/lib/data/a", "--size", "8M", "--condition", "partsize:/var/lib/data:9G"]')
        + use("swap", "swap", '["/swap.sh", "--path", "/var/lib/data/swap", "--size", "16M", "--condition", "part:/var/lib/data:true"]')
        + step("swaps", "test $(grep -c file /proc/swaps) = 1 && grep -qE '[[:space:]]163[78][0-9][[:space:]]' /proc/swaps")
    )  # fmt: skip
    yml = for_kernel(yml, "bond", "bond0", "modprobe", "modules")
    if OTHER_KERNEL:  # the bridge is one of the cards
        yml = yml.replace("members: [bond0]", "members: [third, fourth]").replace("dev bond0", "dev fourth")
    machine = start_all(boot, workshop, yml, timeout_s=BOOT_S, state=tmp_path / "state", memory_mib=768, disks=(Disk(tmp_path / "data.img", 400, "raw"),), devices=CARDS)
    machine.poweroff()
    assert machine.wait(120).status == 0
    for words in (b"-P INPUT ACCEPT", b"tcp --dport 9 -j DROP", b"/var/lib/data has ", b"no swap"):
        assert words in machine.console, words


def side(number: int, own: Peer, other: Peer, shared: str, services: str) -> str:
    far = 3 - number
    return (
        FULL
        + "network:\n  interfaces:\n"
        + f"    - {{name: eth0, addresses: [192.0.2.{number}/24]}}\n"
        + f"    - name: wg0\n      addresses: [10.9.0.{number}/24]\n"
        + "      wireguard:\n        port: 51820\n        privateKeyFile: /run/keys/own\n        peers:\n"
        + f"          - {{publicKey: '{other.public}', allowedIPs: [10.9.0.{far}/32], endpoint: '192.0.2.{far}:51820', presharedKeyFile: /run/keys/shared}}\n"
        + "  after: keys\n"
        + "onboot:\n"
        + step("keys", f"umask 077; mkdir -p /host/run/keys; echo {own.private} >/host/run/keys/own; echo {shared} >/host/run/keys/shared")
        + "services:\n"
        + services
    )  # fmt: skip


def cable(own: int, other: int) -> str:
    """One end of a cable of datagrams between two ports of this host."""
    return f"udp=127.0.0.1:{other},localaddr=127.0.0.1:{own}"


@contextlib.contextmanager
def running(artifact, card: str, link: str, console, *more: str):
    """A machine whose only card is one end of a cable to another machine."""
    append = artifact.path("cmdline").read_text()
    machine = subprocess.Popen(
        [need("qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "384",
         "-cpu", "max", "-serial", f"file:{console}", "-kernel", artifact.path("kernel"), "-initrd", artifact.path("initrd"),
         "-append", append, "-device", "virtio-rng-pci", "-netdev", f"socket,id=n,{link}",
         "-device", f"virtio-net-pci,netdev=n,mac={card}", *more],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield machine
    finally:
        machine.kill()
        machine.wait()


def test_a_tunnel_hides_what_goes_through(workshop, tmp_path):
    """One text through the tunnel and one beside it: both arrive, only the second is on the wire."""
    secret, clear = "through-the-tunnel-4711", "beside-the-tunnel-0815"
    first, second = Peer(), Peer()
    shared = base64.b64encode(bytes(range(32))).decode()
    listen = "while true; do nc -l -p {}; done"
    say = "while sleep 1; do echo {} | nc -w 5 {} 7000; done"
    receiver = side(1, first, second, shared, step("hear", listen.format(7000)))
    sender = side(2, second, first, shared,
                  step("hidden", say.format(secret, "10.9.0.1")) + step("open", say.format(clear, "192.0.2.1")))  # fmt: skip
    here, there = workshop.build(receiver), workshop.build(sender)
    dump, ports = tmp_path / "wire.pcap", (free_port(), free_port())
    hearing, speaking = tmp_path / "hearing", tmp_path / "speaking"
    for console in (hearing, speaking):
        console.touch()
    tap = ("-object", f"filter-dump,id=d,netdev=n,file={dump}")
    with (
        running(here, "52:54:00:aa:01:01", cable(*ports), hearing, *tap) as first_machine,
        running(there, "52:54:00:aa:01:02", cable(*ports[::-1]), speaking) as second_machine,
    ):
        deadline = time.monotonic() + BOOT_S
        while not all(words in hearing.read_text(errors="replace") for words in (secret, clear)):
            said = hearing.read_text(errors="replace") + speaking.read_text(errors="replace")
            assert first_machine.poll() is None, said
            assert second_machine.poll() is None, said
            assert "the boot stops here" not in said, said
            assert time.monotonic() < deadline, said
            time.sleep(0.5)
    wire = dump.read_bytes()
    assert wire.count(secret.encode()) == 0
    assert wire.count(clear.encode()) >= 1
    assert wire.count(b"\x04\x00\x00\x00") >= 1  # a transport message: WireGuard, section 5.4.6
