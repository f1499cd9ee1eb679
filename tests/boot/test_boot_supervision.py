"""Services that are kept in order by PID 1: in a machine, with containers and a real runtime."""

from __future__ import annotations

import re

import pytest

from support.machines import HEAD, until

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 420


def service(name: str, script: str, *keys: str) -> str:
    lines = "".join(f"    {key}\n" for key in keys)
    return (
        f'  - name: {name}\n    image: "@pkg:busybox"\n'
        f"    command: [/bin/sh, -c, {script!r}]\n{lines}"
    )


FAST = "backoff: {first: 100ms, most: 200ms}"
# What somebody in the machine asks of PID 1, each answer in its turn.
ASKS = (
    "set -ex; S=/host/usr/bin/service; $S list | grep services/web; $S status web | grep ready; "
    "$S logs toy | grep a.toy; $S restart toy; $S status toy | grep running; "
    "$S stop toy; $S status toy | grep stopped; "
    "$S exec web /bin/echo from-inside; echo all-was-answered; exec sleep 1000"
)


def states(machine, unit: str) -> list[str]:
    return [r.state for r in machine.records if r.event == "unit" and r.name == unit]


def count(machine, unit: str, state: str) -> int:
    return states(machine, unit).count(state)


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
        + service("toy", "echo a toy; sleep 1000")
        + service("asks", ASKS, "after: [toy, web]", "binds: ['/:/host', '/run/linuxkit:/run/linuxkit']")
        + service("orphans", "i=0; while [ $i -lt 300 ]; do (true &) ; i=$((i+1)); done; sleep 1000", "pid: host")
    )
    machine = boot(workshop.build(yml))
    machine.wait_ready(timeout_s=BOOT_S)
    until(machine, lambda: count(machine, "services/sick", "restarting") >= 1, "sick is found out")
    until(machine, lambda: count(machine, "services/eats", "restarting") >= 1, "eats is killed")
    until(machine, lambda: "failed" in states(machine, "services/crash"), "crash is given up")
    until(machine, lambda: b"all-was-answered" in machine.console, "asks has asked")
    assert states(machine, "services/web") == ["starting", "running", "ready"]
    assert states(machine, "services/toy") == ["starting", "running", "restarting", "starting", "running", "stopped"]
    # the summary of the boot, with what failed on the way and why
    assert re.search(rb"linuxkit: up after \d+ ms; services: 12, failed units: \d", machine.console)
    assert b"onboot/000-slow: failed, took too long" in machine.console
    machine.poweroff()
    result = machine.wait(120)
    assert result.power == "poweroff"
    slow = [r for r in machine.records if r.name == "onboot/000-slow"][-1]
    assert (slow.state, slow.detail) == ("failed", "took too long")
    # On a busy machine it may have ended before anybody sees that it runs.
    ends = (["starting", "running", "exited"], ["starting", "exited"])
    assert states(machine, "onshutdown/000-bye") in ends


@pytest.mark.parametrize(
    ("word", "power", "reason"),
    [("true", "reboot", "guest-reset"), ("poweroff", "poweroff", "guest-shutdown"), ("halt", "halt", "")],
)
def test_a_critical_service_takes_the_machine_with_it(workshop, boot, word, power, reason):
    yml = HEAD + "services:\n"
    yml += service("vital", "sleep 1; exit 3", f"critical: {word}", "backoff: {first: 100ms, most: 100ms, limit: 2}")
    yml += service("other", "sleep 1000")
    machine = boot(workshop.build(yml))
    if reason:
        result = machine.wait(BOOT_S)
        assert (result.reason, result.power) == (reason, power)
    else:  # what is halted keeps its power
        until(machine, lambda: b"System halted" in machine.console, "it is halted")
        until(machine, lambda: any(r.event == "power" for r in machine.records), "it has said so")
        assert machine.records[-1].name == power
    tries = [state for state in states(machine, "services/vital") if state != "running"]  # it may have ended before that is seen
    assert tries == ["starting", "restarting", "starting", "failed"]
    assert states(machine, "services/other")[-1] == "stopped"
