"""Machines of the runner "uml": what they have, what holds them in, and how they end."""

from __future__ import annotations

import termios
import time
from pathlib import Path

import pytest

from linuxkit import runners
from linuxkit.base.errors import Error
from linuxkit.runners.machines import start_ticks
from support.machines import HEAD, exited, fetch_page, free_port, step, use
from support.tools import need_user_mode

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(600)]

BOOT_S = 240
DHCPCD = '["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]'
PAGE = "while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 8080 >/dev/null; done"
SMALL = HEAD + "services:\n" + step("waits", "sleep 1000")

# Root in the guest makes its kernel show all it can see of the host.
LOOK = """\
mkdir -p /all && mount -t hostfs none /all -o / && cd /all &&
test "$(echo *)" = "dev lib lib64 proc usr" &&
test "$(echo usr/bin/*)" = "usr/bin/bwrap usr/bin/linux.uml usr/bin/passt" &&
! touch usr/x && ! touch x && ! ls home root etc work &&
! cat proc/sys/kernel/core_pattern > proc/sys/kernel/core_pattern""".replace("\n", " ")


def test_what_such_a_machine_has(workshop, boot, tmp_path):
    disk = runners.Disk(tmp_path / "data.img", 16, "raw")
    yml = (
        HEAD
        + "onboot:\n"
        + use("dhcpcd", "dhcpcd", DHCPCD)
        + step("address", "ip -4 addr show eth0 | grep -q 10.0.2.15", net="host")
        + step("route", "ip route | grep -q 'default via 10.0.2.2'", net="host")
        + step("card", "ip link show eth0 | grep -q 52:54:00", net="host")
        + step("names", "grep -q 10.0.2.3 /host/run/resolvconf/resolv.conf")
        + step("memory", "test $(awk '/MemTotal/ {print $2}' /proc/meminfo) -lt 262144")
        + step("serial", "test $(cat /host/sys/class/block/ubda/serial) = disk0")
        + step("disk", "echo kept > /host/dev/ubda && sync", devices="[{path: all, type: b}]")
        + step("look", LOOK, capabilities="[all]")
        + step("modules", "cut -d' ' -f1 /proc/modules | grep -qx overlay")
        + "services:\n"
        + step("web", PAGE, net="host")
    )
    port = free_port()
    forward = runners.Forward(port, 8080)
    machine = boot(
        workshop.build(yml), runner="uml", memory_mib=256, reboot=True, disks=(disk,), forwards=(forward,)
    )  # fmt: skip
    machine.wait_ready(timeout_s=BOOT_S)
    names = ["dhcpcd", "address", "route", "card", "names", "memory", "serial", "disk", "look", "modules"]
    assert exited(machine) == names
    assert fetch_page(f"http://127.0.0.1:{port}/") == b"hello"
    assert (tmp_path / "data.img").read_bytes()[:5] == b"kept\n"
    # a port that is in use is told before anything starts
    with pytest.raises(Error) as caught:
        workshop.boot(workshop.build(SMALL), runner="uml", forwards=(forward,))
    assert caught.value.code == "LK0803"
    # it comes back with its network
    machine.reboot()

    def again(guest):
        found = [r for r in guest.records if r.event == "boot" and r.state == "ready"]
        return found[1] if len(found) > 1 else None

    machine.wait_for(again, "it is up again", BOOT_S)
    assert fetch_page(f"http://127.0.0.1:{port}/") == b"hello"
    machine.poweroff()
    result = machine.wait(120)
    assert (result.status, result.power, result.failed) == (0, "poweroff", ())


def test_a_panic_is_not_well(workshop, boot):
    yml = HEAD + "services:\n" + step("panics", "echo c > /proc/sysrq-trigger", capabilities="[all]")
    yml = yml.replace("binds: ['/:/host']", "binds: ['/:/host', '/proc:/proc']")
    system = workshop.build(yml, compression="lz4")  # of which nobody can tell where it ends
    machine = boot(system, runner="uml", network=runners.Network("none"))
    result = machine.wait(BOOT_S)
    assert (result.status, result.reason, result.power) == (4, "guest-panic", "")
    assert b"Kernel panic" in machine.console


def test_on_a_terminal(workshop, terminal):
    need_user_mode()
    system = workshop.build(SMALL)
    shell = terminal("run", "uml", str(system.sidecar), "--networking", "none", "--mem", "256")
    shell.until(b"ready      boot", BOOT_S)
    assert termios.tcgetattr(shell.theirs) != shell.before
    shell.write(b"\x01x")
    assert shell.end() == 0
    assert termios.tcgetattr(shell.theirs) == shell.before
    assert b"the guest was well, ready after " in shell.seen


def below(pid: int) -> list[int]:
    """Its children, and theirs."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [each for child in map(int, found) for each in (child, *below(child))]


def test_all_of_it_dies_with_its_parent(workshop, terminal):
    need_user_mode()
    shell = terminal("run", "uml", str(workshop.build(SMALL).sidecar), "--mem", "256")
    shell.until(b"ready      boot", BOOT_S)
    processes = below(shell.process.pid)
    programs = {Path(f"/proc/{pid}/exe").resolve().name for pid in processes}
    assert "linux.uml" in programs
    shell.process.kill()
    deadline = time.monotonic() + 60
    while any(start_ticks(pid) for pid in processes):  # a zombie is none
        assert time.monotonic() < deadline
        time.sleep(0.1)
