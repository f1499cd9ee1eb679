"""A system that was built to learn tells which system calls its services make; they work meanwhile."""

from __future__ import annotations

import json

import pytest

from linuxkit.build.sandbox import learned
from support.machines import HEAD, fetch_page, free_port

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

YML = (
    HEAD.replace("panic=-1", "panic=-1 sysctl.net.ipv4.ip_unprivileged_port_start=80")
    + """\
onboot:
  - name: once
    profile: strict
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "mkdir /tmp/made"]
    tmpfs: [/tmp]
  - {name: dhcpcd, image: "@pkg:dhcpcd", command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]}
services:
  - name: nginx
    profile: strict
    image: "@pkg:nginx"
    net: host
    ports: {bind: [80]}
    capabilities: []
    ambient: []
    seccomp: {learned: not-there-yet.seccomp.json}
    ready: {tcp: 80}
  - name: open
    image: "@pkg:busybox"
    command: [/bin/sleep, "100000"]
"""
)


def test_what_services_call_is_learned(workshop, linuxkit, tmp_path):
    port = free_port()
    system = workshop.build(YML, name="learns", learn=True)
    linuxkit("run", "--detach", "--publish", f"{port}:80", "--no-reboot", str(system.directory / "learns"))
    assert b"It works" in fetch_page(f"http://127.0.0.1:{port}/", timeout_s=300)
    rows = json.loads(linuxkit("learn", "--json", "learns").stdout)
    assert {row["unit"] for row in rows} == {"onboot/000-once", "services/nginx"}
    first = learned.load(tmp_path / "nginx.seccomp.json")["amd64"]
    once = learned.load(tmp_path / "once.seccomp.json")["amd64"]
    assert once["mkdir"] == once["execve"] == 1  # its shell makes folders by itself
    assert {"listen", "accept4", "sendfile"} <= first.keys()
    # the list that comes along has it all, but for what happens by chance
    assert first.keys() <= learned.load(learned.stock()["nginx"])["amd64"].keys() | learned.ALWAYS

    assert "learned nothing" in linuxkit("learn", "learns", "open", status=2).stderr
    assert linuxkit("exec", "learns", "nginx", "--", "/usr/sbin/nginx", "-v").returncode == 0
    linuxkit("stop", "learns", "nginx")  # what has ended has been counted, too
    linuxkit("learn", "learns", "nginx")
    last = learned.load(tmp_path / "nginx.seccomp.json")["amd64"]
    assert last["execve"] == first["execve"] + 1
    assert all(last[name] >= count for name, count in first.items())
    linuxkit("learn", "--add", "learns", "nginx")
    assert learned.load(tmp_path / "nginx.seccomp.json")["amd64"] == {name: 2 * n for name, n in last.items()}
    linuxkit("stop", "learns")
