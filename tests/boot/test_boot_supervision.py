"""Services that are kept in order by PID 1: in a machine, with containers and a real runtime."""

from __future__ import annotations

import pytest

from support.machines import HEAD

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 420


def service(name: str, script: str, *keys: str) -> str:
    lines = "".join(f"    {key}\n" for key in keys)
    return (
        f'  - name: {name}\n    image: "@pkg:busybox"\n'
        f"    command: [/bin/sh, -c, {script!r}]\n{lines}"
    )


FAST = "backoff: {first: 100ms, most: 200ms}"

def states(machine, unit: str) -> list[str]:
    return [r.state for r in machine.records if r.event == "unit" and r.name == unit]


def count(machine, unit: str, state: str) -> int:
    return states(machine, unit).count(state)


def until(machine, true, what: str, timeout_s: float = 300) -> None:
    machine.wait_for(lambda guest: guest.records[-1] if true() else None, what, timeout_s)


@pytest.mark.any_kernel
def test_troublesome_services(workshop, boot):
    yml = (
        HEAD
        + "onboot:\n"
        + service("slow", "sleep 1000", "timeout: 2s", "onFailure: continue", "stop: {grace: 100ms}")
        + "onshutdown:\n"
        + service("bye", "nc -w 60 127.0.0.1 8080 </dev/null", "requires: [web]")
        + "services:\n"
        + service("first", "nc -w 60 127.0.0.1 8080 </dev/null && sleep 1000", "after: [web]")
        + service(
            "web",
            "sleep 2; while :; do nc -l -p 8080 -e /bin/echo hello; done",
            "ready: {tcp: 8080, interval: 200ms}",
            "health: {exec: [/bin/sh, -c, 'test ! -e /sick'], interval: 5s, timeout: 3m}",
        )
        + service(
            "sick",
            "sleep 4; touch /sick; sleep 1000",
            FAST,
            "health: {exec: [/bin/sh, -c, 'test ! -e /sick'], interval: 500ms, retries: 2}",
            "stop: {grace: 100ms}",
        )
        + service("crash", "exit 3", "backoff: {first: 100ms, most: 200ms, limit: 3}")
        + service("eats", 'x=x; while :; do x="$x$x"; done', FAST, "resources: {memory: {limit: 33554432}}")
        + service("forks", "bomb() { bomb | bomb & }; bomb; sleep 1000", "backoff: {first: 1m}", "resources: {pids: {limit: 20}}")
        + service("floods", "yes a line of a flood that does not end | head -c 3000000; sleep 1000")
        + service("deaf", "trap '' TERM; while :; do sleep 1; done", "stop: {grace: 1s}")
        + service("fills", "dd if=/dev/zero of=/var/full bs=64k; sleep 1000", "binds: ['/var:/var']")
        + service("orphans", "i=0; while [ $i -lt 300 ]; do (true &) ; i=$((i+1)); done; sleep 1000", "pid: host")
    )
    machine = boot(workshop.build(yml))
    machine.wait_ready(timeout_s=BOOT_S)
    until(machine, lambda: count(machine, "services/sick", "restarting") >= 1, "sick is found out")
    until(machine, lambda: count(machine, "services/eats", "restarting") >= 1, "eats is killed")
    until(machine, lambda: "failed" in states(machine, "services/crash"), "crash is given up")
    assert states(machine, "services/web") == ["starting", "running", "ready"]
    machine.poweroff()
    result = machine.wait(120)
    assert result.power == "poweroff"
    slow = [r for r in machine.records if r.name == "onboot/000-slow"][-1]
    assert (slow.state, slow.detail) == ("failed", "took too long")
    # On a busy machine it may have ended before anybody sees that it runs.
    ends = (["starting", "running", "exited"], ["starting", "exited"])
    assert states(machine, "onshutdown/000-bye") in ends
