"""Lists of recorded system calls: how they are read, and that a filter made of one is always a narrower one."""

from __future__ import annotations

import json
import struct

import pytest

from linuxkit.base import syscalls
from linuxkit.base.errors import Error
from linuxkit.build import runtime
from linuxkit.build.audit import posture
from linuxkit.build.sandbox import bpf, learned, policy, profile, strict
from linuxkit.oci.model import ImageConfig, Platform
from linuxkit.spec import labels, load
from linuxkit.spec.record import replace

FIRST = 1 << 20
ARCHES = sorted(syscalls.MACHINES)
STOCK = sorted(learned.stock())
USUAL = ((0,) * 6, (1, 0, 0, 0, 0, 0), (0x40, 0, 0, 0o6755, 0, 0), (2**64 - 1,) * 6)


def service(folder, text, calls=None, label=""):
    """A strict service whose list, if there is one, lies beside its YAML."""
    if calls is not None:
        content = json.dumps({"version": 1, "calls": calls}) if isinstance(calls, dict) else calls
        (folder / "web.seccomp.json").write_text(content)
    (folder / "web.yml").write_text(f"profile: strict\nservices: [{{name: web, image: x{text}}}]\n")

    def confined(arch="amd64", **options):
        spec = load.load([folder / "web.yml"], packages=None)
        entry = spec.services[0]
        return profile.confine(
            entry, "strict", {labels.LABEL: label} if label else {}, arch=arch, first_id=FIRST,
            where=lambda path: spec.where(("services", 0, *path)), **options,
        )  # fmt: skip

    return confined


LIST = ", seccomp: {learned: web.seccomp.json}"


def results(confined, arch="amd64"):
    program = confined.sandbox.record.filter
    return {
        (number, arguments): bpf.run(program, arch, number, arguments)
        for number in range(600)
        for arguments in USUAL
    }


def reachable(confined, arch="amd64"):
    by_number = {number: name for name, number in syscalls.numbers(arch).items()}
    return {by_number[n] for (n, _), result in results(confined, arch).items() if result == bpf.RET_ALLOW}


def test_only_what_is_listed_is_left(tmp_path):
    seen = {"amd64": {"read": 4, "socket": 1, "openat": 2}}
    narrow, wide = service(tmp_path, LIST, seen)(), service(tmp_path, "")()
    assert reachable(narrow) == {"read", "socket", "openat"} | (learned.ALWAYS & set(syscalls.numbers("amd64")))
    before, after = results(wide), results(narrow)
    for call, result in after.items():
        assert result == before[call] or result == bpf.RET_ERRNO | 1, call


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", STOCK)
def test_lists_that_come_along_are_narrow_everywhere(tmp_path, name, arch):
    narrow = service(tmp_path, f", seccomp: {{learned: 'stock:{name}'}}, capabilities: [CAP_SYS_ADMIN]")(arch)
    wide = service(tmp_path, ", capabilities: [CAP_SYS_ADMIN]")(arch)
    calls = reachable(narrow, arch)
    assert calls <= reachable(wide, arch)
    assert {"execve", "openat", "read", "exit_group"} <= calls
    recorded = learned.load(learned.stock()[name])
    if arch in recorded:
        assert len(calls) <= 80
        assert calls == (set(recorded[arch]) | learned.ALWAYS) & set(syscalls.numbers(arch))


def test_another_architectures_list_stands_for_what_does_the_same(tmp_path):
    seen = {"amd64": {"open": 1, "stat": 1, "epoll_wait": 1, "poll": 1, "arch_prctl": 1}}
    calls = reachable(service(tmp_path, LIST, seen)("arm64"), "arm64")
    assert {"openat", "newfstatat", "statx", "epoll_pwait", "ppoll"} <= calls
    assert not {"socket", "connect", "clone", "unlinkat"} & calls


def test_calls_that_the_profile_refuses_cannot_be_learned(tmp_path):
    refused = service(tmp_path, LIST, {"amd64": {"read": 1, "setuid": 1, "bpf": 1}})
    with pytest.raises(Error, match=r"web.seccomp.json has calls .*: bpf, setuid") as caught:
        refused()
    assert (caught.value.code, caught.value.where.line) == ("LK0759", 2)
    granted = LIST.replace("{", "{allow: ['@setuid', '@bpf'], ")
    assert {"setuid", "bpf"} <= reachable(service(tmp_path, granted)())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no list"), ("[]", "no list"), ('{"version": 2, "calls": {}}', "no list"), ("[" * 100_000, "no list"),
        ('{"version": 1, "calls": 3}', "no list"), ('{"version": 1, "calls": {"z80": {}}}', '"z80" is no architecture'),
        ('{"version": 1, "calls": {"amd64": [1]}}', "is no architecture"),
        ('{"version": 1, "calls": {"amd64": {"raed": 1}}}', '"raed" is no system call of amd64'),
        ('{"version": 1, "calls": {"amd64": {"read": "x"}}}', "read has no count"), (" " * (2 << 20), "no list"),
    ],
)  # fmt: skip
def test_files_that_are_no_lists(tmp_path, content, said):
    with pytest.raises(Error, match=said) as caught:
        service(tmp_path, LIST, content)()
    assert caught.value.code == "LK0758"
    assert caught.value.where.column > 40


def test_lists_that_are_not_there(tmp_path):
    with pytest.raises(Error, match=r"cannot read .*web.seccomp.json"):
        service(tmp_path, LIST)()
    with pytest.raises(Error, match='no list for "ngnix"') as caught:
        service(tmp_path, ", seccomp: {learned: 'stock:ngnix'}")()
    assert "nginx" in caught.value.hint


def test_a_label_names_no_files(tmp_path):
    with pytest.raises(Error, match="cannot say what a container has learned"):
        service(tmp_path, "", label="{seccomp: {learned: /etc/shadow}}")()


@pytest.mark.parametrize("arch", ARCHES)
def test_what_a_guest_counts(arch):
    numbers, machine = syscalls.numbers(arch), syscalls.machine(arch)
    counts = [0] * learned.COUNTED
    counts[numbers["read"]], counts[numbers["openat"]], counts[510] = 7, 1, 9  # the last is no call
    data = struct.pack(f"{'>' if machine.big_endian else '<'}512I", machine.audit, *counts)
    assert learned.counted(data) == {arch: {"openat": 1, "read": 7}}
    for wrong in (b"", data[:-1], data + b"x", bytes(2048)):
        with pytest.raises(Error, match="no list of system calls"):
            learned.counted(wrong)


def test_runs_add_up():
    old = {"amd64": {"read": 1, "write": 2}, "arm64": {"read": 1}}
    made = learned.joined(old, {"amd64": {"read": 3, "close": 1}})
    assert made == {"amd64": {"close": 1, "read": 4, "write": 2}, "arm64": {"read": 1}}
    assert json.loads(learned.encode(made)) == {"version": 1, "calls": made}


def test_a_container_that_learns_is_not_narrowed_and_counted(tmp_path):
    learns = service(tmp_path, LIST)(learns=True)  # its list need not be there yet
    assert results(learns) == results(service(tmp_path, "")())
    made = runtime.container_config(
        replace(learns.settings, uid=7), ImageConfig(Platform("linux", "amd64"), cmd=("/app",)), ids={}, volumes={},
        bundle="containers/services/web", lower="containers/services/web/rootfs", sandbox=learns.sandbox,
    )  # fmt: skip
    assert made.config["process"]["args"][:4] == [
        "/dev/.confine/confine", "/dev/.confine/record", "/dev/.confine/learn", "/dev/.confine/learned",
    ]  # fmt: skip
    bound = {m["destination"]: m for m in made.config["mounts"]}
    assert bound["/dev/.confine/learned"]["source"] == "/run/learned/services/web"
    assert "ro" in bound["/dev/.confine/learn"]["options"]
    (own,) = (m for m in made.runtime["mounts"] if m["destination"] == "/run/learned/services/web")
    assert {f"uid={FIRST + 7}", f"gid={FIRST}", "mode=0700", "noexec"} <= set(own["options"])
    assert set(strict.COUNTING) <= set(learns.sandbox.record.writable)


def test_an_audit_counts_what_is_left(tmp_path):
    def calls(text):
        made = service(tmp_path, text, {"amd64": {"read": 1}})()
        return posture.read("services/web", b"{}", made.sandbox.record.encode(), "amd64").calls

    assert calls("") == len(policy.policy("amd64").known & syscalls.numbers("amd64").keys())
    assert calls(LIST) == len(({"read"} | learned.ALWAYS) & syscalls.numbers("amd64").keys())
