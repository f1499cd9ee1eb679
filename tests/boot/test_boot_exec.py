"""A command in a container has the service's rights and no more, with either OCI runtime."""

from __future__ import annotations

import time

import pytest

from support import probe
from support.machines import HEAD
from support.tools import need

pytestmark = [pytest.mark.boot, pytest.mark.slow, pytest.mark.timeout(900)]

BOOT_S = 420

YML = """\
services:
  - name: tight
    profile: strict
    image: test/probe:1
    tmpfs: [/tmp]
    ready: {exec: ["/probe", "nothing"]}
  - name: guarded
    image: test/probe:1
  - name: owner
    image: test/probe:1
    command: ["/probe", "devices"]
    capabilities: [CAP_MKNOD]
  - name: granted
    image: test/probe:1
    command: ["/probe", "devices"]
    capabilities: [CAP_MKNOD]
    devices: [{path: all, type: c}]
  - name: nginx
    profile: strict
    image: "@pkg:nginx"
    net: host
    ports: {bind: [80]}
    capabilities: []
    ambient: []
    ready: {tcp: 80}
"""
# Its binds have the program that asks, and the socket at which PID 1 answers.
ASKER = """\
  - name: in{name}
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "/host/usr/bin/service exec {name} {command}; echo status $?; sleep 10000"]
    after: [{name}]
    binds: ["/:/host", "/run/linuxkit:/run/linuxkit"]
"""
COMMANDS = {"tight": "/probe once", "guarded": "/probe once", "nginx": "/usr/sbin/nginx -t"}
LAST_WORDS = [
    *(f"[{name}] done ok" for name in ("tight", "guarded", "owner", "granted")),
    *(f"[in{name}] status" for name in COMMANDS),
]


def finished(console: bytes) -> bool:
    return all(words.encode() in console for words in LAST_WORDS)


@pytest.fixture(scope="module", params=["crun", "runc"])
def said(request, workshop, tmp_path_factory):
    need("qemu-system-x86_64")
    pytest.importorskip("ziglang")
    probe.install(workshop, tmp_path_factory.mktemp("probe"))
    head = HEAD.replace("panic=-1", "panic=-1 sysctl.net.ipv4.ip_unprivileged_port_start=80")
    yml = head.replace("@pkg:crun", f"@pkg:{request.param}") + YML
    yml += "".join(ASKER.format(name=name, command=command) for name, command in COMMANDS.items())
    with workshop.boot(yml, memory_mib=768) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        deadline = time.monotonic() + BOOT_S
        while not finished(machine.console):
            assert time.monotonic() < deadline, machine.console.decode(errors="replace")
            time.sleep(0.2)
        print(machine.console.decode(errors="replace"))  # noqa: T201 - for a failure's report
        return probe.said(machine.console), list(machine.records)


@pytest.mark.parametrize("name", ["tight", "guarded"])
def test_a_command_in_a_container_may_what_its_service_may(said, name):
    found, _ = said
    service, command = dict(found[name]), dict(found[f"in{name}"])
    assert command.pop("status") == "0"
    # they share a limit; what was made already is there
    for differs in ("processes", "make-device", "dev"):
        assert command.pop(differs)
        assert service.pop(differs)
    assert command == service
    assert command["Seccomp"] == "2"


def test_only_devices_that_were_granted_can_be_opened(said):
    """Control 22: whoever may make the nodes of devices can open those of its list, and no others."""
    found, _ = said
    made = {"make-null": "ok", "open-made-null": "ok", "make-kmsg": "ok"}
    assert found["owner"].items() >= {**made, "open-made-kmsg": "EPERM"}.items()
    assert found["granted"].items() >= {**made, "open-made-kmsg": "ok"}.items()


def test_a_strict_web_server_is_ready_and_can_be_told_to_check_itself(said):
    found, records = said
    assert "ready" in [r.state for r in records if r.name == "services/nginx"]
    assert found["innginx"]["status"] == "0"
