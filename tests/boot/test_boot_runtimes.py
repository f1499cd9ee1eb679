"""Who starts containers may be another: runc, and containerd with its tasks."""

from __future__ import annotations

import pytest

from support.machines import HEAD, exited, step, until

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 420
WITH_CONTAINERD = HEAD.replace('"@pkg:crun"', '"@pkg:runc", "@pkg:containerd"')
OVER_CRUN = HEAD.replace('"@pkg:crun"', '"@pkg:crun", "@pkg:containerd"')
CTR = "chroot /host /usr/bin/ctr -n services.linuxkit"


def service(name: str, script: str, *keys: str) -> str:
    lines = "".join(f"    {key}\n" for key in keys)
    return (
        f'  - name: {name}\n    image: "@pkg:busybox"\n'
        f"    command: [/bin/sh, -c, {script!r}]\n{lines}"
    )


def states(machine, unit: str) -> list[str]:
    return [r.state for r in machine.records if r.event == "unit" and r.name == unit]


def test_services_are_tasks_of_containerd(workshop, boot):
    yml = (
        WITH_CONTAINERD
        + "onboot:\n"
        + step("before", "! test -e /host/run/containerd")
        + "onshutdown:\n"
        + step("bye", "echo onshutdown-ran")
        + "services:\n"
        + service(
            "web",
            "trap 'echo web-was-asked; exit 0' TERM; echo web-says-$((6 * 7)); "
            "while :; do nc -l -p 8080 -e /bin/echo hello & wait; done",
            "ready: {tcp: 8080, interval: 500ms}", "net: new", "profile: strict", "ports: {bind: [8080]}",
            "health: {exec: [/bin/sh, -c, 'test ! -e /sick'], interval: 5s, timeout: 3m}",
            "runtime: {bindNS: {net: /run/netns/web}}",
        )
        + service("crash", "sleep 1; exit 3", "backoff: {first: 100ms, most: 200ms, limit: 2}")
        + service(
            "looks",
            f"{CTR} tasks ls; {CTR} containers ls; test -e /host/run/netns/web && echo netns-kept; sleep 100000",
            "after: [web]", "binds: ['/:/host']", "pid: host", "capabilities: [CAP_SYS_CHROOT]",
        )
    )  # fmt: skip
    machine = boot(workshop.build(yml), memory_mib=768)
    machine.wait_ready(timeout_s=BOOT_S)
    assert exited(machine) == ["before"]
    until(machine, lambda: "failed" in states(machine, "services/crash"), "crash is given up")
    until(machine, lambda: b"netns-kept" in machine.console, "looks has looked")
    assert states(machine, "services/containerd") == ["starting", "running"]
    assert states(machine, "services/web") == ["starting", "running", "ready"]
    listed = machine.console.split(b"TASK", 1)[1]
    rows = [line.split() for line in listed.splitlines() if b"RUNNING" in line]
    assert {b"web", b"looks"} <= {row[1] for row in rows}, machine.console
    assert b"web-says-42" in machine.console
    machine.poweroff()
    result = machine.wait(180)
    assert (result.power, result.failed) == ("poweroff", ("services/crash",)), result
    assert b"web-was-asked" in machine.console
    assert states(machine, "services/web")[-1] == "stopped"
    order = [r.name for r in machine.records if r.event == "unit" and r.state == "stopped"]
    assert order.index("services/web") < order.index("services/containerd")
    assert states(machine, "onshutdown/000-bye")[-1] == "exited"


SETTINGS = """\
files:
  - path: etc/containerd/runtime-config.toml
    contents: |
      cliopts = "--log-level debug"
      stderr = "/var/log/containerd.out.log"
      stdout = "stdout"
"""


@pytest.mark.any_kernel
def test_containerd_over_crun_heeds_its_settings(workshop, boot):
    look = "chroot /host /usr/bin/ctr -n {} tasks ls"
    yml = (
        OVER_CRUN
        + "services:\n"
        + service(
            "web",
            "trap 'echo web-was-asked; exit 0' TERM; nc -l -p 8080 -e /bin/echo hello & while :; do sleep 1; done",
            "ready: {tcp: 8080, interval: 500ms}", "net: new", "profile: strict", "landlock: off",
            "health: {exec: [/bin/sh, -c, 'test ! -e /sick'], interval: 1s, timeout: 3m}",
        )
        + service("apart", "while :; do sleep 1; done", "runtime: {namespace: elsewhere}")
        + service("crash", "sleep 1; exit 3", "backoff: {first: 100ms, most: 200ms, limit: 2}")
        + service(
            "looks",
            f"{look.format('services.linuxkit')}; {look.format('elsewhere')}; cd /host/var/log; "
            "grep -q level=debug containerd.out.log && test ! -s containerd.log && echo settings-heeded; sleep 100000",
            "after: [web, apart]", "binds: ['/:/host']", "pid: host", "capabilities: [CAP_SYS_CHROOT]",
        )
        + SETTINGS
    )  # fmt: skip
    machine = boot(workshop.build(yml), memory_mib=768)
    machine.wait_ready(timeout_s=BOOT_S)
    until(machine, lambda: "failed" in states(machine, "services/crash"), "crash is given up")
    until(machine, lambda: b"settings-heeded" in machine.console, "looks has looked")
    first, second = machine.console.split(b"TASK")[1:3]
    assert [line.split()[1] for line in second.splitlines() if b"RUNNING" in line] == [b"apart"]
    assert {b"web", b"looks"} <= {line.split()[1] for line in first.splitlines() if b"RUNNING" in line}
    assert states(machine, "services/web") == ["starting", "running", "ready"]
    machine.poweroff()
    result = machine.wait(180)
    assert (result.power, result.failed) == ("poweroff", ("services/crash",)), result
    assert b"web-was-asked" in machine.console
