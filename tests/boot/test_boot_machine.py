"""What stock packages do for a machine: one in the background, asked from outside while it runs."""

from __future__ import annotations

import json
import re
import shlex
import socket
import time
from pathlib import Path

import pytest

from linuxkit.runners import machines
from support.clock import Clock
from support.machines import FULL, fetch_page, for_kernel, free_port, step, use
from support.tools import need
from support.wireguard import Peer

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1200)]

BOOT_S = 500
STATUS = "cat $(grep -l '^Name:.{}$' /proc/[0-9]*/status)"


def tunnels() -> str:
    """Two ends of a tunnel, each in a network of its own, which others join by its path.

    They are made in the machine's own network, where what they send goes out.
    """
    return "".join(
        f'  - {{name: wg{n}, image: "@pkg:wireguard", net: new, command: ["/usr/bin/wireguard", "wg{n}"], runtime: '
        f"{{interfaces: [{{name: wg{n}, add: wireguard, createInRoot: true}}], bindNS: {{net: /run/netns/wg{n}}}}}}}\n" for n in (0, 1)
    )  # fmt: skip


def settings(number: int, own: Peer, other: Peer) -> str:
    """What wg-quick would read."""
    return (
        f"[Interface]\nAddress = 192.168.2.{number + 1}/24\nPrivateKey = {own.private}\nListenPort = {51820 + number}\n"
        f"[Peer]\nPublicKey = {other.public}\nAllowedIPs = 0.0.0.0/0\nEndpoint = 127.0.0.1:{51821 - number}\n"
    )


def file(path: str, contents: str, mode: str = "0644") -> str:
    return f"  - {{path: {path}, contents: {json.dumps(contents)}, mode: '{mode}'}}\n"


def system(time_port: int) -> str:
    first, second = Peer(), Peer()
    told = "cd /host/run/config && test $(cat provider)-$(cat hostname) = {} && {}"
    bound = '  - {{name: {0}, image: "@pkg:{0}", binds.add: ["{1}:{1}"]{2}}}\n'
    return (
        FULL
        + "network:\n  interfaces:\n    - {name: eth0, dhcp: keep}\n"
        + "onboot:\n"
        + step("address", "ip -4 addr show eth0 | grep 10.0.2.15/24 && ip route | grep 'default via 10.0.2.2' && "
               "grep 'nameserver 10.0.2.3' /host/run/resolvconf/resolv.conf")
        + bound.format("sysctl", "/etc/sysctl.d/90-own.conf", ", readonly: false")
        + bound.format("sysfs", "/etc/sysfs.d/90-own.conf", ", readonly: false")
        + use("modprobe", "modprobe", '["modprobe", "-a", "dummy", "macvlan"]')
        + step("loaded", "grep ^dummy /proc/modules && grep ^macvlan /proc/modules")
        + step("set", "test $(cat /proc/sys/kernel/pid_max)-$(cat /proc/sys/net/core/somaxconn)-$(cat /proc/sys/kernel/kptr_restrict) = 54321-777-2 && "
               "grep '.never.' /sys/kernel/mm/transparent_hugepage/defrag")
        + use("metadata-cd", "metadata", '["/usr/bin/metadata", "cdrom"]')
        + step("told-by-cd", told.format("cdrom-from-a-cd", "test $(stat -c %a app/config)-$(cat app/config) = 600-an-entry"))
        + use("metadata-firmware", "metadata", '["/usr/bin/metadata", "firmware"]')
        + step("told-by-firmware", told.format("firmware-by-fw-cfg", "test $(cat userdata) = data-by-fw-cfg && "
               "test $(cat credentials/token) = by-smbios && grep 'ssh-ed25519 AAAA' ssh/authorized_keys"))
        + step("cgroup", "test -d /host/sys/fs/cgroup/newcgroup", runtime="{cgroups: [newcgroup]}")
        + tunnels()
        + "onshutdown:\n"
        + step("last", "ip -4 addr show eth0 | grep 10.0.2.15/24")
        + "services:\n"
        + use("kmsg", "kmsg")
        + use("acpid", "acpid")
        + use("auditd", "auditd")
        + '  - {name: chrony, image: "@pkg:chrony", capabilities.add: [CAP_NET_BIND_SERVICE], binds.add: ["/etc/chrony.conf:/etc/chrony.conf"], '
          'ready: {exec: ["/usr/bin/chronyc", "-n", "waitsync", "1"], interval: 2s, timeout: 5m}}\n'
        + '  - {name: ntpd, image: "@pkg:ntpd", binds.add: ["/etc/ntpd.conf:/etc/ntpd.conf"], after: [chrony]}\n'
        + use("qemu-ga", "qemu-ga")
        + use("exporter", "node_exporter")
        + '  - {name: web, image: "@pkg:nginx", net: /run/netns/wg0}\n'
        + step("far", "sleep 100000", net="/run/netns/wg1")
        + step("shell", "sleep 100000", net="host", capabilities="[CAP_SYS_ADMIN]", devices="[{path: /dev/kmsg, type: c, major: 1, minor: 11, mode: '0600'}]")
        + "files:\n"
        + file("etc/sysctl.d/90-own.conf", "# as in the Go tool\nkernel.pid_max = 54321\n-no.such.key = 1\nnet/core/somaxconn = 777\n")
        + file("etc/sysfs.d/90-own.conf", "kernel/mm/transparent_hugepage/defrag = never\n-no/such/path = 1\n")
        + file("etc/chrony.conf", f"server 10.0.2.2 port {time_port} iburst\nmakestep 1.0 3\nallow 127.0.0.1\ncmdport 0\nuser _chrony\n")
        + file("etc/ntpd.conf", "server 127.0.0.1\n")
        + file("etc/wireguard/wg0.conf", settings(0, first, second), "0600")
        + file("etc/wireguard/wg1.conf", settings(1, second, first), "0600")
    )  # fmt: skip


class Emulator:
    """QEMU with wires of its own to the guest's agent and to its power button."""

    def __init__(self, folder: Path) -> None:
        self.path, self._agent, self._monitor = (folder / name for name in ("qemu", "agent", "monitor"))
        words = [
            "-rtc", "base=2020-02-02T02:02:02",
            "-qmp", f"unix:{self._monitor},server=on,wait=off",
            "-chardev", f"socket,id=agent,path={self._agent},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            "-fw_cfg", "name=opt/io.systemd.credentials/userdata,string=data-by-fw-cfg",
            "-fw_cfg", "name=opt/io.systemd.credentials/system.hostname,string=by-fw-cfg",
            "-fw_cfg", "name=opt/io.systemd.credentials/ssh.authorized_keys.root,string=ssh-ed25519 AAAA a",
            "-smbios", "type=11,value=io.systemd.credentials:token=by-smbios",
        ]  # fmt: skip
        self.path.write_text(f'#!/bin/sh\nexec {need("qemu-system-x86_64")} "$@" {shlex.join(words)}\n')
        self.path.chmod(0o755)

    def agent(self, order: str, **arguments: object) -> dict[str, object]:
        """What the guest's agent answers."""
        return self._ask(self._agent, order, arguments)

    def press(self) -> None:
        """Press the power button."""
        self._ask(self._monitor, "qmp_capabilities", {}, "system_powerdown")

    @staticmethod
    def _ask(path: Path, order: str, arguments: object, *more: str) -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(60)
            wire.connect(str(path))
            lines = wire.makefile("rw")
            said: dict[str, object] = {}
            for number, each in enumerate((order, *more)):
                request = {"execute": each, "arguments": arguments} if number == 0 else {"execute": each}
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                while not said.keys() & {"return", "error"}:  # greetings and events are for others
                    said = json.loads(lines.readline())
                answer, said = said, {}
            return answer


def test_a_machine_and_its_helpers(workshop, linuxkit, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    emulator, port, disc = Emulator(tmp_path), free_port(), tmp_path / "seed.iso"
    (tmp_path / "user").write_text('{"app": {"entries": {"config": {"content": "an-entry", "perm": "0600"}}}}')
    (tmp_path / "meta").write_text("instance-id: a\nlocal-hostname: from-a-cd\n")
    linuxkit("metadata", "create", "--user-data", "user", "--meta-data", "meta", str(disc))
    with Clock() as clock:
        artifact = workshop.build(for_kernel(system(clock.port), "modprobe", "loaded"), name="helped")
        linuxkit("run", "--detach", str(artifact.directory / "helped"), "--mem", "640", "--cache", str(workshop.cache),
                 "--qemu", str(emulator.path), "--disk", f"{disc},format=raw", "--publish", f"{port}:9100")  # fmt: skip
        machine = machines.find("helped")
        wait_ready(machine)

        def inside(unit: str, *words: str) -> str:
            return linuxkit("exec", "helped", unit, "--", *words).stdout

        def log(unit: str) -> str:
            return linuxkit("logs", "helped", unit).stdout

        # the kernel's words, and records of what is watched
        inside("shell", "/bin/sh", "-c", "echo kmsg-marker-4711 >/host/dev/kmsg && mkdir /watched && mount -t tmpfs none /watched")
        until(lambda: re.search(r"^<\d>\[ *\d+\.\d{6}\] kmsg-marker-4711$", log("kmsg"), re.MULTILINE))
        until(lambda: 'comm="mount"' in inside("shell", "/bin/cat", "/host/var/log/audit/audit.log"))
        assert "SYSCALL" in inside("auditd", "/usr/sbin/ausearch", "-k", "mounts", "-c", "mount")
        # the clock was years behind
        assert abs(int(inside("shell", "/bin/date", "+%s")) - time.time()) < 60
        tracking = inside("chrony", "/usr/bin/chronyc", "-n", "tracking")
        assert "10.0.2.2" in tracking
        assert re.search(r"^Leap status *: Normal$", tracking, re.MULTILINE)
        assert "Uid:\t101\t101" in inside("shell", "/bin/sh", "-c", STATUS.format("chronyd"))
        until(lambda: "peer 127.0.0.1 now valid" in log("ntpd"))
        # the hypervisor's agent
        assert emulator.agent("guest-sync", id=4711) == {"return": 4711}
        assert emulator.agent("guest-ping") == {"return": {}}
        cards = emulator.agent("guest-network-get-interfaces")["return"]
        assert "10.0.2.15" in json.dumps(cards)
        assert "error" in emulator.agent("guest-exec", path="/bin/sh")
        # figures
        page = fetch_page(f"http://127.0.0.1:{port}/metrics").decode()
        for figure in ("node_load1 ", "node_memory_MemTotal_bytes ", 'node_network_receive_bytes_total{device="eth0"} ', 'mountpoint="/var"'):
            assert figure in page, figure
        # the tunnel
        assert "It works" in inside("far", "/bin/wget", "-q", "-O", "-", "http://192.168.2.1/")
        emulator.press()
        until(lambda: not machine.alive)
    result = machines.find("helped").result
    assert (result["power"], result["status"], result["failed"]) == ("poweroff", 0, [])
    assert {"services/auditd", "services/kmsg"} <= {r.name for r in machine.records if (r.state, r.status) == ("stopped", 0)}
    assert ("onshutdown/000-last", "exited") in [(r.name, r.state) for r in machine.records]
    assert clock.asked


def wait_ready(machine: machines.Machine) -> None:
    """Until everything was started and chrony has set the clock; what went wrong is told."""
    def state() -> bool:
        assert machine.alive, (machine.folder / machines.CONSOLE).read_text(errors="replace")
        bad = [r for r in machine.records if r.state == "failed"]
        assert not bad, bad
        seen = {(r.name, r.state) for r in machine.records}
        return {("boot", "ready"), ("services/chrony", "ready")} <= seen
    until(state, BOOT_S)


def until(true, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.5)
