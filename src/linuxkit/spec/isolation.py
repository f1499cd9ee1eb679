"""Services with ``isolation: vm``: each becomes a system of its own, and what runs it.

Pure.  The system is made of this tool's parts: a small kernel, the init, the OCI runtime, and the
one service as it was written.  What runs it is a strict container of the monitor's package, which
has the service's place, name and supervision in the outer system.  The descriptors 3 and 4 that
QEMU is told of are made by ``guest/vmm``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.spec import text
from linuxkit.spec.check import ROOT_NAMES, is_bind
from linuxkit.spec.confinement import ANY, Machine, Ports
from linuxkit.spec.model import Kernel, Service, Spec, Step
from linuxkit.spec.netfiles import RESOLVER
from linuxkit.spec.parts import Device
from linuxkit.spec.record import replace
from linuxkit.spec.resources import Cpu, Memory, Resources
from linuxkit.spec.supervision import Ready, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from linuxkit.base.where import Where
    from linuxkit.oci.ref import Ref
    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import File

    Finder = Callable[[str, Where | None], Ref]

KVM = "/dev/kvm"
PLACE = "/machine"
"""Where the monitor finds ``kernel`` and ``initrd``."""

SERVICE_MIB = 128
"""What a strict service may use where it says nothing (:mod:`linuxkit.build.sandbox.strict`)."""

_SYSTEM_MIB = 128  # for the machine's kernel and its root, which is in memory
_MONITOR_MIB = 64  # for QEMU itself
_GRACE_MS = 10_000
_MONITOR_GRACE_MS = 10_000  # for the machine, after its service
_CPU_PERIOD_US = 100_000
_LOW_PORTS = "CAP_NET_BIND_SERVICE"
_CMDLINE = "console=ttyS0 quiet panic=-1 reboot=t no_timer_check"
_RESOLV = "/etc/resolv.conf"
_NETWORKS = frozenset({None, "new", "none", "host"})


def folder(name: str) -> str:
    """Where the parts of a service's machine are in the outer root."""
    return f"containers/services/{name}/machine"


def isolated(spec: Spec, find: Finder) -> Spec:
    """``spec`` with a monitor in the place of each service that is to have its own machine.

    ``find`` gives the reference of a stock package, for a place.  Raises, all at once, LK0208 for
    what such a service cannot have.
    """
    errors: list[Error] = []
    for index, entry in enumerate(spec.services):
        for path, problem in _problems(spec, entry):
            problem.message = f"{entry.name}: {problem.message}"
            problem.where = spec.where(("services", index, *path))
            errors.append(problem)
    raise_all(errors)
    if not any(entry.isolation == "vm" for entry in spec.services):
        return spec
    made = (
        _monitored(spec, entry, lambda name, n=index: find(name, spec.where(("services", n))))  # type: ignore[misc]
        if entry.isolation == "vm"
        else entry
        for index, entry in enumerate(spec.services)
    )
    return replace(spec, services=tuple(made))


def _problems(spec: Spec, entry: Service) -> Iterator[tuple[Path, Error]]:
    if entry.isolation != "vm":
        if entry.machine is not None:
            message = '"machine" has no effect without `isolation: vm`'
            yield ("machine",), Error("LK0208", message, hint="add that, or leave it out")
        return
    if (entry.profile or spec.profile) != "strict":
        message = "`isolation: vm` needs the strict profile"
        yield ("isolation",), _refused(message, "profile: strict")
    if entry.net not in _NETWORKS:
        yield ("net",), _refused("a machine of its own cannot join a network", "net: host")
    if ANY in ((entry.ports or Ports()).bind or ()):
        message = "of a machine of its own the ports are passed on one by one"
        yield ("ports", "bind"), _refused(message, "bind: [8080]")
    if _limit_mib(entry) is None and not (entry.machine or Machine()).memory:
        message = "a machine of its own needs an amount of memory"
        yield ("resources", "memory", "limit"), _refused(message, "machine: {memory: 512}")
    if entry.secrets:
        message = "secrets do not reach a machine of its own"
        yield ("secrets",), Error("LK0208", message, hint="let it fetch them over the network")
    yield from _shared(spec, entry)
    for key in ("uid", "gid"):
        value = getattr(entry, key)
        if isinstance(value, str) and value not in ROOT_NAMES | {entry.name}:
            message = "in a machine of its own there is no container of that name"
            yield (key,), _refused(message, f"{key}: 100")


def _shared(spec: Spec, entry: Service) -> Iterator[tuple[Path, Error]]:
    """Folders of the outer system, which the machine does not see."""
    hint = "bind what `files:` makes; let everything else come over the network"
    for key, binds in (("binds", entry.binds), ("binds.add", entry.binds_add)):
        for index, bind in enumerate(binds or ()):
            if bind.source != _RESOLV and not any(_copied(spec, bind.source)):
                message = f'"{printable(bind.source)}" is not seen from a machine of its own'
                yield (key, index), Error("LK0208", message, hint=hint)
    for index, mount in enumerate(entry.mounts or ()):
        if is_bind(mount):
            message = "a mount binds nothing in a machine of its own"
            yield ("mounts", index), Error("LK0208", message, hint=hint)


def _refused(message: str, line: str) -> Error:
    return Error("LK0208", message, hint=f"write `{line}`")


def _copied(spec: Spec, source: str) -> Iterator[File]:
    """The files of the outer system at a bind's source and below it."""
    place = source.strip("/")
    for file in spec.files:
        path = file.path.strip("/")
        if file.metadata is None and (path == place or path.startswith(f"{place}/")):
            yield file


def _limit_mib(entry: Service) -> int | None:
    """What the service may use; None for any amount."""
    memory = (entry.resources or Resources()).memory or Memory()
    if memory.limit is None:
        return SERVICE_MIB
    return None if memory.limit < 0 else -(-memory.limit >> 20)


def _monitored(spec: Spec, entry: Service, find: Callable[[str], Ref]) -> Service:
    given = entry.machine or Machine()
    machine = replace(
        given,
        kernel=given.kernel or find("kernel-microvm"),
        init=given.init or (find("init"), find("crun-static")),
        monitor=given.monitor or find("vmm"),
        memory=given.memory or (_limit_mib(entry) or 0) + _SYSTEM_MIB,
    )
    network = _network(find("udhcpc")) if entry.net == "host" else ()
    return _monitor(entry, machine, _inner(spec, entry, machine, network))


def _inner(spec: Spec, entry: Service, machine: Machine, network: tuple[Step, ...]) -> Spec:
    sources = [bind.source for bind in (*(entry.binds or ()), *(entry.binds_add or ()))]
    files = dict.fromkeys(file for source in sources for file in _copied(spec, source))
    resources, cpu = entry.resources or Resources(), (entry.resources or Resources()).cpu
    service = replace(
        entry,
        isolation=None, machine=None, after=None, requires=None, backoff=None, critical=None,
        restart="no",
        resources=replace(resources, cpu=cpu and replace(cpu, cpus=None, mems=None)),
    )  # fmt: skip
    return Spec(
        kernel=Kernel(image=machine.kernel, cmdline=_CMDLINE),
        init=machine.init or (),
        onboot=network,
        services=(service,),
        files=tuple(files),
        profile="strict",
    )


def _network(image: Ref) -> tuple[Step, ...]:
    """The address that QEMU's own network gives, and its name server."""
    step = Step(
        name="network",
        image=image,
        command=("/usr/bin/udhcpc.sh", "-1", "eth0"),
        capabilities=("CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"),
        binds=(text.bind(f"{RESOLVER}:{RESOLVER}:rw"),),
        tmpfs=(text.tmpfs("/tmp"),),  # noqa: S108 - in the container
        net="host",
        userns="host",  # the kernel asks who owns the network's namespace
        readonly=True,
    )
    return (step,)


def _monitor(entry: Service, machine: Machine, inner: Spec) -> Service:
    resources = entry.resources or Resources()
    memory = (machine.memory or 0) + _MONITOR_MIB
    binds = [text.bind(f"/{folder(entry.name)}:{PLACE}:ro")]
    binds += [b for b in (*(entry.binds or ()), *(entry.binds_add or ())) if b.source == _RESOLV]
    granted = (*(entry.capabilities or ()), *(entry.capabilities_add or ()))
    low = (_LOW_PORTS,) if entry.net == "host" and _LOW_PORTS in granted else None
    grace = entry.stop.grace.ms if entry.stop and entry.stop.grace else _GRACE_MS
    return Service(
        name=entry.name,
        image=machine.monitor or entry.image,
        command=_command(entry, machine),
        devices=(Device(path=KVM, type="c", major=10, minor=232, mode=text.mode("0666")),),
        binds=tuple(binds),
        capabilities=low,
        ambient=low,
        userns="host" if low else None,
        net="host" if entry.net == "host" else None,
        ports=entry.ports,
        resources=Resources(memory=Memory(limit=memory << 20), cpu=resources.cpu),
        oom_score_adj=entry.oom_score_adj,
        profile="strict",
        restart=entry.restart,
        backoff=entry.backoff,
        critical=entry.critical,
        after=entry.after,
        requires=entry.requires,
        ready=Ready(notify=True, timeout=entry.ready.timeout if entry.ready else None),
        stop=Stop(grace=text.duration(f"{grace + _MONITOR_GRACE_MS}ms")),
        isolation="vm",
        machine=machine,
        inner=inner,
    )


def _command(entry: Service, machine: Machine) -> tuple[str, ...]:
    cpu = (entry.resources or Resources()).cpu or Cpu()
    processors = max(1, -(-(cpu.quota or 0) // (cpu.period or _CPU_PERIOD_US)))
    return (
        "/usr/bin/vmm", f"services/{entry.name}", "ready" if entry.ready else "running",
        "/usr/bin/qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        # without ACPI the timers are the old ones, which KVM inside of KVM cannot do without
        "-machine", "microvm,accel=kvm,acpi=off,x-option-roms=off,pit=on,pic=on,rtc=on",
        "-bios", "qboot.rom", "-smp", str(processors), "-m", str(machine.memory),
        # a deadline in terms of a counter that other hypervisors below shift comes late, or never
        "-cpu", "host,tsc-deadline=off",
        "-kernel", f"{PLACE}/kernel", "-initrd", f"{PLACE}/initrd", "-append", _CMDLINE,
        "-no-reboot", "-serial", "stdio",
        "-object", "rng-random,id=rng0,filename=/dev/urandom",
        "-device", "virtio-rng-device,rng=rng0",
        "-device", "virtio-serial-device",
        "-chardev", "socket,id=report,fd=3",
        "-device", "virtserialport,chardev=report,name=org.linuxkit.report",
        "-chardev", "socket,id=control,fd=4",
        "-device", "virtserialport,chardev=control,name=org.linuxkit.control.0",
        *_card(entry),
    )  # fmt: skip


def _card(entry: Service) -> tuple[str, ...]:
    """QEMU's own network, which opens sockets in the monitor's name."""
    if entry.net != "host":
        return ()
    ports = (entry.ports or Ports()).bind or ()
    forwards = "".join(f",hostfwd=tcp::{port}-:{port}" for port in ports)
    return ("-netdev", f"user,id=net0{forwards}", "-device", "virtio-net-device,netdev=net0")
