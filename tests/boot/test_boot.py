"""Machines that boot what we build; a guest proves what happened by its report, not its console."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.runners.options import Forward
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import image
from support.machines import HEAD, free_port
from support.proofs import BOOTED, DIRECT

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
BOOT_S = 420

@pytest.fixture
def build(workshop):
    return workshop.build


def step(name: str, script: str, **extra: str) -> str:
    """A container of the busybox package that runs a shell script."""
    more = "".join(f", {key}: {value}" for key, value in extra.items())
    return f'  - {{name: {name}, image: "@pkg:busybox", command: [/bin/sh, -c, {script!r}]{more}}}\n'


def states(machine, kind: str = "") -> list[tuple[str, str]]:
    """Units and their states in the order they were reported."""
    return [
        (r.name, r.state) for r in machine.records if r.event == "unit" and r.name.startswith(kind)
    ]


def get(url: str) -> str:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def test_web_example_answers_and_powers_off(build, boot, prove):
    port = free_port()
    machine = boot(build((EXAMPLES / "web.yml").read_text()), forwards=(Forward(port, 80),))
    ready = machine.wait_ready(timeout_s=BOOT_S)
    assert "It works" in get(f"http://127.0.0.1:{port}/")
    assert ready.mem_available_kib > 100_000
    machine.poweroff()
    result = machine.wait(60)
    assert result.status == 0, result
    assert result.power == "poweroff"
    order = states(machine)
    assert order.index(("onboot/000-sysctl", "exited")) < order.index(("onboot/001-dhcpcd", "starting"))
    assert order.index(("onboot/001-dhcpcd", "exited")) < order.index(("services/nginx", "starting"))
    assert ("services/nginx", "stopped") in order
    prove("kernel+initrd", BOOTED, DIRECT)


@pytest.mark.any_kernel
def test_life_of_a_system(build, boot):
    """Many promises in one boot; each step fails the boot when its own does not hold."""
    yml = (
        HEAD
        + "onboot:\n"
        + step("order-a", "mkdir -p /var/order && echo a >> /var/order/list", binds="['/var:/var']")
        + step("order-b", 'test "$(cat /var/order/list)" = a', binds="['/var:/var']")
        + step("root-is-read-only", "! touch /host/probe", binds="['/:/host']")
        + step("own-root-can-be-written", "touch /probe")
        + step("read-only-root", "! touch /probe", readonly="true")
        + step("cgroup2", "grep -q cgroup2 /host/proc/mounts", binds="['/:/host']")
        + step("no-capabilities", "grep -q 'CapEff:.0000000000000000' /proc/self/status")
        + step("drivers", "test -d /sys/bus/virtio/drivers/virtio_net")
        + step("hostname", "hostname | grep -q .")
        + step("loopback", "ip addr show lo | grep -q 127.0.0.1")
        + step("pid-namespace", "test $$ = 1")
        + step("file", 'test "$(cat /host/etc/marker)" = here', binds="['/:/host']")
        + step("tmp-is-tmpfs", "grep -q ' /host/tmp tmpfs' /proc/mounts", binds="['/:/host:rbind']")
        + "services:\n"
        + step("stays", "trap 'echo asked; exit 0' TERM; while :; do sleep 0.1; done")
        + step("deaf", "trap '' TERM; while :; do sleep 0.1; done")
        + "onshutdown:\n"
        + step("last", "echo bye; ! pidof none")
        + "files:\n  - {path: etc/marker, contents: here, mode: '0644'}\n"
    )
    machine = boot(build(yml))
    machine.wait_ready(timeout_s=BOOT_S)
    done = [name for name, state in states(machine, "onboot/") if state == "exited"]
    assert [name.split("-", 1)[1] for name in done] == [
        "order-a", "order-b", "root-is-read-only", "own-root-can-be-written", "read-only-root",
        "cgroup2", "no-capabilities", "drivers", "hostname", "loopback", "pid-namespace", "file",
        "tmp-is-tmpfs",
    ]  # fmt: skip
    assert {n for n, s in states(machine, "services/") if s == "running"} == {
        "services/stays", "services/deaf",
    }  # fmt: skip
    machine.poweroff()
    result = machine.wait(90)
    assert result.power == "poweroff"
    order = states(machine)
    for service in ("services/stays", "services/deaf"):
        assert order.index((service, "stopped")) < order.index(("onshutdown/000-last", "starting"))
    assert ("onshutdown/000-last", "exited") in order
    assert result.status == 0, result


@pytest.mark.any_kernel
def test_a_failing_onboot_stops_the_boot(build, boot):
    yml = HEAD + "onboot:\n" + step("bad", "echo why it failed; exit 7")
    yml += step("never", "true") + "services:\n" + step("service", "sleep 1000")
    machine = boot(build(yml))
    with pytest.raises(Error, match="boot failed"):
        machine.wait_ready(timeout_s=BOOT_S)
    (failed,) = [r for r in machine.records if r.state == "failed" and r.event == "unit"]
    assert (failed.name, failed.status) == ("onboot/000-bad", 7)
    assert "why it failed" in failed.detail
    names = {name for name, _ in states(machine)}
    assert names == {"onboot/000-bad"}
    machine.poweroff()  # it still obeys
    result = machine.wait(60)
    assert b"why it failed" in machine.console
    assert result.status == 4
    assert result.failed == ("onboot/000-bad",)


@pytest.mark.parametrize(
    ("policy", "power", "service"),
    [("continue", "", True), ("poweroff", "poweroff", False), ("reboot", "reboot", False)],
)
@pytest.mark.any_kernel
def test_failure_policies(build, boot, policy, power, service):
    yml = HEAD + "onboot:\n" + step("bad", "exit 1", onFailure=policy)
    yml += "services:\n" + step("service", "sleep 1000")
    machine = boot(build(yml))
    if power:
        result = machine.wait(BOOT_S)
        assert result.power == power
    else:
        machine.wait_ready(timeout_s=BOOT_S)
    assert (("services/service", "running") in states(machine)) is service


@pytest.mark.any_kernel
def test_a_crashing_service_is_reported_and_harms_no_other(build, boot):
    yml = HEAD + "services:\n" + step("crash", "echo last words; exit 3", restart="no") + step("well", "sleep 1000")
    machine = boot(build(yml))
    record = machine.wait_for(
        lambda guest: next((r for r in guest.records if r.name == "services/crash" and r.state == "failed"), None),
        "the crash is reported", BOOT_S,
    )  # fmt: skip
    assert record.status == 3
    assert "last words" in record.detail
    machine.wait_unit("services/well", timeout_s=BOOT_S)
    machine.poweroff()
    result = machine.wait(60)
    assert result.status == 4
    assert result.failed == ("services/crash",)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd:19", "lz4", "xz"])
def test_every_compression_boots_in_the_least_memory_it_names(build, boot, compression):
    artifact = build(HEAD + "onboot:\n" + step("hello", "true"), compression=compression)
    machine = boot(artifact, memory_mib=artifact.boot.least_ram_mib)
    machine.wait_ready(timeout_s=BOOT_S)
    assert ("onboot/000-hello", "exited") in states(machine)


def test_idle_memory(build, boot):
    machine = boot(build(HEAD), memory_mib=256)
    ready = machine.wait_ready(timeout_s=BOOT_S)
    assert ready.mem_total_kib - ready.mem_available_kib <= 40 * 1024


def test_minimal_example_shows_a_shell(build, boot):
    machine = boot(build((EXAMPLES / "minimal.yml").read_text()))
    machine.wait_unit("services/getty", timeout_s=BOOT_S)
    deadline = time.monotonic() + 180
    while b"# " not in machine.console.split(b"ready", 1)[-1][-200:]:
        assert time.monotonic() < deadline, machine.console
        time.sleep(0.2)
    machine.write("echo $((6 * 7))-shell\n")
    while b"42-shell" not in machine.console:
        assert time.monotonic() < deadline, machine.console
        time.sleep(0.2)


@pytest.mark.any_kernel
def test_a_file_that_replaces_a_hard_link_leaves_the_others(workshop, boot):
    store = linuxkit.open_store(workshop.cache)
    old = Entry("opt/a", Kind.FILE, 0o644, content=Bytes(b"old"))
    image(store, "docker.io/test/linked:1", {"opt/": "", "opt/a": old, "opt/b": Entry("opt/b", Kind.HARDLINK, link="opt/a")})  # fmt: skip
    yml = HEAD.replace('"@pkg:crun"]', '"@pkg:crun", "test/linked:1"]') + "onboot:\n"
    yml += step("look", "test $(cat /host/opt/a)-$(cat /host/opt/b) = new-old", binds="['/:/host']")
    yml += "files:\n  - {path: opt/a, contents: new, mode: '0644'}\n"
    boot(workshop.build(yml)).wait_ready(timeout_s=BOOT_S)
