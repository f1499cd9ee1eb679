"""The keys that widen the strict profile: system calls, families of addresses, ports.

What the profile allows without them is said by :mod:`linuxkit.build.sandbox.policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from linuxkit.base import syscalls
from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.oci import ref
from linuxkit.oci.ref import Ref  # noqa: TC001 - the decoder reads annotations
from linuxkit.spec.decode import Key
from linuxkit.spec.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPS: Mapping[str, str] = {
    "@aio": "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    "@bpf": "bpf",
    "@chown": "chown fchown fchownat lchown",
    "@clock": "adjtimex clock_adjtime clock_settime settimeofday",
    "@debug": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "@io-uring": "io_uring_enter io_uring_register io_uring_setup",
    "@keyring": "add_key keyctl request_key",
    "@module": "delete_module finit_module init_module",
    "@mount": "fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root "
    "umount2",
    "@mqueue": "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink",
    "@namespaces": "setns unshare",
    "@perf": "perf_event_open",
    "@raw-io": "ioperm iopl",
    "@reboot": "kexec_file_load kexec_load reboot",
    "@sched": "get_mempolicy ioprio_set mbind migrate_pages move_pages sched_setaffinity "
    "sched_setattr sched_setparam sched_setscheduler set_mempolicy setpriority",
    "@setuid": "setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid",
    "@swap": "swapoff swapon",
    "@sysv-ipc": "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt "
    "shmget",
    "@userfaultfd": "userfaultfd",
}
"""What ``seccomp.allow`` can name at once."""

FAMILIES: Mapping[str, int] = {
    "unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "alg": 38, "vsock": 40,
}  # fmt: skip
"""Families of addresses (linux/socket.h)."""

_EXTRA_FAMILIES = ("netlink", "packet", "alg", "vsock")
_PORTS = 65535
ANY = "any"


def call(text: str) -> str:
    """A system call, or a group of them.  Raises LK0208 without a place."""
    if text in GROUPS or text in syscalls.names():
        return text
    hint = suggestion(text, [*GROUPS, *syscalls.names()]) or f"groups: {', '.join(GROUPS)}"
    raise Error("LK0208", f'unknown system call "{printable(text)}"', hint=hint)


def any_port(text: str) -> str:
    """The word for all ports.  Raises LK0208 without a place."""
    if text == ANY:
        return text
    raise Error("LK0208", f'"{printable(text)}" is not a port', hint='write a number, or "any"')


class Seccomp(Record):
    """System calls that a strict container may make besides the usual ones, or only."""

    allow: Annotated[
        tuple[str, ...] | None,
        Key("System calls, or groups such as `@sysv-ipc`.", read=call),
    ] = None
    families: Annotated[
        tuple[str, ...] | None,
        Key("Families of sockets besides unix, inet and inet6.", choices=_EXTRA_FAMILIES),
    ] = None
    learned: Annotated[
        str | None,
        Key("Of all these calls only those in this file of `linuxkit learn`; `stock:NAME` is one "
            "that comes with the tool."),
    ] = None  # fmt: skip


class Machine(Record):
    """What the virtual machine of a service is made of; stock packages where nothing is said."""

    kernel: Annotated[Ref | None, Key("Its kernel: `@pkg:kernel-microvm`.", read=ref.parse)] = None
    init: Annotated[
        tuple[Ref, ...] | None,
        Key("Images of its root: `@pkg:init` and `@pkg:crun-static`.", read=ref.parse),
    ] = None
    monitor: Annotated[
        Ref | None, Key("The image of the program that runs it: `@pkg:vmm`.", read=ref.parse)
    ] = None
    memory: Annotated[
        int | None,
        Key("All of its memory, in MiB: the service's limit and 128 more.", least=64, most=1 << 22),
    ] = None


class Ports(Record):
    """The TCP ports that a strict container may use."""

    bind: Annotated[
        tuple[int | str, ...] | None,
        Key("Ports it may listen on, or `any`.", read=any_port, least=1, most=_PORTS),
    ] = None
    connect: Annotated[
        tuple[int | str, ...] | None,
        Key("Ports it may connect to, or `any`.", read=any_port, least=1, most=_PORTS),
    ] = None
