"""What the compat profile adds to upstream's semantics: only what a container cannot notice.

A container that holds no capability can do nothing with the calls and the files that are kept from
it here; without this, one that runs as root writes to the kernel's settings below /proc/sys, and
so names the program that the kernel starts when another one crashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import syscalls
from linuxkit.build.sandbox import strict
from linuxkit.spec.confinement import GROUPS
from linuxkit.spec.record import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from linuxkit.spec.model import ImageSettings

REFUSED = (
    "@bpf", "@clock", "@keyring", "@module", "@perf", "@raw-io", "@reboot", "@swap",
    "@userfaultfd", "acct", "lookup_dcookie", "open_by_handle_at", "quotactl", "quotactl_fd",
    "vhangup",
)  # fmt: skip
"""Calls that need a capability, or that no service makes."""

_ALSO = {
    "amd64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_ARM",),
    "s390x": ("SCMP_ARCH_S390",),
}


class Guard(NamedTuple):
    """What a container gets besides its settings."""

    seccomp: Mapping[str, object]  # as config.json has it


def guarded(given: ImageSettings, arch: str) -> tuple[ImageSettings, Guard | None]:
    """The settings with what is hidden, and the guard; as they are where capabilities are held.

    Nothing is changed where the entry has the keys itself, on an architecture without a table of
    system calls, or where the container sees the system's processes or has /proc or the control
    groups mounted by itself.
    """
    held = [*(given.capabilities or ()), *(given.ambient or ())]
    shown = given.pid not in {None, "", "new"} or any(
        mount.kind in {"proc", "cgroup"} for mount in given.mounts or ()
    )
    if any(name.lower() != "none" for name in held) or shown or arch not in syscalls.MACHINES:
        return given, None
    settings = replace(
        given,
        masked_paths=strict.MASKED if given.masked_paths is None else given.masked_paths,
        readonly_paths=strict.READONLY if given.readonly_paths is None else given.readonly_paths,
    )
    return settings, Guard(seccomp(arch))


def refused(arch: str) -> tuple[str, ...]:
    """The calls of :data:`REFUSED` that ``arch`` has, by name."""
    names = {name for word in REFUSED for name in GROUPS.get(word, word).split()}
    return tuple(sorted(names & syscalls.numbers(arch).keys()))


def seccomp(arch: str) -> Mapping[str, object]:
    """The filter as an OCI runtime compiles it; programs of older ABIs pass."""
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [syscalls.machine(arch).oci, *_ALSO.get(arch, ())],
        "syscalls": [
            {"names": list(refused(arch)), "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
        ],
    }
