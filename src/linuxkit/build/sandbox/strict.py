"""The strict profile: what a container's settings come to when nothing is allowed by default.

Pure: settings in, settings out.  Each default gives way to the key of the YAML that is about it;
what a label asks for has been granted or refused before (:mod:`linuxkit.build.sandbox.grants`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.build.sandbox import bpf
from linuxkit.build.sandbox.policy import policy
from linuxkit.build.sandbox.ranges import SIZE
from linuxkit.build.sandbox.record import Record
from linuxkit.spec.check import is_bind
from linuxkit.spec.confinement import ANY, Ports, Seccomp
from linuxkit.spec.parts import IdMapping, Mount
from linuxkit.spec.record import replace
from linuxkit.spec.resources import Cpu, DeviceRule, Memory, Pids, Resources
from linuxkit.spec.text import CAPABILITIES, Bind, Rlimit, Tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from linuxkit.build.sandbox.learned import Lesson
    from linuxkit.build.sandbox.policy import Policy
    from linuxkit.spec.model import ImageSettings

HELPER = "usr/lib/linuxkit/confine"
"""The program that confines further, in the system's root."""

INSIDE = "/dev/.confine"
"""Where a container has that program and its record."""

LEARNER = "usr/lib/linuxkit/learn"
"""The program that counts system calls, in the root of a system that learns."""

LEARNED = "/run/learned"
"""Where PID 1 finds what it has counted: a folder for each container."""

RECORD = "confine.record"
"""The record's name in the container's folder."""

COUNTING = (f"{INSIDE}/learn", f"{INSIDE}/learned")
"""In a container that learns: the program that counts, and the folder that it writes to."""

UNIFIED = {"memory.oom.group": "1"}
"""Files of control group v2 that OCI has no word for: out of memory, all of the container ends."""

MEMORY_BYTES = 128 << 20
PROCESSES = 64
CPU_PERIOD_US = 100_000
_TMPFS_BYTES = "16m"
_TMPFS_INODES = "4096"

RLIMITS = (("RLIMIT_CORE", 0), ("RLIMIT_MEMLOCK", 65536), ("RLIMIT_NOFILE", 1024))
"""Limits of getrlimit(2), soft and hard."""
_HOST = frozenset({"host", "root"})

# What Docker hides and protects; it is there only when all of /proc or /sys is asked for.
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# An option that keeps the one before it from being added.
_OPPOSITES = (("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"))
_PROPAGATION = frozenset(
    word + kind for word in ("", "r") for kind in ("private", "shared", "slave", "unbindable")
)


class Sandbox(NamedTuple):
    """What of the confinement settings cannot say."""

    first_id: int  # of the container's range of ids; 0 when it shares those of the system
    record: Record
    learns: bool = False  # whether its system calls are counted

    @property
    def command(self) -> tuple[str, ...]:
        """What comes before the container's own program."""
        counting = COUNTING if self.learns else ()
        return (f"{INSIDE}/confine", f"{INSIDE}/record", *counting)


def default_mounts() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Target, file system and options of what every confined container has; no /sys among it."""
    quiet = ("nosuid", "noexec")
    yield "/dev", "tmpfs", (*quiet, "strictatime", "mode=755", "size=64k", "ro")
    yield "/dev/pts", "devpts", (*quiet, "newinstance", "ptmxmode=0666", "mode=0620")
    yield "/proc", "proc", (*quiet, "nodev", "hidepid=invisible", "subset=pid")


def settings(given: ImageSettings, name: str, first_id: int) -> ImageSettings:
    """``given`` with the profile's value for everything that it leaves open."""
    own_ids = first_id and IdMapping(host_id=first_id, container_id=0, size=SIZE)
    mappings = (own_ids,) if own_ids else None
    return replace(
        given,
        net=given.net or "new",
        ipc=given.ipc or "new",
        uts=given.uts or "new",
        userns=given.userns or "new",
        hostname=given.hostname or ("" if given.uts in _HOST else name[:64]),
        readonly=True if given.readonly is None else given.readonly,
        no_new_privileges=True,
        oom_score_adj=given.oom_score_adj or 0,
        masked_paths=MASKED if given.masked_paths is None else given.masked_paths,
        readonly_paths=READONLY if given.readonly_paths is None else given.readonly_paths,
        rootfs_propagation=given.rootfs_propagation or "private",
        uid_mappings=mappings,
        gid_mappings=mappings,
        tmpfs=tuple(_tmpfs(each) for each in given.tmpfs or ()),
        binds=tuple(_bind(each) for each in given.binds or ()),
        mounts=tuple(_mount(each) for each in given.mounts or ()),
        rlimits=_rlimits(given.rlimits or ()),
        resources=_resources(given.resources or Resources()),
    )


def sandbox(
    confined: ImageSettings,
    arch: str,
    *,
    first_id: int,
    landlock: str,
    lesson: Lesson | None = None,
    learns: bool = False,
) -> Sandbox:
    """What the helper does for a container with the settings that :func:`settings` made.

    ``landlock`` is the entry's key, ``lesson`` what its calls are narrowed to; one that ``learns``
    is not narrowed, and has its calls counted.  Raises LK0750, LK0751 and LK0759.
    """
    seccomp, ports = confined.seccomp or Seccomp(), confined.ports or Ports()
    capabilities = [*(confined.capabilities or ()), *(confined.ambient or ())]
    if any(name.lower() == "all" for name in capabilities):
        capabilities = list(CAPABILITIES)
    calls = policy(
        arch,
        allow=seccomp.allow or (),
        families=seccomp.families or (),
        capabilities=capabilities,
    )
    if lesson and not learns:
        calls = _narrowed(calls, lesson)
    written, run = _writable(confined)
    if learns:
        written, run = (*written, *COUNTING), (*run, COUNTING[0])
    record = Record(
        "" if landlock == "off" else landlock,
        written,
        run,
        _numbers(ports.bind),
        _numbers(ports.connect),
        bool(confined.jit),
        bpf.compile_filter(calls, arch),
        tuple((each.name, each.soft, each.hard) for each in confined.rlimits or ()),
    )
    return Sandbox(first_id, record, learns)


def _narrowed(calls: Policy, lesson: Lesson) -> Policy:
    unknown = sorted(lesson.exact - calls.known)
    if unknown:
        raise Error(
            "LK0759",
            f"{lesson.name} has calls that the profile does not allow: {', '.join(unknown)}",
            hint="grant them with `seccomp.allow`, as when it was recorded, or record it again",
            where=lesson.where,
        )
    return calls.narrowed(lesson.calls)


def _numbers(ports: Iterable[int | str] | None) -> tuple[int, ...] | None:
    listed = tuple(ports or ())
    if ANY in listed:
        return None
    return tuple(sorted({port for port in listed if isinstance(port, int)}))


def _writable(confined: ImageSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where the container may write, and where of that it may run programs."""
    places = [(each.destination, each.options) for each in confined.tmpfs or ()]
    places += [(each.destination, each.options) for each in confined.binds or ()]
    for mount in confined.mounts or ():
        asked = "rw" in (mount.options or ()) if mount.kind == "proc" else mount.kind != "devpts"
        if asked:
            places.append((mount.target or "", mount.options))
    if not confined.readonly:  # a writable root is all of it
        places.append(("/", ("exec",)))
    written = sorted({place for place, options in places if "ro" not in (options or ())})
    run = {place for place, options in places if "exec" in (options or ())}
    return tuple(written), tuple(place for place in written if place in run)


def _tmpfs(tmpfs: Tmpfs) -> Tmpfs:
    given = tmpfs.options or ()
    keys = {option.partition("=")[0] for option in given}
    limits = (("size", _TMPFS_BYTES), ("nr_inodes", _TMPFS_INODES))
    added = [f"{key}={value}" for key, value in limits if key not in keys]
    return Tmpfs(tmpfs.destination, (*given, *_harmless(given), *added))


def _bind(bind: Bind) -> Bind:
    given = bind.options or ()
    return Bind(bind.source, bind.destination, (*given, *_bound(given)))


def _bound(given: tuple[str, ...]) -> Iterator[str]:
    if "rw" not in given and "ro" not in given:
        yield "ro"
    if _PROPAGATION.isdisjoint(given):
        yield "rprivate"
    yield from _harmless(given)


def _mount(mount: Mount) -> Mount:
    given = mount.options or ()
    if not is_bind(mount):
        return replace(mount, options=(*given, *_harmless(given)))
    return replace(mount, options=(*given, *_bound(given)))


def _harmless(given: tuple[str, ...]) -> Iterator[str]:
    """No set-user-id programs, no devices, no programs at all, unless that is asked for."""
    for option, opposite in _OPPOSITES:
        if option not in given and opposite not in given:
            yield option


def _rlimits(given: tuple[Rlimit, ...]) -> tuple[Rlimit, ...]:
    named = {each.name for each in given}
    added = (
        Rlimit(name, value, value, f"{name[7:].lower()},{value},{value}")
        for name, value in RLIMITS
        if name not in named
    )
    return (*given, *added)


def _resources(given: Resources) -> Resources:
    memory = given.memory or Memory()
    limit = MEMORY_BYTES if memory.limit is None else memory.limit
    swap = limit if memory.swap is None else memory.swap  # together with memory: none besides
    cpu = given.cpu or Cpu()
    return replace(
        given,
        devices=(DeviceRule(allow=False, access="rwm"), *(given.devices or ())),
        memory=replace(memory, limit=limit, swap=swap),
        cpu=replace(
            cpu,
            quota=CPU_PERIOD_US if cpu.quota is None else cpu.quota,
            period=CPU_PERIOD_US if cpu.period is None else cpu.period,
        ),
        pids=given.pids or Pids(limit=PROCESSES),
    )
