"""Machines whose network and disks are set up by stock packages; two that talk through a tunnel."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from linuxkit.runners.options import Disk
from support.machines import HEAD, exited, free_port, step, use
from support.tools import need

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 400
FULL = HEAD.replace('"@pkg:kernel"', '"@pkg:kernel-full"')

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


def small_partition(path) -> None:
    """A disk of 96 MiB whose only partition, an ext4, takes 24 of it."""
    with path.open("wb") as image:
        image.truncate(96 << 20)
    table = "label: gpt\nfirst-lba: 2048\nstart=2048, size=49152, type=L\n"
    subprocess.run([need("sfdisk"), "-q", path], input=table, text=True, check=True)
    subprocess.run(
        [need("mke2fs"), "-q", "-F", "-t", "ext4", "-L", "SMALL", "-E", "offset=1048576", path, "24576k"], check=True
    )


def cidata(folder, data: object):
    """A CD as clouds attach it, for virtio."""
    (folder / "user-data").write_text(json.dumps(data))
    (folder / "meta-data").write_text('{"local-hostname": "from-cd", "instance-id": "i-7"}')
    made = folder / "seed.iso"
    subprocess.run(
        [need("genisoimage"), "-quiet", "-V", "cidata", "-r", "-J", "-o", made, folder / "user-data", folder / "meta-data"],
        check=True,
    )
    return made


def test_disks_network_and_the_rest(workshop, boot, tmp_path):
    small = tmp_path / "small.img"
    small_partition(small)
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
        + step("swaps", "test $(grep -c file /proc/swaps) = 1 && grep -q 16380 /proc/swaps")
        + use("secret-swap", "swap", '["/swap.sh", "--path", "/var/lib/data/swap2", "--size", "8M", "--encrypt"]')
        + step("swaps-twice", "test $(grep -c -e file -e dm- /proc/swaps) = 2")
        + use("losetup", "losetup", '["/usr/bin/loopy", "-c", "-s", "64", "-d", "/dev/loop5", "/var/image"]')
        + use("luks", "dm-crypt", '["/usr/bin/crypto", "-l", "safe", "/dev/loop5"]')
        + use("safe", "mount", '["/usr/bin/mountie", "-device", "/dev/mapper/safe", "/var/safe"]')
        + step("write", "echo very-secret-words > /host/var/safe/file; sync; ! grep -q very-secret /host/var/image")
        + use("plain", "dm-crypt", '["/usr/bin/crypto", "-k", "other", "plain", "/dev/vdc"]')
        + use("plainly", "mount", '["/usr/bin/mountie", "/dev/mapper/plain", "/var/plain"]')
        + use("extend", "extend", '["/usr/bin/extend", "-type", "ext4", "/dev/vdb"]')
        + use("extend-again", "extend", '["/usr/bin/extend"]')
        + use("small", "mount", mount.format("SMALL", "/var/small"))
        + step("grown", "test $(df -m /host/var/small | awk 'END {print $2}') -gt 70")
        + use("metadata", "metadata")
        + step("user-data", "grep -qx one /host/run/config/app/file && test $(stat -c %a /host/run/config/app/file) = 600")
        + step("from-cd", "test $(cat /proc/sys/kernel/hostname) = from-cd && test $(cat /host/run/config/provider) = cdrom")
        + step("nothing-outside", "! test -e /host/run/evil && ! test -e /host/evil")
        + "services:\n"
        + use("kmsg", "kmsg")
        + use("chrony", "chrony")
        + use("auditd", "auditd")
        + use("exporter", "node_exporter")
        + step("looks", "until wget -qO- 127.0.0.1:9100/metrics | grep ^node_memory_MemTotal; do sleep 1; done; sleep 9999")
        + use("acpid", "acpid")
        + use("agent", "qemu-ga")
        + "files:\n"
        + "  - {path: etc/dm-crypt/key, contents: a long key that nobody knows, mode: '0600'}\n"
        + "  - {path: etc/dm-crypt/other, contents: another key of thirty-two bytes!, mode: '0600'}\n"
    )  # fmt: skip
    before, onboot, services = re.split("(?<=onboot:)|(?=services:)", yml)
    # so that one boot tells of all that is wrong
    yml = before + onboot.replace("}\n", ", onFailure: continue}\n") + services
    made = {
        "app": {"entries": {"file": {"content": "one\n", "perm": "0600"}, "../../evil": {"content": "x"}}},
        "../evil": {"content": "x"},
    }
    disks = (
        Disk(tmp_path / "data.img", 400, "raw"), Disk(small, 0, "raw"), Disk(tmp_path / "plain.img", 32, "raw"),
        Disk(cidata(tmp_path, made), 0, "raw"),
    )  # fmt: skip
    devices = (*CARDS, "virtserialport,name=org.qemu.guest_agent.0")
    artifact = workshop.build(yml)
    machine = boot(artifact, disks=disks, devices=devices, state=tmp_path / "state", memory_mib=768)
    machine.wait_ready(timeout_s=BOOT_S)
    names = re.findall(r"^  - {name: ([a-z-]+)", onboot, re.MULTILINE)
    assert len(names) == onboot.count("\n") - 1
    assert exited(machine) == ["network", *names]
    console = machine.console
    for words in (
        b"-P INPUT ACCEPT", b"tcp --dport 9 -j DROP", b"/var/lib/data has ", b"no swap", b"encrypted",
        b"making LUKS on /dev/loop5", b"making ext4 on /dev/mapper/safe", b"making ext4 on /dev/mapper/plain",
        b"/dev/vdb1 (ext4) has grown from 24 to 9", b"/dev/vdb1 fills /dev/vdb already",
    ):  # fmt: skip
        assert words in console, words
    deadline = time.monotonic() + 120
    for words in (b"node_memory_MemTotal_bytes ", b"Linux version 6", b"chronyd version"):
        while words not in machine.console:
            assert time.monotonic() < deadline, words
            time.sleep(0.3)
    states = {r.name: r.state for r in machine.records if r.event == "unit"}
    for service in ("kmsg", "chrony", "auditd", "exporter", "acpid", "agent"):
        assert states[f"services/{service}"] == "running", service
    machine.poweroff()
    assert machine.wait(120).status == 0


class Peer:
    """A key pair of WireGuard."""

    def __init__(self) -> None:
        key = X25519PrivateKey.generate()
        raw, plain, none = serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        self.private = base64.b64encode(key.private_bytes(raw, plain, none)).decode()
        self.public = base64.b64encode(key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)).decode()


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
