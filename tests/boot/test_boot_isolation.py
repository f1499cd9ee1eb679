"""A service in a machine of its own, inside a machine: KVM of the outer kernel, on QEMU's emulated AMD processor."""

from __future__ import annotations

import re
import socket
import time

import pytest

from linuxkit.build.sandbox.strict import MEMORY_BYTES
from linuxkit.runners.options import Forward
from support.machines import HEAD, free_port

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1800)]

BOOT_S = 600
MIB = 1 << 20

# Each connection says one word.
SERVE = r"""
over() { echo ok; exec <&- >&- 2>&-; }
read -r word
case $word in
id) echo "$(uname -r) $(cat /proc/sys/kernel/random/boot_id) $(cat /etc/web/greeting)" ;;
eat) over; x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done ;;
panic) over; echo 2 >/proc/sys/vm/panic_on_oom; x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done ;;
esac
"""
WATCH = r"""
read -r word
group=/sys/fs/cgroup/$(sed 's/^0:://' /proc/$(cat /run/units/services-web.pid)/cgroup)
qemu=$(grep -l '^qemu-system' /proc/[0-9]*/comm | cut -d/ -f3)
case $word in
id) echo "$(uname -r) $(cat /proc/sys/kernel/random/boot_id)" ;;
kill) kill -9 $qemu && echo ok ;;
facts)
	grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$qemu/status
	for file in memory.current memory.max memory.swap.max pids.max; do echo "$file: $(cat $group/$file)"; done
	sed 's/^/events: /' $group/memory.events
	ls -l /proc/$qemu/fd | grep -o '/dev/[a-z]*'
	;;
esac
"""


def quoted(text: str) -> str:
    return "|\n" + "".join(f"      {line}\n" for line in text.strip().splitlines())


YML = f"""\
kernel:
  image: "@pkg:kernel-hardened"
  cmdline: "console=ttyS0 quiet panic=-1"
init: ["@pkg:init", "@pkg:crun-static"]
onboot:
  - {{name: dhcp, image: "@pkg:udhcpc", command: ["/usr/bin/udhcpc.sh", "-1", eth0]}}
services:
  - name: web
    image: "@pkg:busybox"
    profile: strict
    isolation: vm
    command: [/bin/sh, -c, "trap 'echo bye; kill $!; exit 7' TERM; echo up; while :; do nc -l -p 8080 -e /bin/sh /etc/web/serve & wait $! || exit 3; done"]
    net: host
    ports: {{bind: [8080]}}
    ready: {{tcp: 8080, interval: 200ms, timeout: 20m}}
    backoff: {{first: 100ms, most: 100ms}}
    binds: ["/etc/web:/etc/web"]
    userns: host
    mounts: [{{type: proc, source: proc, destination: /proc, options: [rw]}}]
    maskedPaths: []
    readonlyPaths: []
  - name: watch
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "while :; do nc -l -p 8081 -e /bin/sh /etc/watch; done"]
    pid: host
    capabilities: [CAP_KILL, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH]
    binds: ["/etc/watch:/etc/watch", "/sys:/sys", "/run/units:/run/units"]
files:
  - {{path: etc/web/greeting, mode: "0644", contents: hello}}
  - path: etc/web/serve
    mode: "0644"
    contents: {quoted(SERVE)}
  - path: etc/watch
    mode: "0644"
    contents: {quoted(WATCH)}
"""


def asked(port: int, word: str, timeout_s: float = BOOT_S) -> str:
    """What is answered to the word; tried until something is."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
                wire.sendall(f"{word}\n".encode())
                if answer := b"".join(iter(lambda: wire.recv(4096), b"")):
                    return answer.decode()
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"no answer to {word}")


def test_a_service_has_a_machine_of_its_own(workshop, boot):
    web, watch = free_port(), free_port()
    machine = boot(workshop.build(YML), memory_mib=1024, cpus=1, forwards=(Forward(web, 8080), Forward(watch, 8081)))
    ids: list[str] = []

    def ready() -> None:
        """Waits for the next machine, whose kernel started after all others."""
        machine.wait_for(
            lambda guest: next((r for r in guest.records if states(machine).count("ready") > len(ids)), None),
            "the service", BOOT_S,
        )  # fmt: skip
        release, boot_id, greeting = asked(web, "id").split()
        assert (release[-8:], greeting) == ("-microvm", "hello")
        assert boot_id not in ids
        ids.append(boot_id)

    ready()
    release, boot_id = asked(watch, "id").split()
    assert release.endswith("-cloud")
    assert boot_id not in ids

    facts = asked(watch, "facts")
    row = {key: value.split()[0] for key, value in re.findall(r"^([\w.]+):\s+(.*)$", facts, re.MULTILINE)}
    assert (row["CapEff"], row["CapBnd"], row["NoNewPrivs"], row["Seccomp"]) == ("0" * 16, "0" * 16, "1", "2")
    assert int(row["Uid"]) > 65536
    assert int(row["memory.max"]) == MEMORY_BYTES + (128 + 64) * MIB
    assert 0 < int(row["memory.current"]) <= int(row["memory.max"])
    assert (row["memory.swap.max"], row["pids.max"]) == ("0", "64")
    devices = set(re.findall("^/dev/.*", facts, re.MULTILINE))
    assert {"/dev/kvm"} <= devices <= {"/dev/kvm", "/dev/null", "/dev/urandom"}

    assert asked(web, "eat") == "ok\n"  # more than its limit: it ends in there, and its status comes out
    ready()
    assert ended(machine)[-1] == 137
    assert asked(web, "panic") == "ok\n"
    ready()
    assert b"vmm: the machine crashed" in machine.console
    assert b"Kernel panic - not syncing: Out of memory" in machine.console
    assert asked(watch, "kill") == "ok\n"
    ready()
    assert b"vmm: QEMU was ended by signal 9" in machine.console
    assert "events: oom_kill 0" in asked(watch, "facts")
    assert [r.state for r in machine.records if r.name == "services/watch"][-1] in {"running", "ready"}

    machine.poweroff()
    assert machine.wait(BOOT_S).power == "poweroff"
    assert b"[web] bye" in machine.console


def states(machine) -> list[str]:
    return [r.state for r in machine.records if r.event == "unit" and r.name == "services/web"]


def ended(machine) -> list[int | None]:
    return [r.status for r in machine.records if r.name == "services/web" and r.state == "restarting"]


@pytest.mark.any_kernel
def test_without_kvm_it_is_not_started(workshop, boot):
    yml = HEAD + (
        'services: [{name: web, image: "@pkg:busybox", profile: strict, isolation: vm, restart: "no",'
        " command: [/bin/sleep, '1000']}]\n"
    )
    machine = boot(workshop.build(yml))
    machine.wait_ready(timeout_s=BOOT_S)
    record = next(r for r in machine.records if r.name == "services/web" and r.state == "failed")
    assert record.detail == "this machine cannot give out /dev/kvm: No such file or directory"
    machine.poweroff()
    machine.wait(BOOT_S)
