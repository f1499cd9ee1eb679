"""The runner "qemu": what QEMU is told, and starting it.

``command`` decides and touches nothing; ``start`` does.  The process and what the guest says are
``running``'s business.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import proc
from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.base.platform import arch as find_arch
from linuxkit.disk.tools import HostTools
from linuxkit.oci.store import default_root
from linuxkit.runners import accel, control, disks, firmware, raspberry, tpm, warn
from linuxkit.runners.identity import mac, uuid
from linuxkit.runners.qmp import Qmp
from linuxkit.runners.report import PORT
from linuxkit.runners.running import Running, Wires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from linuxkit.build.artifact import Artifact
    from linuxkit.runners.firmware import Firmware
    from linuxkit.runners.options import Forward, Options, Secret

_GRACE_S = 3.0
_DEBIAN = {"amd64": "qemu-system-x86", "arm64": "qemu-system-arm"}
_MACHINE = {"amd64": "q35", "arm64": "virt", "riscv64": "virt", "s390x": "s390-ccw-virtio"}
# Others that may be chosen, and the bus of their virtio devices, or of what they have instead.
_OTHERS = {
    "amd64": {"pc": "pci", "microvm": "device"},
    "arm64": dict.fromkeys(raspberry.BOARDS, "usb"),
}


class Host(NamedTuple):
    """What the host brings to a machine: things found, made or opened before the command."""

    accel: str
    report: int  # descriptors that QEMU inherits
    control: int
    drives: tuple[disks.Drive, ...] = ()
    lines: tuple[int, ...] = ()  # sockets that listen for callers of the control ports
    identity: str = ""  # the card's address and the machine's id derive from it
    firmware: Firmware | None = None  # None: the machine's own
    seed: Path | None = None  # a CD with the machine's settings
    tpm: int | None = None  # descriptor of the wire to one
    card: raspberry.Start | None = None  # of a Raspberry Pi


def command(artifact: Artifact, options: Options, host: Host) -> tuple[str, ...]:
    """The arguments of QEMU, without its own name.  Raises LK0814 when it is not bootable."""
    boot, medium = artifact.boot, firmware.medium(artifact)
    if boot is None or (medium is None and artifact.path("kernel") is None):
        raise Error(
            "LK0814",
            f'the format "{artifact.format}" of "{artifact.name}" cannot be booted by QEMU',
            hint="build it with --format kernel+initrd",
        )
    machine = machine_of(artifact, options)
    bus = _bus(artifact.arch, machine)
    first = (
        "-nodefaults", "-no-user-config", "-display", "none",
        "-name", artifact.name.replace(",", ",,"),
    )  # fmt: skip
    last = (
        *_network(bus, options, host),
        *(word for device in options.devices for word in ("-device", device)),
        *(() if options.reboot else ("-no-reboot",)),
    )
    if host.card:
        board = raspberry.words(machine, host.card, host.report)
        return (*first, *board, *_control(host), *last)
    return (
        *first,
        *_machine(artifact.arch, machine, host),
        "-smp", str(options.cpus),
        "-m", str(options.memory_mib),
        "-uuid", uuid(host.identity),
        *_kernel(artifact, machine),
        "-serial", "mon:stdio",
        *firmware.words(medium, host.firmware, bus),
        *firmware.seed(host.seed, bus),
        *_secrets(artifact.arch, machine, options.secrets),
        *_devices(bus, host),
        *(() if host.tpm is None else tpm.words(artifact.arch, host.tpm)),
        *last,
    )  # fmt: skip


def _kernel(artifact: Artifact, machine: str) -> Iterator[str]:
    """What QEMU loads itself; nothing where firmware reads a disk."""
    kernel, initrd = artifact.path("kernel") or artifact.path("uki"), artifact.path("initrd")
    if kernel is None:
        return
    yield from ("-kernel", str(kernel))
    if initrd:
        yield from ("-initrd", str(initrd))
    if artifact.boot and artifact.path("kernel"):  # a unified image has its own
        # Linux tries whether the timer's interrupt comes, by counting: on a busy host, which runs
        # the emulated processor in bursts, it does not come in time, and the kernel gives up.
        more = " no_timer_check" if machine == "microvm" else ""
        yield from ("-append", artifact.boot.cmdline + more)


def _secrets(arch: str, machine: str, secrets: Sequence[Secret]) -> Iterator[str]:
    """Files of the firmware's configuration, as systemd and the package metadata look for them.

    Raises LK0813 for machines in which Linux does not find it.
    """
    if secrets and (machine == "microvm" or arch not in {"amd64", "arm64"}):
        raise Error(
            "LK0813",
            f"a machine {machine} for {arch} cannot be given secrets",
            hint="they come in firmware's configuration, which q35, pc and virt have",
        )
    for name, path in secrets:
        file = str(path).replace(",", ",,")
        yield from ("-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={file}")


def machine_of(artifact: Artifact, options: Options) -> str:
    """The kind of machine: what the user chose, what the kernel needs, or the usual one.

    Raises LK0813 for one that the architecture does not have.
    """
    arch = artifact.arch
    asked = options.machine or (artifact.boot.machine if artifact.boot else "") or _MACHINE[arch]
    known = (_MACHINE[arch], *_OTHERS.get(arch, ()))
    if asked not in known:
        hint = suggestion(asked, known) or f"there are: {', '.join(known)}"
        raise Error("LK0813", f'there is no machine "{printable(asked)}" for {arch}', hint=hint)
    return asked


def _machine(arch: str, machine: str, host: Host) -> Iterator[str]:
    chosen = host.accel
    first = chosen.split(":", maxsplit=1)[0]
    extra = ""
    if machine == "microvm":
        # Without ACPI its devices are named on the command line, and its timers are the old ones,
        # which emulation cannot do without.
        extra = ",acpi=off"
    elif arch == "arm64" and first == "kvm":
        # The host's interrupt controller; only emulation can offer another one.
        extra = ",gic-version=host"
    elif host.firmware and host.firmware.guarded:
        extra = ",smm=on"
    yield from ("-machine", machine + extra)
    for name in chosen.split(":"):
        yield from ("-accel", name)
    cpu = accel.cpu_model(arch, first)
    if cpu:
        yield from ("-cpu", cpu)


def _control(host: Host) -> tuple[str, ...]:
    """QEMU's own control channel."""
    wire = f"socket,id=control,fd={host.control}"
    return ("-chardev", wire, "-mon", "chardev=control,mode=control")


def _devices(bus: str, host: Host) -> Iterator[str]:
    yield from ("-object", "rng-random,id=rng0,filename=/dev/urandom")
    yield from ("-device", f"virtio-rng-{bus},rng=rng0")
    yield from _control(host)
    yield from ("-chardev", f"socket,id=report,fd={host.report}")
    yield from ("-device", f"virtio-serial-{bus}")
    yield from ("-device", f"virtserialport,chardev=report,name={PORT}")
    for number, handle in enumerate(host.lines):
        yield from ("-chardev", f"socket,id=line{number},fd={handle},server=on,wait=off")
        name = f"{control.PORT}{number}"
        yield from ("-device", f"virtserialport,chardev=line{number},name={name}")
    if bus == "pci":
        yield from ("-device", "pvpanic-pci")  # a kernel panic is told to us, and ends the machine
    for number, drive in enumerate(host.drives):
        path = str(drive.path).replace(",", ",,")
        yield from ("-drive", f"id=disk{number},if=none,format={drive.format},file={path}")
        yield from ("-device", f"virtio-blk-{bus},drive=disk{number},serial=disk{number}")


def _network(bus: str, options: Options, host: Host) -> Iterator[str]:
    kind, link = options.network
    backend = {
        "none": "",
        "user": "user,id=net0" + "".join(map(_hostfwd, options.forwards)),
        "bridge": f"bridge,id=net0,br={link}",
        "tap": f"tap,id=net0,ifname={link},script=no,downscript=no",
    }[kind]
    if backend:
        # No boot ROM: the kernel is loaded directly, and the ROMs are another Debian package.
        rom = ",romfile=" if bus == "pci" else ""
        kind = "usb-net" if bus == "usb" else f"virtio-net-{bus}"
        address = mac(host.identity)
        if bus == "usb":
            address = raspberry.mac(address)
        card = f"{kind},netdev=net0,mac={address}{rom}"
        yield from ("-netdev", backend, "-device", card)


def _hostfwd(forward: Forward) -> str:
    protocol, address = forward.protocol, forward.address
    return f",hostfwd={protocol}:{address}:{forward.host}-:{forward.guest}"


def _bus(arch: str, machine: str) -> str:
    return "ccw" if arch == "s390x" else _OTHERS.get(arch, {}).get(machine, "pci")


def emulator(arch: str, program: str) -> Path:
    """QEMU for guests of ``arch``: the ``program`` asked for, or the usual one.  Raises LK0901."""
    if program:
        found = shutil.which(program)
        if found is None:
            raise Error("LK0901", f'the program "{program}" is not there', hint="mend --qemu")
        return Path(found)
    package = _DEBIAN.get(arch, "qemu-system-misc")
    return Path(proc.find(f"qemu-system-{find_arch(arch).kernel}", package=package))


def _card(
    artifact: Artifact, options: Options, machine: str, state: Path
) -> raspberry.Start | None:
    """What a Raspberry Pi starts; None for other machines.  Raises LK0813, LK0814."""
    if machine not in raspberry.BOARDS:
        return None
    raspberry.check(machine, options)
    found = firmware.medium(artifact)
    if found is None or found.kind != "disk":
        raise Error(
            "LK0814", f'the board {machine} does not start "{artifact.format}"',
            hint="build it with --format rpi",
        )  # fmt: skip
    return raspberry.take(found.path, machine, state, options.tools or HostTools())


def start(
    artifact: Artifact,
    options: Options,
    *,
    attached: bool = False,
    lines: tuple[int, ...] = (),
    sink: Callable[[bytes], None] | None = None,
) -> Running:
    """Start the machine and come back at once.

    Its console is kept (``Running.console``) and goes to ``sink``, or is this process's terminal
    when ``attached``.  Callers of its init's control ports connect to the sockets ``lines``.
    Raises LK0901 (no QEMU), LK0810 (bad disk), LK0813 (no such machine), LK0814, LK0830,
    LK0870, LK0871.
    """
    options.check()
    warn.of_memory(artifact, options)
    warn.of_console(artifact)
    program = emulator(artifact.arch, options.program)
    state = options.state or artifact.directory / f"{artifact.name}-state"
    machine = machine_of(artifact, options)
    card = _card(artifact, options, machine, state)
    drives = disks.prepare(options.disks, state)
    seed = disks.write_seed(options.data, state) if options.data is not None else None
    found = None if card else firmware.find(artifact, options, state)
    chosen = accel.choose(program, artifact.arch, options.accel, options.cache or default_root())
    identity = str(state.absolute())
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        pairs = socket.socketpair(), socket.socketpair()
        for mine, other in pairs:
            ours.enter_context(mine)
            theirs.enter_context(other)
        report, qmp = (other.fileno() for _, other in pairs)
        host = Host(chosen, report, qmp, drives, lines, identity, found, seed, card=card)
        after = []
        if options.tpm:
            tpm.check(artifact.arch, machine)
            helper, wire = tpm.start(state.absolute() / "tpm")
            # It writes down what it knows when QEMU has ended.
            after.append(functools.partial(proc.finish, helper, _GRACE_S))
            ours.callback(proc.finish, helper, 0)
            host = host._replace(tpm=theirs.enter_context(wire).fileno())
        argv = (str(program), *command(artifact, options, host))
        stdin, stdout = theirs.enter_context(Wires.console(attached=attached))
        began = time.monotonic()
        process = proc.start(
            argv, stdin=stdin, stdout=stdout, stderr=proc.PIPE,
            pass_fds=(report, qmp, *lines, *(() if host.tpm is None else (host.tpm,))),
        )  # fmt: skip
        ours.pop_all()  # from here on they are the machine's
    # A machine without ACPI has no power switch that its kernel could use.
    switch = machine != "microvm"
    wires = Wires(pairs[0][0], Qmp(pairs[1][0]))
    return Running(process, argv, wires, began, sink, switch=switch, after=after)
