"""The runner "uml": Debian's user-mode Linux boots a system's initramfs, without QEMU or KVM.

The kernel is a program of this host, and not the one in the system: it shows what the system's
init, containers and services do, not what its kernel and a machine do.  ``command`` decides and
touches nothing; ``start`` does.

Whoever is root in such a guest can make its kernel, a process of ours, do anything.  So that
process has a root of its own with nothing of this host in it (bubblewrap), no network and no
privileges; what the machine has are descriptors that it inherits.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, platform, proc
from linuxkit.base.errors import Error
from linuxkit.disk.tools import HostTools
from linuxkit.runners import disks, modules, terminal, warn
from linuxkit.runners.identity import mac
from linuxkit.runners.passt import Card
from linuxkit.runners.relay import Relay
from linuxkit.runners.running import Running, Wires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from linuxkit.build.artifact import Artifact, BootFacts
    from linuxkit.disk.tools import Tools
    from linuxkit.runners.options import Disk, Options

_ARCH = "amd64"
_REPORT = "/dev/ttyS1"
_FIRST_CONTROL = 2  # /dev/ttyS2 and those behind it are the control ports
_SCRATCH = "/dev/shm"  # noqa: S108 - inside, a file system of its own
_DISKS = 8
_SPARE_MIB = 16
# A panic ends the kernel with SIGABRT, which bubblewrap tells as a shell does.
_DEATHS = {128 + 6: "guest-panic"}
_NETWORKS = ("user", "none")


class Host(NamedTuple):
    """What the host brings to a machine: descriptors that its kernel inherits."""

    initrd: int
    report: int
    drives: tuple[int, ...] = ()
    card: int | None = None  # the socket of its network card
    controls: tuple[int, ...] = ()  # for callers of its init


def command(artifact: Artifact, options: Options, host: Host) -> tuple[str, ...]:
    """The arguments of the kernel: its own, and the command line of the system.

    Raises LK0814 when it is not bootable so.
    """
    boot, _ = bootable(artifact)
    serial = boot.console.startswith("ttyS")
    lines = dict(enumerate(host.controls, _FIRST_CONTROL))
    control = ",".join(f"/dev/ttyS{number}" for number in lines)
    return (
        f"mem={options.memory_mib}M",
        f"initrd={_file(host.initrd)}",
        "con=null", "ssl=null", f"{'ssl0' if serial else 'con0'}=fd:0,fd:1",
        f"ssl1=fd:{host.report}",
        *(f"ssl{number}=fd:{handle}" for number, handle in lines.items()),
        f"uml_dir={_SCRATCH}",
        *(() if options.reboot else ("noreboot",)),
        # "d": whatever it begins with, it is no layer over a file that it names itself.
        *(f"ubd{n}d={_file(drive)},,disk{n}" for n, drive in enumerate(host.drives)),
        *(() if host.card is None else (f"virtio_uml.device={_file(host.card)}:1",)),
        *boot.cmdline.split(),
        f"linuxkit.report={_REPORT}",
        *((f"linuxkit.control={control}",) if lines else ()),
    )  # fmt: skip


def bootable(artifact: Artifact) -> tuple[BootFacts, Path]:
    """What is known of its boot, and its initramfs.  Raises LK0814."""
    initrd = artifact.path("initrd")
    if artifact.boot is None or initrd is None:
        raise Error(
            "LK0814",
            f'the format "{artifact.format}" of "{artifact.name}" cannot be booted by the '
            "runner uml, which takes an initramfs",
            hint="build it with --format kernel+initrd, or leave the word uml out",
        )
    return artifact.boot, initrd


def _file(handle: int) -> str:
    return f"/proc/self/fd/{handle}"


def cell(program: Sequence[str], usr: str, memory_mib: int) -> tuple[str, ...]:
    """The command that shuts the kernel in; ``usr`` is what it sees of this host.

    ``program`` is bubblewrap.  Files that the kernel makes, its memory above all, are in memory.
    """
    return (
        *program,
        "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL",
        "--die-with-parent", "--new-session", "--clearenv", "--setenv", "TMPDIR", _SCRATCH,
        "--ro-bind", usr, "/usr", "--dev", "/dev",
        # For root's processes that have no capabilities, the settings of the host are writable.
        "--proc", "/proc", "--remount-ro", "/proc",
        "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
        "--size", str((memory_mib + _SPARE_MIB) << 20), "--tmpfs", _SCRATCH,
        "--remount-ro", "/",
        "--", "/usr/bin/linux.uml",
    )  # fmt: skip


def refuse(artifact: Artifact, options: Options) -> None:
    """What such a machine cannot be or have.  Raises LK0813, LK0816."""
    for arch in (artifact.arch, platform.host().oci):
        if arch != _ARCH:
            raise Error(
                "LK0813",
                f"the runner uml is for {_ARCH} on {_ARCH}, not for {arch}",
                hint="leave the word uml out",
            )
    wanted = [what for what, value in _absent(options) if value]
    if wanted:
        raise Error(
            "LK0816", f"a machine of the runner uml has no {' and no '.join(wanted)}",
            hint="leave the word uml out, or that",
        )  # fmt: skip


def _absent(options: Options) -> Iterator[tuple[str, object]]:
    kind = options.network.kind
    yield "second processor (--cpus)", options.cpus > 1
    yield "firmware (--uefi, --fw)", options.firmware or options.firmware_file
    yield "Secure Boot (--secure-boot)", options.secure_boot
    yield "TPM (--tpm)", options.tpm
    yield "CD (--data)", options.data is not None
    yield "secrets (--secret)", options.secrets
    yield "devices of QEMU (--device)", options.devices
    yield "kinds of machine (--machine)", options.machine
    yield "acceleration (--accel)", options.accel
    yield "emulator (--qemu)", options.program
    yield f"network of the kind {kind} (--networking)", kind not in _NETWORKS


def raw(wanted: Sequence[Disk]) -> tuple[Disk, ...]:
    """The disks, raw where nothing is said.  Raises LK0810 for what the kernel cannot read."""
    if len(wanted) > _DISKS:
        raise Error("LK0810", f"a machine of the runner uml has at most {_DISKS} disks")
    for disk in wanted:
        if disk.format == "qcow2" or (
            not disk.format and disk.path and disk.path.suffix == ".qcow2"
        ):
            raise Error(
                "LK0810", "the runner uml reads raw disks only",
                hint="make one: --disk data.img,size=1G,format=raw",
            )  # fmt: skip
    return tuple(
        disk._replace(format=disk.format or ("raw" if disk.path is None else "")) for disk in wanted
    )


def start(
    artifact: Artifact,
    options: Options,
    *,
    attached: bool = False,
    lines: tuple[int, ...] = (),
    sink: Callable[[bytes], None] | None = None,
) -> Running:
    """Start the machine and come back at once; as that of the runner "qemu".

    Raises LK0802, LK0803 (a port), LK0810, LK0813, LK0814, LK0816, and what fetching the tools
    raises.
    """
    options.check()
    refuse(artifact, options)
    _, found = bootable(artifact)
    warn.of_memory(artifact, options)
    tools = options.tools or HostTools()
    usr = tools.data("uml", _ARCH)
    state = options.state or artifact.directory / f"{artifact.name}-state"
    drives = disks.prepare(raw(options.disks), state)
    shut = cell(tools.program("bwrap").words, str(usr), options.memory_mib)
    with ExitStack() as ours, ExitStack() as theirs:
        mine, other = socket.socketpair()
        ours.enter_context(mine)
        theirs.enter_context(other)
        initrd = theirs.enter_context(_initrd(found, usr / "lib" / "uml" / "modules"))
        opened = tuple(theirs.enter_context(_open(drive.path)).fileno() for drive in drives)
        pairs = [socket.socketpair() for _ in lines]
        for ends in pairs:
            ours.enter_context(ends[0])
            theirs.enter_context(ends[1])
        controls = tuple(theirs_end.fileno() for _, theirs_end in pairs)
        host = Host(initrd.fileno(), other.fileno(), opened, None, controls)
        after = []
        if options.network.kind == "user":
            card = _card(tools, options, str(state.absolute()))
            ours.callback(card.close)
            after.append(card.close)
            host = host._replace(card=card.handle)
        argv = (*shut, *command(artifact, options, host))
        card_file = () if host.card is None else (host.card,)
        began = time.monotonic()
        process = proc.start(
            argv, stdin=proc.PIPE, stdout=proc.PIPE, stderr=proc.PIPE,
            pass_fds=(host.initrd, host.report, *opened, *card_file, *controls),
        )  # fmt: skip
        ours.pop_all()  # from here on they are the machine's
        relays = [Relay(line, pair[0]) for line, pair in zip(lines, pairs, strict=True)]
        after += [relay.close for relay in relays]
    machine = Running(
        process, argv, Wires(mine, None), began, terminal.show if attached else sink,
        emulator="user-mode Linux", deaths=_DEATHS, after=after,
    )  # fmt: skip
    if attached:
        terminal.attach(machine)
    return machine


def _card(tools: Tools, options: Options, identity: str) -> Card:
    return Card(tools.program("passt").words, options.forwards, mac(identity))


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("r+b", buffering=0)
    except OSError as error:
        raise files.os_error(error, "use the disk", path) from error


def _initrd(path: Path, folder: Path) -> BinaryIO:
    """The modules of this kernel and the system's initramfs, in memory."""
    made = os.fdopen(os.memfd_create("initrd"), "w+b")
    try:
        modules.write(folder, made)
        with path.open("rb") as file:
            shutil.copyfileobj(file, made)
        made.flush()
    except OSError as error:
        made.close()
        raise files.os_error(error, "read", path) from error
    return made
