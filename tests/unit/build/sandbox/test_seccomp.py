"""The filter's bytes against the policy: every number, every foreign ABI, every edge of an argument."""

from __future__ import annotations

import ctypes
import itertools
import re
import struct
import subprocess
import sys
import tempfile

import pytest

from linuxkit.base import platform, syscalls
from linuxkit.base.errors import Error
from linuxkit.build.sandbox import bpf, compat, policy
from linuxkit.build.sandbox.policy import Action, Match
from linuxkit.spec import confinement

ARCHES = sorted(syscalls.MACHINES)
GRANTS = {
    "nothing": {},
    "everything": {
        "allow": tuple(confinement.GROUPS), "families": ("netlink", "packet", "alg", "vsock"),
    },
    "a capability": {"capabilities": ("CAP_SYS_TIME", "CAP_NET_RAW")},
    "namespaces": {"allow": ("@namespaces",)},
    "files with any mode": {"allow": ("chmod", "fchmodat", "openat")},
}  # fmt: skip


def edges(match):
    """Values around what a test of an argument looks at, and what lies in its other half."""
    bits = [1 << bit for bit in range(64)]
    near = {match.value, match.value ^ 1, match.value + 1, match.mask, ~match.mask & 2**64 - 1, 0, 2**64 - 1}
    return sorted({v & 2**64 - 1 for v in near} | {match.value ^ bit for bit in bits})


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("grant", GRANTS)
def test_every_call_is_decided_as_the_policy_says(arch, grant):
    chosen = policy.policy(arch, **GRANTS[grant])
    program = bpf.compile_filter(chosen, arch)
    assert len(program) % 8 == 0
    assert len(program) // 8 <= 4096
    by_number = {number: name for name, number in syscalls.numbers(arch).items()}
    for number in range(1024):
        name = by_number.get(number)
        tests = chosen.conditional.get(name, ())
        columns = [[0]] * 6
        for match in tests:
            columns[match.argument] = sorted({*columns[match.argument], *edges(match)})
        if sum(len(column) > 1 for column in columns) > 1:
            columns = [column[:: max(1, len(column) // 24)] for column in columns]
        for arguments in itertools.product(*columns):
            if number > syscalls.LAST_KNOWN:
                expected = Action.ABSENT
            elif name is None:
                expected = Action.REFUSE
            else:
                expected = chosen.decide(name, arguments)
            found = bpf.run(program, arch, number, arguments)
            assert found == bpf.RETURNS[expected], (name, number, arguments)


@pytest.mark.parametrize("arch", ARCHES)
def test_other_abis_end_the_process(arch):
    program = bpf.compile_filter(policy.policy(arch), arch)
    mine = syscalls.machine(arch)
    others = {0x40000003, 0x40000028, 0, 0xFFFFFFFF} | {m.audit for m in syscalls.MACHINES.values()}
    for audit in others - {mine.audit}:
        for number in range(1024):
            order = ">" if mine.big_endian else "<"
            data = struct.pack(f"{order}IIQ6Q", number, audit, 0, *[0] * 6)
            found = bpf.execute(program, data, order)
            assert found == bpf.RET_KILL
    for number in range(1024):
        found = bpf.run(program, arch, number | syscalls.X32_BIT)
        assert found == (bpf.RET_KILL if mine.x32 else bpf.RETURNS[Action.ABSENT])


@pytest.mark.parametrize("arch", ARCHES)
def test_every_jump_stays_in_the_program_and_every_path_returns(arch):
    steps = bpf.instructions(policy.policy(arch), arch)
    for at, step in enumerate(steps):
        if step.code == bpf.RETURN:
            continue
        reach = [step.k] if step.code == bpf.JUMP else [step.if_true, step.if_false]
        assert all(at + 1 + offset < len(steps) for offset in reach), at
        assert all(0 <= offset <= 255 for offset in (step.if_true, step.if_false))
    assert steps[-1].code == bpf.RETURN


def test_how_many_calls_are_allowed():
    for arch in ARCHES:
        chosen, known = policy.policy(arch), syscalls.numbers(arch)
        assert len(known.keys() & (chosen.allowed | chosen.conditional.keys())) <= 240


REFUSED = (
    "ptrace", "process_vm_readv", "keyctl", "add_key", "request_key", "bpf", "perf_event_open",
    "userfaultfd", "io_uring_setup", "unshare", "setns", "mount", "umount2", "pivot_root", "chroot",
    "init_module", "finit_module", "kexec_load", "reboot", "swapon", "settimeofday", "clock_settime",
    "syslog", "open_by_handle_at", "name_to_handle_at", "quotactl", "acct", "sethostname", "setuid",
    "setgroups", "shmget", "mq_open", "io_setup", "chown", "sched_setscheduler", "setpriority",
)  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_by_default(name):
    for arch in ARCHES:
        assert policy.policy(arch).decide(name, (0,) * 6) is Action.REFUSE


@pytest.mark.parametrize("group", confinement.GROUPS)
def test_a_group_gives_its_calls_back(group):
    chosen = policy.policy("amd64", allow=(group,))
    for name in confinement.GROUPS[group].split():
        assert name in syscalls.names(), name
        assert chosen.decide(name, (2**64 - 1,) * 6) is Action.ALLOW


def test_only_known_names_are_in_the_policy():
    everything = policy.policy("amd64", capabilities=policy._BY_CAPABILITY, allow=confinement.GROUPS)
    assert everything.allowed | everything.conditional.keys() | everything.absent <= syscalls.names()


NEWUSER, PIPE_CLOEXEC = 0x10000000, 0x80000


def test_arguments_that_decide():
    for arch in ARCHES:
        chosen, flags = policy.policy(arch), syscalls.machine(arch).clone_flags
        new = tuple(NEWUSER | 17 if index == flags else 0 for index in range(6))
        thread = tuple(0x3D0F00 if index == flags else 0 for index in range(6))
        assert chosen.decide("clone", new) is Action.REFUSE
        assert chosen.decide("clone", thread) is Action.ALLOW
        assert chosen.decide("clone3", (0,) * 6) is Action.ABSENT
        for family, action in ((1, "ALLOW"), (2, "ALLOW"), (10, "ALLOW"), (16, "REFUSE"), (17, "REFUSE"), (38, "REFUSE"), (40, "REFUSE")):
            assert chosen.decide("socket", (family, 1, 0, 0, 0, 0)) is Action[action]
        assert chosen.decide("personality", (0x0040000,) + (0,) * 5) is Action.REFUSE
        assert chosen.decide("personality", (0xFFFFFFFF,) + (0,) * 5) is Action.ALLOW
        assert chosen.decide("fchmod", (3, 0o4755, 0, 0, 0, 0)) is Action.REFUSE
        assert chosen.decide("fchmod", (3, 0o755, 0, 0, 0, 0)) is Action.ALLOW
        assert chosen.decide("openat", (0, 0, 0o101, 0o4755, 0, 0)) is Action.REFUSE
        assert chosen.decide("openat", (0, 0, 0, 0o4755, 0, 0)) is Action.ALLOW


def test_an_unknown_call_is_told_with_a_suggestion():
    with pytest.raises(Error) as caught:
        confinement.call("mont")
    assert caught.value.code == "LK0208"
    assert "mount" in caught.value.hint
    with pytest.raises(Error) as caught:
        syscalls.machine("mips")
    assert caught.value.code == "LK0750"


def test_the_table_is_what_the_headers_say():
    ziglang = pytest.importorskip("ziglang")
    header = f"{ziglang.__path__[0]}/lib/libc/include/x86-linux-any/asm/unistd_64.h"
    with open(header) as file:
        found = {n: int(v) for n, v in re.findall(r"^#define __NR_(\w+) (\d+)$", file.read(), re.MULTILINE)}
    assert syscalls.numbers("amd64") == found
    assert syscalls.numbers("amd64")["mseal"] == syscalls.LAST_KNOWN


def test_bytes_are_in_the_machines_order():
    little = bpf.compile_filter(policy.policy("amd64"), "amd64")
    big = bpf.compile_filter(policy.policy("s390x"), "s390x")
    assert struct.unpack("<HBBI", little[:8]) == struct.unpack(">HBBI", big[:8]) == (0x20, 0, 0, 4)


KERNEL = """
import ctypes, os, struct, sys
program = bytes.fromhex(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(program, len(program))
filter = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0
for number in map(int, sys.argv[2:]):
    ctypes.set_errno(0)
    libc.syscall(number, -1, -1, -1, -1, -1, -1)
    print(number, ctypes.get_errno(), flush=True)
os._exit(0)
"""


def test_the_kernel_takes_the_program_and_refuses_what_the_policy_does():
    """On this machine's own kernel; calls that pass fail of their arguments, which are all -1."""
    arch = platform.host().oci
    chosen = policy.policy(arch)
    probes = {"uprobe", "uretprobe"}  # the kernel's own traps, which no filter ever sees
    refused = [n for name, n in syscalls.numbers(arch).items()
               if n <= syscalls.LAST_KNOWN and name not in chosen.allowed and name not in chosen.conditional
               and name not in chosen.absent and name not in probes]  # fmt: skip
    numbers = [str(n) for n in [*refused, 900, 1000, syscalls.numbers(arch)["openat2"]]]
    program = bpf.compile_filter(chosen, arch).hex()
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, program, *numbers], capture_output=True, text=True, check=True
    )
    found = dict(line.split() for line in done.stdout.splitlines())
    assert len(refused) > 100
    assert {found[str(n)] for n in refused} == {"1"}
    assert [found[n] for n in numbers[-3:]] == ["38"] * 3


class Library:
    """libseccomp: what OCI runtimes make filters with, as a second opinion."""

    def __init__(self):
        self.so = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self.so.seccomp_init.restype = ctypes.c_void_p

    def filter(self, default, rules):
        """The program of (action, number, tests); each test is (argument, mask, value)."""

        class Compare(ctypes.Structure):
            _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

        context = ctypes.c_void_p(self.so.seccomp_init(ctypes.c_uint32(default)))
        for action, number, tests in rules:
            compares = (Compare * len(tests))(*[Compare(arg, 7, mask, value) for arg, mask, value in tests])
            done = self.so.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(tests), compares)
            assert done == 0, (number, done)
        with tempfile.TemporaryFile() as out:
            assert self.so.seccomp_export_bpf(context, out.fileno()) == 0
            self.so.seccomp_release(context)
            out.seek(0)
            return out.read()


def test_libseccomp_makes_the_same_of_the_policy():
    """Number by number, and at every edge of the arguments that count."""
    arch = platform.host().oci
    chosen, numbers = policy.policy(arch), syscalls.numbers(arch)
    rules = [(bpf.RET_ALLOW, numbers[name], ()) for name in chosen.allowed if name in numbers]
    rules += [
        (bpf.RET_ALLOW, numbers[name], (match,))
        for name, tests in chosen.conditional.items() if name in numbers
        for match in tests
    ]  # fmt: skip
    theirs = Library().filter(bpf.RET_ERRNO | bpf.EPERM, rules)
    ours = bpf.compile_filter(chosen, arch)
    for name, number in numbers.items():
        if number > syscalls.LAST_KNOWN or name in chosen.absent:
            continue
        for match in chosen.conditional.get(name, (Match(0, 0, 0),)):
            for value in edges(match):
                arguments = [0] * 6
                arguments[match.argument] = value
                found = bpf.run(ours, arch, number, arguments)
                assert found == bpf.run(theirs, arch, number, arguments), (name, arguments)


def test_the_list_of_compat_as_runtimes_compile_it():
    arch = platform.host().oci
    numbers, written = syscalls.numbers(arch), compat.seccomp(arch)
    assert written["defaultAction"] == "SCMP_ACT_ALLOW"
    (row,) = written["syscalls"]
    rules = [(bpf.RET_ERRNO | row["errnoRet"], numbers[name], ()) for name in row["names"]]
    program = Library().filter(bpf.RET_ALLOW, rules)
    refused = {n for n in range(600) if bpf.run(program, arch, n) != bpf.RET_ALLOW}
    assert refused == {numbers[name] for name in compat.refused(arch)}
    assert {"bpf", "keyctl", "reboot", "perf_event_open"} <= set(row["names"])
