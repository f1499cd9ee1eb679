"""The exposure of a container, on the scale of ``systemd-analyze security`` (systemd 252).

Each check has the weight that systemd gives it, and asks of a container what systemd asks of a
unit: 0 is nothing, 10 the whole machine.  Where a container has another means to the same end (a
user namespace for ``User=``, lists of ports for lists of addresses) that means counts.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from linuxkit.build.audit.posture import Posture


class Check(NamedTuple):
    """One question; ``badness`` answers with 0 (well) to ``most``, None where it is idle."""

    name: str
    weight: int
    most: int
    badness: Callable[[Posture], int | None]


class Finding(NamedTuple):
    """A check that is not well, and what it adds to the exposure."""

    name: str
    exposure: float


class Exposure(NamedTuple):
    """The whole: ``score`` from 0 to 10, and what it is made of, the worst first."""

    score: float
    findings: tuple[Finding, ...]


def exposure(posture: Posture) -> Exposure:
    """Rate a container.  Raises LK0752 for a damaged filter."""
    answers = [(check, check.badness(posture)) for check in CHECKS]
    rated = [(check, answer) for check, answer in answers if answer is not None]
    total = sum(check.weight for check, _ in rated)
    costs = [(check.name, -(-answer * check.weight // check.most)) for check, answer in rated]
    whole = sum(cost for _, cost in costs)
    worst = sorted((cost for cost in costs if cost[1]), key=lambda cost: -cost[1])
    # systemd rounds up to a hundredth of its scale
    score = -(-whole * 100 // total) / 10
    return Exposure(score, tuple(Finding(name, round(10 * c / total, 2)) for name, c in worst))


def word(score: float) -> str:
    """How systemd calls a score."""
    steps = ((1, "perfect"), (2, "safe"), (5, "ok"), (7, "medium"), (9, "exposed"))
    return next((name for below, name in steps if score < below), "unsafe")


# --- what is asked ---


def _when(bad: Callable[[Posture], bool], most: int = 1) -> Callable[[Posture], int]:
    return lambda posture: most if bad(posture) else 0


def _holds(*names: str) -> Callable[[Posture], int]:
    """Bad when it has any of these capabilities; a final * stands for the rest of a name."""

    def held(posture: Posture) -> bool:
        return any(
            name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
            for name in posture.capabilities
            for wanted in names
        )

    return _when(held)


def _without(kind: str) -> Callable[[Posture], int]:
    return _when(lambda posture: kind not in posture.private)


def _passes(*calls: str) -> Callable[[Posture], int]:
    """Bad when any of these calls passes the filters, worst when there are none."""

    def rate(posture: Posture) -> int:
        if not posture.filtered:
            return 10
        return 9 if any(posture.may(call) for call in calls) else 0

    return rate


def _socket(family: int) -> Callable[[Posture], int]:
    return _when(lambda posture: posture.may("socket", (family, 1, 0, 0, 0, 0)))


def _other_sockets(posture: Posture) -> int:
    usual = {1, 2, 10, 16, 17}
    others = (family for family in range(46) if family not in usual)
    return int(any(posture.may("socket", (family, 1, 0, 0, 0, 0)) for family in others))


def _namespace(flag: int) -> Callable[[Posture], int]:
    def may(posture: Posture) -> bool:
        s390 = (0, flag, 0, 0, 0, 0)
        arguments = s390 if posture.arch == "s390x" else (flag, 0, 0, 0, 0, 0)
        return posture.may("clone", arguments) or posture.may("unshare", (flag, 0, 0, 0, 0, 0))

    return _when(may)


def _shares(*places: str) -> Callable[[Posture], bool]:
    """Whether it sees a place of the system, through a bind of it or of what it is in."""

    def sees(posture: Posture) -> bool:
        bound = posture.binds(writable=False)
        return any(_covers(mount.source, place) for mount in bound for place in places)

    return sees


def _covers(source: str, place: str) -> bool:
    above = posixpath.normpath(source).rstrip("/")
    return f"{place}/".startswith(f"{above}/") or f"{above}/".startswith(f"{place}/")


def _devices(posture: Posture) -> int:
    if posture.all_devices:
        return 10
    return 5 if posture.devices else 0


def _addresses(posture: Posture) -> int:
    if "network" in posture.private:
        return 0
    record = posture.record
    listed = record and record.landlock and record.connect is not None and record.bind is not None
    return 5 if listed else 10


def _groups(posture: Posture) -> int | None:
    return None if posture.root else int(bool(posture.groups))


def _processes(posture: Posture) -> int:
    return 0 if "pid" in posture.private else 3


def _whole_proc(posture: Posture) -> bool:
    mount = posture.mounted("/proc")
    return mount is not None and "subset=pid" not in mount.options


def _tunables(posture: Posture) -> bool:
    """Root may write below /proc/sys, also without any capability, where that is not prevented."""
    writable = _whole_proc(posture) and "/proc/sys" not in posture.protected
    return (posture.root and writable) or _shares("/proc", "/sys")(posture)


def _cgroups(posture: Posture) -> bool:
    mount = posture.mounted("/sys/fs/cgroup")
    own = mount is not None and "ro" not in mount.options
    return own or any(_covers(m.source, "/sys/fs/cgroup") for m in posture.binds(writable=True))


def _clock(posture: Posture) -> bool:
    return "CAP_SYS_TIME" in posture.capabilities or posture.all_devices


def _logs(posture: Posture) -> bool:
    return "CAP_SYSLOG" in posture.capabilities or posture.all_devices


def _modules(posture: Posture) -> bool:
    return "CAP_SYS_MODULE" in posture.capabilities


def _set_id(posture: Posture) -> bool:
    return posture.may("fchmod", (0, 0o4755, 0, 0, 0, 0))


def _personality(posture: Posture) -> bool:
    return posture.may("personality", (0x0040000, 0, 0, 0, 0, 0))


def _code(posture: Posture) -> bool:
    return posture.record is None or posture.record.jit


def _real_time(posture: Posture) -> bool:
    return posture.may("sched_setscheduler")


_PRIVILEGED = (
    "_sysctl", "acct", "bpf", "capset", "chown", "chroot", "fanotify_init", "fanotify_mark",
    "fchown", "fchownat", "lchown", "nfsservctl", "open_by_handle_at", "pivot_root", "quotactl",
    "quotactl_fd", "setdomainname", "setfsuid", "setgroups", "sethostname", "setresuid",
    "setreuid", "setuid", "vhangup",
)  # fmt: skip
_RESOURCES = (
    "ioprio_set", "mbind", "migrate_pages", "move_pages", "sched_setaffinity", "sched_setattr",
    "sched_setparam", "sched_setscheduler", "set_mempolicy", "setpriority", "setrlimit",
)  # fmt: skip
_OBSOLETE = ("_sysctl", "create_module", "lookup_dcookie", "sysfs", "uselib", "ustat")

_NET = "CapabilityBoundingSet=~CAP_NET_(BIND_SERVICE|BROADCAST|RAW)"
_DAC = "CapabilityBoundingSet=~CAP_(DAC_*|FOWNER|IPC_OWNER)"
_OWNERS = "CapabilityBoundingSet=~CAP_(CHOWN|FSETID|SETFCAP)"
_IDS = "CapabilityBoundingSet=~CAP_SET(UID|GID|PCAP)"
_USE = "CapabilityBoundingSet=~CAP_SYS_(NICE|RESOURCE)"


def _simple() -> Iterator[tuple[str, int, str]]:
    """Checks of one capability: its name without prefix, and the weight."""
    for name, weight in (
        ("SYS_ADMIN", 1500), ("SYS_PTRACE", 1500), ("SYS_TIME", 1000), ("NET_ADMIN", 1000),
        ("SYS_RAWIO", 1000), ("SYS_MODULE", 1000), ("AUDIT_*", 500), ("SYSLOG", 500),
        ("MKNOD", 500), ("KILL", 500), ("SYS_BOOT", 100), ("MAC_*", 100),
        ("LINUX_IMMUTABLE", 75), ("IPC_LOCK", 50), ("SYS_CHROOT", 50), ("BLOCK_SUSPEND", 25),
        ("WAKE_ALARM", 25), ("LEASE", 25), ("SYS_TTY_CONFIG", 25), ("BPF", 25),
        ("SYS_PACCT", 25),
    ):  # fmt: skip
        yield f"CapabilityBoundingSet=~CAP_{name}", weight, f"CAP_{name}"


CHECKS = (
    Check("User=/DynamicUser=", 2000, 10, _when(lambda p: p.root, 10)),
    Check("SupplementaryGroups=", 200, 1, _groups),
    Check("PrivateDevices=", 1000, 1, _when(lambda p: bool(_devices(p)) or _shares("/dev")(p))),
    Check("PrivateMounts=", 1000, 1, _without("mount")),
    Check("PrivateNetwork=", 2500, 1, _without("network")),
    Check("PrivateTmp=", 1000, 1, _when(_shares("/tmp"))),  # noqa: S108 - what is looked for
    Check("PrivateUsers=", 1000, 1, _without("user")),
    Check("ProtectControlGroups=", 1000, 1, _when(_cgroups)),
    Check("ProtectKernelModules=", 1000, 1, _when(_modules)),
    Check("ProtectKernelTunables=", 1000, 1, _when(_tunables)),
    Check("ProtectKernelLogs=", 1000, 1, _when(_logs)),
    Check("ProtectClock=", 1000, 1, _when(_clock)),
    Check("ProtectHome=", 1000, 10, _when(_shares("/root", "/home"), 10)),
    Check("ProtectHostname=", 50, 1, _without("uts")),
    Check("ProtectSystem=", 1000, 10, _when(lambda p: not p.readonly, 10)),
    Check("RootDirectory=/RootImage=", 200, 1, _when(lambda _: False)),
    Check("LockPersonality=", 100, 1, _when(_personality)),
    Check("MemoryDenyWriteExecute=", 100, 1, _when(_code)),
    Check("NoNewPrivileges=", 1000, 1, _when(lambda p: not p.no_new_privileges)),
    *(Check(name, weight, 1, _holds(capability)) for name, weight, capability in _simple()),
    Check(_IDS, 1500, 1, _holds("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")),
    Check(_OWNERS, 1000, 1, _holds("CAP_CHOWN", "CAP_FSETID", "CAP_SETFCAP")),
    Check(_DAC, 1000, 1, _holds("CAP_DAC_*", "CAP_FOWNER", "CAP_IPC_OWNER")),
    Check(_USE, 500, 1, _holds("CAP_SYS_NICE", "CAP_SYS_RESOURCE")),
    Check(_NET, 500, 1, _holds("CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW")),
    Check("UMask=", 100, 10, _when(lambda _: True, 10)),  # OCI runtimes leave it at 0022
    Check("KeyringMode=", 1000, 1, _when(lambda _: False)),  # they give each its own
    Check("ProtectProc=", 1000, 3, _processes),
    Check("ProcSubset=", 10, 1, _when(_whole_proc)),
    Check("NotifyAccess=", 1000, 1, _when(lambda _: False)),
    Check("RemoveIPC=", 100, 1, lambda p: None if p.root else _without("ipc")(p)),
    Check("Delegate=", 100, 1, _when(lambda _: False)),
    Check("RestrictRealtime=", 500, 1, _when(_real_time)),
    Check("RestrictSUIDSGID=", 1000, 1, _when(_set_id)),
    Check("RestrictNamespaces=~user", 1500, 1, _namespace(0x10000000)),
    Check("RestrictNamespaces=~mnt", 500, 1, _namespace(0x00020000)),
    Check("RestrictNamespaces=~ipc", 500, 1, _namespace(0x08000000)),
    Check("RestrictNamespaces=~pid", 500, 1, _namespace(0x20000000)),
    Check("RestrictNamespaces=~cgroup", 500, 1, _namespace(0x02000000)),
    Check("RestrictNamespaces=~uts", 100, 1, _namespace(0x04000000)),
    Check("RestrictNamespaces=~net", 500, 1, _namespace(0x40000000)),
    Check("RestrictAddressFamilies=~AF_(INET|INET6)", 1500, 1, _socket(2)),
    Check("RestrictAddressFamilies=~AF_UNIX", 25, 1, _socket(1)),
    Check("RestrictAddressFamilies=~AF_NETLINK", 200, 1, _socket(16)),
    Check("RestrictAddressFamilies=~AF_PACKET", 1000, 1, _socket(17)),
    Check("RestrictAddressFamilies=~…", 1250, 1, _other_sockets),
    Check("SystemCallArchitectures=", 1000, 10, _when(lambda p: p.record is None, 10)),
    Check("SystemCallFilter=~@swap", 1000, 10, _passes("swapon", "swapoff")),
    Check("SystemCallFilter=~@obsolete", 250, 10, _passes(*_OBSOLETE)),
    Check("SystemCallFilter=~@clock", 1000, 10, _passes(
        "adjtimex", "clock_adjtime", "clock_settime", "settimeofday")),
    Check("SystemCallFilter=~@cpu-emulation", 250, 10, _passes("modify_ldt")),
    Check("SystemCallFilter=~@debug", 1000, 10, _passes(
        "lookup_dcookie", "perf_event_open", "pidfd_getfd", "ptrace")),
    Check("SystemCallFilter=~@mount", 1000, 10, _passes(
        "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr",
        "move_mount", "open_tree", "pivot_root", "umount2")),
    Check("SystemCallFilter=~@module", 1000, 10, _passes(
        "delete_module", "finit_module", "init_module")),
    Check("SystemCallFilter=~@raw-io", 1000, 10, _passes("ioperm", "iopl")),
    Check("SystemCallFilter=~@reboot", 1000, 10, _passes(
        "kexec_file_load", "kexec_load", "reboot")),
    Check("SystemCallFilter=~@privileged", 700, 10, _passes(*_PRIVILEGED)),
    Check("SystemCallFilter=~@resources", 700, 10, _passes(*_RESOURCES)),
    Check("IPAddressDeny=", 1000, 10, _addresses),
    Check("DeviceAllow=", 1000, 10, _devices),
    Check("AmbientCapabilities=", 500, 1, _when(lambda p: bool(p.ambient))),
)  # fmt: skip
"""All of systemd 252's, by its names."""
