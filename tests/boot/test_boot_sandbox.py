"""What containers may do, tried inside of a machine: each control refuses, and gives way to its key."""

from __future__ import annotations

import time

import pytest

from linuxkit.base import syscalls
from linuxkit.build.sandbox import learned, policy, ranges
from linuxkit.runners.options import Secret
from support import probe
from support.machines import HEAD, OTHER_KERNEL
from support.tools import need

pytestmark = [pytest.mark.boot, pytest.mark.slow, pytest.mark.timeout(900)]

BOOT_S = 420

YML = (
    HEAD
    + """\
onboot:
  - name: prepare
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "mkdir -p /var/bound && echo x > /var/bound/there"]
    binds: ["/var:/var"]
services:
  - name: listener
    image: test/probe:1
    command: ["/probe", "listen"]
    clocks: {boottime: 60}
    ready: {exec: ["/probe", "nothing"]}
  - name: plain
    image: test/probe:1
    capabilities: [CAP_KILL]  # so that compat adds nothing of its own
  - name: guarded
    image: test/probe:1
  - name: tight
    profile: strict
    image: test/probe:1
    tmpfs: [/tmp]
    binds: ["/var/bound:/bound"]
  - name: other
    profile: strict
    image: test/probe:1
    command: ["/probe", "listen"]
    ready: {exec: ["/probe", "nothing"]}
  - name: notifier
    profile: strict
    image: test/probe:1
    command: ["/probe", "listen"]
    ready: {notify: true}
  - name: loose
    profile: strict
    image: test/probe:1
    tmpfs: ["/tmp:exec,size=64m"]
    binds: ["/var/bound:/bound:rw"]
    capabilities: [CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_CHOWN, CAP_SETGID, CAP_NET_RAW]
    seccomp:
      allow: ["@io-uring", "@keyring", "@debug", "@sysv-ipc", "@userfaultfd", "@sched", chmod, personality]
      families: [netlink, alg, vsock]
    ports: {bind: [8080], connect: [7070]}
    jit: true
    mounts:
      - {type: proc, source: proc, destination: /proc}
      - {type: sysfs, source: sysfs, destination: /sys, options: [ro]}
    maskedPaths: []
    rlimits: ["nofile,2048,2048"]
    resources: {pids: {limit: 200}, memory: {limit: 268435456}}
  - name: shared
    profile: strict
    image: test/probe:1
    net: host
    ipc: host
    uts: host
    userns: host
    capabilities: [CAP_MKNOD]
    devices: [{path: /dev/kmsg, type: c, major: 1, minor: 11, mode: "0600"}]
    tmpfs: [/tmp]
    ports: {bind: [any], connect: [any]}
    landlock: "off"
    clocks: {monotonic: 86400000, boottime: 172800000}
  - name: narrow
    profile: strict
    image: test/probe:1
    tmpfs: [/tmp]
    seccomp: {learned: LIST}
  - name: netted
    profile: strict
    image: test/probe:1
    net: host
    ports: {bind: [8081], connect: [7070]}
  - name: hungry
    profile: strict
    restart: "no"
    image: test/probe:1
    command: ["/probe", "devour"]
  - name: keeper
    profile: strict
    image: "@pkg:busybox"
    uid: 7
    gid: 8
    secrets: [token, other]
    command: ["/bin/sh", "-c", "cd /run/secrets; for f in *; do echo $f $(stat -c %a:%u:%g $f) $(cat $f); done; stat -fc 'fs %T' .; touch x 2>/dev/null || echo full yes; sleep 10000"]
  - name: sharer
    image: "@pkg:busybox"
    readonly: true
    secrets: [token]
    command: ["/bin/sh", "-c", "echo token $(cat /run/secrets/*); sleep 10000"]
  - name: keyless
    profile: strict
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "ls /run/secrets 2>/dev/null; echo has $(ls -A /run 2>/dev/null); sleep 10000"]
  - name: lacking
    profile: strict
    restart: "no"
    image: "@pkg:busybox"
    secrets: [token, forgotten]
    command: ["/bin/echo", "started"]
  - name: spy
    image: "@pkg:busybox"
    pid: host
    after: [keeper, sharer, keyless]
    command: ["/bin/sh", "-c", "echo env $(grep -l s3cre[t] /proc/*/environ 2>/dev/null); cd /host/services; echo files $(grep -sl s3cre[t] */secrets/* */*.json); echo over; sleep 10000"]
    binds: ["/containers:/host:ro,rbind"]
  - name: look
    image: "@pkg:busybox"
    command: ["/bin/sh", "-c", "sleep 5; cd /host/tight; for f in memory.max memory.swap.max memory.oom.group pids.max cpu.max cpu.weight; do echo $f $(cat $f); done; sleep 1000"]
    binds: ["/sys/fs/cgroup:/host:ro"]
"""
)
PROBES = ("plain", "guarded", "tight", "narrow", "loose", "shared", "netted")
UNSEEN = {"socket", "socketpair", "symlink", "sysinfo"}
"""Calls that nobody has seen "narrow" make."""


@pytest.fixture(scope="module")
def said(workshop, tmp_path_factory):
    """Container → name → result, of all probes in one machine."""
    need("qemu-system-x86_64")
    pytest.importorskip("ziglang")
    folder = tmp_path_factory.mktemp("probe")
    probe.install(workshop, folder)
    seen = sorted(policy.policy("amd64").known & syscalls.numbers("amd64").keys() - UNSEEN)
    (folder / "list").write_bytes(learned.encode({"amd64": dict.fromkeys(seen, 1)}))
    secrets = []
    for name in ("token", "other"):
        (folder / name).write_text(f"s3cret-{name}")
        secrets.append(Secret(name, folder / name))
    text = YML.replace("LIST", str(folder / "list"))
    with workshop.boot(text, memory_mib=768, secrets=tuple(secrets)) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        deadline = time.monotonic() + BOOT_S
        while not finished(machine.console):
            assert time.monotonic() < deadline, machine.console.decode(errors="replace")
            time.sleep(0.2)
        machine.wait_for(
            lambda guest: next((r for r in guest.records if r.name == "services/hungry" and r.state == "failed"), None),
            "the hungry one has ended", BOOT_S,
        )  # fmt: skip
        return probe.said(machine.console), list(machine.records)


def finished(console: bytes) -> bool:
    probed = all(f"[{name}] done ok".encode() in console for name in PROBES)
    return probed and b"cpu.weight" in console and b"[spy] over" in console


# Control of docs/explanation/sandbox.md, the probe, what becomes of it in containers: "tight" is
# granted nothing, "loose" and "shared" what the YAML above says, "plain" is not strict at all.
ROWS = [
    (3, "new-user-namespace", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (3, "clone-user-namespace", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (4, "CapBnd", {"tight": "0000000000000000", "loose": "0000000000242041"}),
    (4, "CapEff", {"tight": "0000000000000000", "loose": "0000000000242041"}),
    (4, "CapPrm", {"tight": "0000000000000000"}),
    (4, "call-chroot", {"tight": "EPERM", "loose": "ok"}),
    (4, "chown", {"tight": "EPERM", "loose": "ok"}),
    (4, "call-setgroups", {"tight": "EPERM", "loose": "ok"}),
    (5, "CapInh", {"tight": "0000000000000000", "loose": "0000000000000000"}),
    (5, "CapAmb", {"tight": "0000000000000000", "loose": "0000000000000000"}),
    (6, "NoNewPrivs", {"plain": "0", "tight": "1", "loose": "1", "shared": "1"}),
    (6, "chmod-suid", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (7, "Seccomp", {"plain": "0", "tight": "2", "loose": "2"}),
    (7, "call-unknown", {"tight": "ENOSYS", "loose": "ENOSYS"}),
    (7, "call-clone3", {"tight": "ENOSYS", "loose": "EINVAL"}),
    (7, "call-i386", {"plain": "ok", "tight": "signal-31", "loose": "signal-31"}),
    (7, "call-x32", {"tight": "signal-31", "loose": "signal-31"}),
    (7, "call-shmget", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (7, "call-setns", {"plain": "EBADF", "tight": "EPERM", "loose": "EBADF"}),
    (8, "socket-unix", {"tight": "ok", "narrow": "EPERM"}),
    (8, "socket-inet", {"tight": "ok", "narrow": "EPERM"}),
    (8, "write-tmp", {"tight": "ok", "narrow": "ok"}),
    (8, "Seccomp", {"narrow": "2"}),
    (8, "call-keyctl", {"narrow": "EPERM"}),
    (8, "processes", {"tight": "63", "narrow": "63"}),
    (9, "write-own-proc", {"plain": "ok", "tight": "EACCES", "shared": "ok"}),
    (9, "bind-8080", {"tight": "EACCES", "loose": "ok", "shared": "ok"}),
    (9, "bind-9090", {"tight": "EACCES", "loose": "EACCES", "netted": "EACCES", "shared": "ok"}),
    (9, "connect-7070", {"tight": "EACCES", "loose": "ECONNREFUSED", "netted": "ECONNREFUSED"}),
    (9, "connect-6060", {"tight": "EACCES", "loose": "EACCES", "shared": "ECONNREFUSED"}),
    (9, "abstract-connect", {"plain": "ok", "shared": "ok", "netted": "EPERM"}),
    (9, "call-mount", {"tight": "EPERM", "loose": "EPERM"}),
    (10, "map-writable-code", {"plain": "ok", "tight": "EACCES", "loose": "ok"}),
    (10, "make-code", {"plain": "ok", "tight": "EACCES", "loose": "ok"}),
    (11, "interfaces", {"plain": "lo eth0", "tight": "lo", "shared": "lo eth0"}),
    (12, "socket-unix", {"tight": "ok"}),
    (12, "socket-inet", {"tight": "ok"}),
    (12, "socket-netlink", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (12, "socket-packet", {"tight": "EPERM", "loose": "ok"}),
    (12, "socket-alg", {"tight": "EPERM", "loose": "EAFNOSUPPORT"}),
    (12, "socket-vsock", {"tight": "EPERM", "loose": "EAFNOSUPPORT"}),
    (13, "hostname", {"tight": "tight", "loose": "loose"}),
    (13, "call-sethostname", {"tight": "EPERM", "loose": "ok"}),
    (15, "cgroup", {"plain": "0::/plain", "tight": "0::/"}),
    (16, "monotonic-days", {"plain": "0", "tight": "0", "shared": "1000"}),
    (16, "boottime-days", {"plain": "0", "tight": "0", "shared": "2000"}),
    (17, "write-root", {"plain": "ok", "tight": "EROFS"}),
    (17, "write-dev", {"plain": "ok", "tight": "EROFS"}),
    (18, "write-tmp", {"tight": "ok"}),
    (18, "copy-program", {"tight": "ok", "loose": "ok"}),
    (18, "run-copy", {"plain": "ok", "tight": "EACCES", "loose": "ok"}),
    (18, "fill-tmp", {"plain": "ok", "tight": "ENOSPC", "loose": "ok"}),
    (19, "write-bound", {"tight": "EROFS", "loose": "ok"}),
    (19, "read-bound", {"tight": "ok", "loose": "ok"}),
    ("compat", "write-core-pattern", {"plain": "ok", "guarded": "EROFS"}),
    ("compat", "cgroup", {"plain": "0::/plain", "guarded": "0::/"}),
    ("compat", "call-keyctl", {"plain": "ok", "guarded": "EPERM"}),
    ("compat", "call-bpf", {"plain": "EINVAL", "guarded": "EPERM"}),
    ("compat", "call-userfaultfd", {"plain": "ok", "guarded": "EPERM"}),
    ("compat", "call-io-uring", {"plain": "EFAULT", "guarded": "EFAULT"}),
    ("compat", "new-user-namespace", {"plain": "ok", "guarded": "ok"}),
    ("compat", "write-root", {"plain": "ok", "guarded": "ok"}),
    ("compat", "interfaces", {"plain": "lo eth0", "guarded": "lo eth0"}),
    ("compat", "call-i386", {"plain": "ok", "guarded": "ok"}),
    (20, "read-kallsyms", {"plain": "ok", "tight": "ENOENT", "loose": "ok"}),
    (20, "read-core-pattern", {"tight": "ENOENT", "loose": "ok"}),
    (20, "write-core-pattern", {"tight": "ENOENT", "loose": "EACCES"}),
    (21, "read-sys", {"plain": "ok", "tight": "ENOENT", "loose": "ok"}),
    (22, "write-null", {"tight": "ok"}),
    (22, "open-kmsg", {"tight": "ENOENT", "shared": "ok"}),
    (22, "make-device", {"tight": "EACCES", "shared": "ok"}),
    (24, "processes", {"tight": "63", "loose": "198"}),
    (26, "limit-core", {"tight": "0", "loose": "0"}),
    (26, "limit-nofile", {"tight": "1024", "loose": "2048"}),
    (26, "limit-memlock", {"tight": "65536"}),
    (27, "call-keyctl", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (28, "call-ptrace", {"plain": "ESRCH", "tight": "EPERM", "loose": "ESRCH"}),
    (28, "call-process-vm-readv", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (29, "call-io-uring", {"plain": "EFAULT", "tight": "EPERM", "loose": "EFAULT"}),
    (29, "call-userfaultfd", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (29, "call-perf", {"plain": "EFAULT", "tight": "EPERM"}),
    (29, "call-bpf", {"plain": "EINVAL", "tight": "EPERM"}),
    (30, "call-personality", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
    (31, "oom-score-adj", {"tight": "0"}),
    (31, "call-sched-fifo", {"plain": "ok", "tight": "EPERM", "loose": "ok"}),
]  # fmt: skip

# Our kernels refuse some of it whoever asks, and have something built in that is a module of Debian's:
# probe → result with Debian's kernel → result with ours.
OURS = {
    "call-i386": dict.fromkeys(("ok", "signal-31"), "signal-11"),
    "call-io-uring": {"EFAULT": "ENOSYS"},
    "call-process-vm-readv": {"ok": "ENOSYS"},
    "call-userfaultfd": {"ok": "ENOSYS"},
    "read-core-pattern": {"ok": "ENOENT"},
    "socket-vsock": {"EAFNOSUPPORT": "ok"},
    "write-core-pattern": dict.fromkeys(("ok", "EACCES", "EROFS"), "ENOENT"),
}


@pytest.mark.parametrize(("control", "name", "wanted"), ROWS)
def test_a_control_refuses_and_gives_way_to_its_key(said, control, name, wanted):
    found, _ = said
    other = OURS.get(name, {}) if OTHER_KERNEL else {}
    wanted = {container: other.get(result, result) for container, result in wanted.items()}
    assert {container: found[container][name] for container in wanted} == wanted, control


def test_ids_are_those_of_the_plan_and_nobody_elses(said):
    """Controls 1 and 2."""
    found, _ = said
    names = [*PROBES, "listener", "other", "hungry", "look"]
    planned = ranges.ranges(["onboot/prepare", *(f"services/{name}" for name in names)])
    maps = {name: found[name]["uid-map"] for name in ("tight", "loose", "netted")}
    assert maps == {name: f"0 {planned[f'services/{name}']} 65536" for name in maps}
    assert found["shared"]["uid-map"] == found["plain"]["uid-map"] == "0 0 4294967295"


@pytest.mark.parametrize("kind", ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"])
def test_namespaces_are_its_own(said, kind):
    """Controls 11 and 13 to 15, and that `host` shares them."""
    found, _ = said
    own = [found[name][f"ns-{kind}"] for name in ("plain", "tight", "loose")]
    assert len(set(own)) == 3 or (kind not in {"mnt", "pid"} and len({own[1], own[2]} - {own[0]}) == 2)
    if kind in {"ipc", "net", "user", "uts"}:
        assert found["shared"][f"ns-{kind}"] == own[0]


def test_nothing_open_is_left_behind(said):
    found, _ = said
    for name in ("tight", "loose", "shared", "netted"):
        assert found[name]["fds"] == "0 1 2"


def test_only_the_usual_devices(said):
    """Control 22."""
    found, _ = said
    usual = {
        "ptmx", "core", "stderr", "stdout", "stdin", "fd", "urandom", "random", "tty", "full",
        "zero", "null", "pts", ".confine",
    }  # fmt: skip
    assert set(found["tight"]["dev"].split()) == usual
    assert set(found["shared"]["dev"].split()) == usual | {"kmsg"}


def test_limits_of_the_control_group(said):
    """Controls 23 to 25, read from outside."""
    found, _ = said
    assert found["look"] == {
        "memory.max": "134217728", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "64",
        "cpu.max": "100000 100000", "cpu.weight": "100",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["other", "notifier", "listener"])
def test_a_service_can_be_asked_and_can_tell_that_it_is_ready(said, name):
    _, records = said
    assert "ready" in [r.state for r in records if r.name == f"services/{name}"]


def test_the_socket_of_a_service_that_tells_is_all_that_it_gets(said):
    """Control 19: no mount spreads from there into the system or out of it."""
    found, _ = said
    told = {key: value for key, value in found["notifier"].items() if key.startswith("notify")}
    assert told.pop("notify-mount").split() == ["ro,nosuid,nodev,noexec,relatime", "-"]
    assert told == {"notify": "ok", "notify-write": "EROFS"}


def test_who_takes_too_much_memory_ends_alone(said):
    """Control 23."""
    _, records = said
    ended = [(r.name, r.signal) for r in records if r.event == "unit" and r.state == "failed"]
    assert ("services/hungry", 9) in ended
    assert {name for name, _ in ended} == {"services/hungry", "services/lacking"}


def test_secrets_are_for_one_service(said):
    """Control 32."""
    found, _ = said
    assert found["keeper"] == {
        "other": "400:7:8 s3cret-other", "token": "400:7:8 s3cret-token", "fs": "tmpfs", "full": "yes",
    }  # fmt: skip
    assert found["sharer"] == {"token": "s3cret-token"}
    assert found["keyless"] == {"has": ""}
    assert found["spy"]["env"] == ""
    assert found["spy"]["files"] == "sharer/secrets/token"  # both are root of the machine


def test_a_service_does_not_start_without_its_secret(said):
    found, records = said
    (failed,) = [r for r in records if r.name == "services/lacking" and r.state == "failed"]
    assert failed.detail == 'the secret "forgotten" was not given to this machine'
    assert "lacking" not in found or "started" not in found["lacking"]
