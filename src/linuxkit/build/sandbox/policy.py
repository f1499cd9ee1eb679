"""Which system calls a confined program may make: the one source for every form of the filter.

The list follows a rule, not taste: what Docker's default profile allows without a condition, of
that what systemd counts as ``@system-service`` and neither as ``@privileged`` nor ``@resources``,
without System V IPC, POSIX message queues, the old asynchronous I/O and what moves memory between
processes; besides it what confines a program further.  Groups name what can be had back.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import syscalls
from linuxkit.spec.confinement import FAMILIES, GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ALLOWED = """
accept accept4 access alarm arch_prctl bind brk cachestat capget chdir clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir
fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area
getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl ioprio_get kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek
lsetxattr lstat madvise map_shadow_stack membarrier memfd_create mlock
mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap nanosleep newfstatat
pause pidfd_open pidfd_send_signal pipe pipe2 poll ppoll prctl pread64 preadv
preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
recvfrom recvmmsg recvmsg removexattr rename renameat renameat2 restart_syscall riscv_flush_icache
riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_yield
seccomp select sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address
setitimer setpgid setsid setsockopt setxattr shutdown sigaltstack signalfd signalfd4 sigreturn
splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat
utimes vfork wait4 waitid write writev
"""

_BY_CAPABILITY: Mapping[str, str] = {
    "CAP_BPF": "@bpf",
    "CAP_CHOWN": "@chown",
    "CAP_PERFMON": "@perf",
    "CAP_SETGID": "@setuid",
    "CAP_SETUID": "@setuid",
    "CAP_SYS_ADMIN": "@mount @namespaces sethostname setdomainname",
    "CAP_SYS_BOOT": "@reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "@module",
    "CAP_SYS_NICE": "@sched",
    "CAP_SYS_PTRACE": "@debug",
    "CAP_SYS_RAWIO": "@raw-io",
    "CAP_SYS_RESOURCE": "setrlimit",
    "CAP_SYS_TIME": "@clock",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}
"""The calls that a capability is of no use without: granting it grants them."""

_USUAL_FAMILIES = ("unix", "inet", "inet6")
_FAMILY_BY_CAPABILITY = {"CAP_NET_ADMIN": ("netlink",), "CAP_NET_RAW": ("packet", "netlink")}

_LOW = 0xFFFF_FFFF
_SET_ID = 0o6000
_MAKES_A_FILE = 0o20000100  # O_CREAT and O_TMPFILE: without them there is no mode
_NEW_NAMESPACES = 0x7E02_0000  # CLONE_NEW… of clone(2) but for the time namespace


class Action(enum.Enum):
    """What becomes of a call."""

    ALLOW = "allow"
    REFUSE = "refuse"  # EPERM
    ABSENT = "absent"  # ENOSYS: as if the kernel were older
    KILL = "kill"


class Match(NamedTuple):
    """Whether the bits ``mask`` of an argument are ``value``."""

    argument: int
    mask: int
    value: int

    def holds(self, arguments: tuple[int, ...]) -> bool:
        """Whether it is so for a call with these arguments."""
        return arguments[self.argument] & self.mask == self.value


class Policy(NamedTuple):
    """Calls that are always allowed, and those that are when one of their tests holds."""

    allowed: frozenset[str]
    conditional: Mapping[str, tuple[Match, ...]]
    absent: frozenset[str]

    def decide(self, name: str, arguments: tuple[int, ...]) -> Action:
        """What becomes of a known call."""
        tests = self.conditional.get(name, ())
        if name in self.allowed or any(match.holds(arguments) for match in tests):
            return Action.ALLOW
        return Action.ABSENT if name in self.absent else Action.REFUSE

    @property
    def known(self) -> frozenset[str]:
        """The calls that can be made at all."""
        return self.allowed.union(self.conditional)

    def narrowed(self, calls: frozenset[str]) -> Policy:
        """Without what is not among ``calls``; what holds for the others stays."""
        tests = {name: tests for name, tests in self.conditional.items() if name in calls}
        return Policy(self.allowed & calls, tests, self.absent)


# Files with the set-user-id or set-group-id bit are not made.
_PLAIN_MODES: Mapping[str, tuple[Match, ...]] = {
    **{name: (Match(1, _SET_ID, 0),) for name in ("chmod", "creat", "fchmod", "mkdir", "mknod")},
    **{name: (Match(2, _SET_ID, 0),) for name in ("fchmodat", "fchmodat2", "mkdirat", "mknodat")},
    "open": (Match(1, _MAKES_A_FILE, 0), Match(2, _SET_ID, 0)),
    "openat": (Match(2, _MAKES_A_FILE, 0), Match(3, _SET_ID, 0)),
}


def policy(
    arch: str,
    *,
    allow: Iterable[str] = (),
    families: Iterable[str] = (),
    capabilities: Iterable[str] = (),
) -> Policy:
    """The policy of a confined program on ``arch`` with what it is granted.

    ``allow`` holds names of calls and of groups, ``families`` of families of addresses, as
    :mod:`linuxkit.spec.confinement` has them.  Raises LK0750.
    """
    held = tuple(capabilities)
    words = [*allow, *(w for c in held for w in _BY_CAPABILITY.get(c, "").split())]
    words += ["capset"] if held else []  # to give capabilities up
    allowed = set(_ALLOWED.split())
    for word in words:
        allowed.update(GROUPS[word].split() if word in GROUPS else (word,))
    known = [*_USUAL_FAMILIES, *families]
    known += [family for c in held for family in _FAMILY_BY_CAPABILITY.get(c, ())]
    sockets = tuple(Match(0, _LOW, FAMILIES[family]) for family in dict.fromkeys(known))
    conditional = {
        "personality": (Match(0, _LOW, 0), Match(0, _LOW, _LOW)),
        "socket": sockets,
        "socketpair": sockets,
    }
    conditional.update(_PLAIN_MODES)
    absent = {"clone3", "openat2"}  # flags out of sight, in memory; every libc falls back
    if "unshare" in allowed:
        allowed |= {"clone", "clone3"}
    else:
        flags = syscalls.machine(arch).clone_flags
        conditional["clone"] = (Match(flags, _NEW_NAMESPACES, 0),)
    return Policy(
        frozenset(allowed),
        {name: tests for name, tests in conditional.items() if name not in allowed},
        frozenset(absent - allowed),
    )
