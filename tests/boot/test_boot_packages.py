"""The stock packages do what they promise, in machines that boot them."""

from __future__ import annotations

import json
import re
import socket
import tarfile
import time

import pytest

from linuxkit.runners.options import Disk, Forward
from support.machines import (
    FULL,
    HEAD,
    OTHER_KERNEL,
    exited,
    for_kernel,
    free_port,
    step,
    until,
    use,
)  # fmt: skip

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1200)]

BOOT_S = 420
DHCPCD = '["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]'


def talk(port: int, words: bytes, until: bytes) -> bytes:
    """What a TCP service behind ``port`` says, until that; tries for a while."""
    deadline = time.monotonic() + 180
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
                link.sendall(words)
                heard = b""
                while until not in heard:
                    more = link.recv(4096)
                    if not more:
                        break
                    heard += more
                if until in heard:
                    return heard
        except OSError:
            pass
        assert time.monotonic() < deadline, f"no {until!r} from port {port}"
        time.sleep(0.3)


def test_disks_network_clock_and_entropy(workshop, boot, tmp_path):
    disk = tmp_path / "data.img"
    mountpoint = "/var/lib/data"
    yml = (
        HEAD.replace('"@pkg:crun"', '"@pkg:crun", "@pkg:ca-certificates"')
        + "onboot:\n"
        + use("sysctl", "sysctl")
        + step("hardened", "test $(cat /proc/sys/kernel/kptr_restrict) = 2")
        + use("entropy", "rngd", '["/sbin/rngd", "-1"]')
        + use("format", "format", '["/usr/bin/format", "-label", "DATA"]')
        + use("again", "format", '["/usr/bin/format", "-verbose", "/dev/vda"]')
        + use("mount", "mount", f'["/usr/bin/mountie", "-label", "DATA", "{mountpoint}"]')
        + step("is-mounted", f"grep -q ' /host{mountpoint} ext4 ' /proc/mounts")
        + step("by-uuid", "test -b /host/dev/disk/by-uuid/*")
        + step("write", f"cat /host{mountpoint}/file; echo was kept > /host{mountpoint}/file")
        + use("dhcpcd", "dhcpcd", DHCPCD)
        + step("address", "ip -4 addr show eth0 | grep -q 10.0.2.15")
        + step("default-route", "ip route | grep -q 'default via 10.0.2.2'")
        + step("stays", "ip addr show eth0 | grep -A1 10.0.2.15 | grep -q 'valid_lft forever'")
        + step("resolver", "grep -q 'nameserver 10.0.2.3' /host/run/resolvconf/resolv.conf")
        + step("authorities", "grep -c BEGIN /host/etc/ssl/certs/ca-certificates.crt | grep -q ...")
        + "services:\n"
        + use("rngd", "rngd")
        + use("ntpd", "ntpd")
    )
    expected = re.findall(r"name: ([a-z-]+)", yml.split("services:")[0])
    artifact = workshop.build(yml)
    for again in (False, True):
        machine = boot(artifact, disks=(Disk(disk, 64, "raw"),), state=tmp_path / "state")
        machine.wait_ready(timeout_s=BOOT_S)
        assert exited(machine) == expected
        machine.poweroff()
        result = machine.wait(90)
        assert result.status == 0, result
        word = b"no disk is empty" if again else b"making ext4 on /dev/vda1, label DATA"
        assert word in machine.console
        assert (b"] was kept" in machine.console) is again
        assert b"/dev/vda is not empty, left as it is" in machine.console


@pytest.mark.any_kernel
def test_servers_answer(workshop, boot):
    web, data, shell = free_port(), free_port(), free_port()
    yml = (
        HEAD
        + "onboot:\n"
        + use("udhcpc", "udhcpc", '["/usr/bin/udhcpc.sh", "-1"]')
        + step("resolver", "grep -q 'nameserver 10.0.2.3' /host/run/resolvconf/resolv.conf")
        + "services:\n"
        + use("nginx", "nginx")
        + use("redis", "redis")
        + use("sshd", "sshd")
        + use("getty", "getty")
        + use("dhcpcd", "dhcpcd")
        + "files:\n"
        + "  - {path: etc/getty.shadow, contents: 'root:$6$6tPd2uhHrecCEKug$8mKfcgfwguP7f.BLdZsT1W"
        + "z7WIIJOBY1oUFHzIv9/O71M2J0EPdtFqFGTxB1UK5ejqQxRFQ.ZSG9YXR0SNsc11:17322:0:::::'}\n"
    )
    forwards = (Forward(web, 80), Forward(data, 6379), Forward(shell, 22))
    machine = boot(workshop.build(yml), forwards=forwards)
    machine.wait_ready(timeout_s=BOOT_S)
    assert b"It works" in talk(web, b"GET / HTTP/1.0\r\n\r\n", b"</html>")
    assert b"+PONG" in talk(data, b"PING\r\nSET a 1\r\nQUIT\r\n", b"+PONG")
    assert b"SSH-2.0-OpenSSH" in talk(shell, b"SSH-2.0-test\r\n", b"\n")
    for words, answer in (
        ("", b"login: "),
        ("root\n", b"Password: "),
        ("abcdefgh\n", b"The root file system is at"),
        ("crun list; echo $((6 * 7))-shell\n", b"42-shell"),
    ):
        machine.write(words)
        deadline = time.monotonic() + 180
        while answer not in machine.console:
            assert time.monotonic() < deadline, machine.console
            time.sleep(0.2)
    listed = machine.console.split(b"crun list", 1)[1]
    for service in (b"nginx", b"redis", b"sshd", b"getty", b"dhcpcd"):
        assert service in listed
    machine.write("poweroff\n")
    result = machine.wait(90)
    assert (result.status, result.power) == (0, "poweroff"), result


def test_one_lease_is_enough_with_two_cards(workshop, boot):
    yml = HEAD + "onboot:\n" + use("dhcpcd", "dhcpcd", DHCPCD)
    machine = boot(workshop.build(yml), devices=("virtio-net-pci",))
    machine.wait_ready(timeout_s=BOOT_S)  # the second card hears nobody
    assert exited(machine) == ["dhcpcd"]
    machine.poweroff()
    assert machine.wait(60).status == 0


@pytest.mark.any_kernel
def test_poweroff_after_some_seconds(workshop, boot):
    yml = HEAD + "services:\n" + use("poweroff", "poweroff", '["/bin/sh", "/poweroff.sh", "1"]')
    machine = boot(workshop.build(yml))
    result = machine.wait(BOOT_S)
    assert (result.status, result.power) == (0, "poweroff"), result


ASK = (
    'BEGIN { printf("asked %d\\n", 6 * 7); } kprobe:do_nanosleep { @naps = count(); } fentry:vfs_read { @reads = count(); } '
    "tracepoint:raw_syscalls:sys_enter { @calls[comm] = count(); } interval:s:2 { exit(); }"
)
# What kernels of our own go without: kprobes, and programs by a rule.
WIDE = ("ask", "binfmt", "foreign")
FOREIGN = "test $(uname -m)-$(echo a | tr a b) = aarch64-b && readlink /proc/self/exe"


@pytest.mark.timeout(1200)
def test_wide_kernel_and_runc(workshop, boot, tmp_path):
    yml = FULL.replace("@pkg:crun", "@pkg:runc") + "onboot:\n"
    script = "for kind in wireguard bridge dummy; do ip link add test0 type $kind && ip link del test0 || exit; done"
    yml += step("links", script, capabilities="[CAP_NET_ADMIN]")
    yml += use("ask", "bpftrace", f"[bpftrace, -e, {json.dumps(ASK)}]")
    # a container all of whose programs are of another architecture
    (tmp_path / "busybox").write_bytes(program_of(workshop, "arm64"))
    foreign = step("foreign", FOREIGN).replace("/:/host", "/etc/foreign/busybox:/usr/bin/busybox")
    yml += use("binfmt", "binfmt") + foreign
    # redis is ready when it answers by way of two sockets and, between them, a port of the machine
    yml += step("folder", "test $(uname -m) = x86_64 && mkdir -m 777 /host/run/app")
    yml += "services:\n" + use("nginx", "nginx")
    yml += (
        '  - {name: vsudd, image: "@pkg:vsudd", uid: 102, gid: 102, binds: ["/run/app:/run/app"], command: [/vsudd, -cid, "1", '
        '-inport, "6379:unix:/run/app/near.sock", -outport, "6379:unix:/run/app/far.sock"]}\n'
        '  - {name: redis, image: "@pkg:redis", readonly: false, binds: ["/run/app:/run/app"], '
        'command: [/usr/bin/redis-server, /etc/redis.conf, --unixsocket, /run/app/near.sock], '
        'ready: {exec: [/usr/bin/redis-cli, -e, -s, /run/app/far.sock, PING], interval: 1s, timeout: 5m}}\n'
        f"files:\n  - {{path: etc/foreign/busybox, source: {tmp_path}/busybox, mode: '0755'}}\n"
    )  # fmt: skip
    machine = boot(workshop.build(for_kernel(yml, *WIDE)), memory_mib=1024)
    machine.wait_ready(timeout_s=500)
    wide = () if OTHER_KERNEL else WIDE
    assert exited(machine) == ["links", *wide, "folder"]
    redis = ("services/redis", "ready")
    until(machine, lambda: redis in [(r.name, r.state) for r in machine.records], "redis answers")
    machine.poweroff()
    assert machine.wait(120).status == 0
    if wide:
        for answer in (rb"asked 42\s", rb"@reads: [1-9]", rb"@calls\[bpftrace\]: [1-9]"):
            assert re.search(answer, machine.console)
        assert b"binfmt: qemu-aarch64" in machine.console


def program_of(workshop, arch: str) -> bytes:
    """BusyBox for another architecture."""
    tree = workshop.build('init: ["@pkg:busybox"]\n', arch=arch, form="tar", name=f"busybox-{arch}")
    with tarfile.open(tree.directory / tree.files[0].name) as archive:
        return archive.extractfile("usr/bin/busybox").read()
