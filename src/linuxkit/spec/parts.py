"""The parts of a container's entry that have keys of their own: mounts, devices, interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from linuxkit.spec import text
from linuxkit.spec.decode import Key, Problem
from linuxkit.spec.record import Record
from linuxkit.spec.text import Mode  # noqa: TC001 - the decoder reads annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

Strings = tuple[str, ...]

ID_LIMIT = 2**32 - 2
"""The largest user or group id; the one after it means "no change" to chown(2)."""

CLOCK_LIMIT = 10 * 365 * 86_400
"""Seconds; a machine that is up for longer is not believed."""

_MOUNTPOINTS = {
    "cgroup": "/sys/fs/cgroup",
    "devpts": "/dev/pts",
    "mqueue": "/dev/mqueue",
    "proc": "/proc",
    "sysfs": "/sys",
}


class IdMapping(Record):
    """A range of user or group ids of a user namespace."""

    host_id: Annotated[int, Key("First id outside.", name="hostID", least=0, most=ID_LIMIT)]
    container_id: Annotated[
        int, Key("First id inside.", name="containerID", least=0, most=ID_LIMIT)
    ]
    size: Annotated[int, Key("How many ids follow each other.", least=1, most=2**32 - 1)]


class Clocks(Record):
    """What a time namespace adds to the clocks that count from the machine's start."""

    monotonic: Annotated[
        int | None, Key("Seconds added to CLOCK_MONOTONIC.", least=0, most=CLOCK_LIMIT)
    ] = None
    boottime: Annotated[
        int | None, Key("Seconds added to CLOCK_BOOTTIME.", least=0, most=CLOCK_LIMIT)
    ] = None


class Mount(Record):
    """Something mounted in a container, or before it starts."""

    destination: Annotated[str | None, Key("Where it is mounted.")] = None
    type: Annotated[
        str | None, Key("Kind of file system; known from the source for proc, sysfs and the like.")
    ] = None
    source: Annotated[str | None, Key("What is mounted: a path, a device or a volume's name.")] = (
        None
    )
    options: Annotated[Strings | None, Key("Mount options.")] = None
    uidmappings: Annotated[tuple[IdMapping, ...] | None, Key("User ids of an id-mapped mount.")] = (
        None
    )
    gidmappings: Annotated[
        tuple[IdMapping, ...] | None, Key("Group ids of an id-mapped mount.")
    ] = None

    @property
    def kind(self) -> str:
        """The type, or what it must be; "" when nobody can know."""
        if self.type:
            return self.type
        if self.source in _MOUNTPOINTS:
            return self.source or ""
        return "tmpfs" if self.destination == "/dev" else ""

    @property
    def target(self) -> str:
        """The destination, or the usual one for its kind."""
        return self.destination or _MOUNTPOINTS.get(self.kind, "")


class Device(Record):
    """A device node in a container, with leave to use it."""

    path: Annotated[
        str, Key("Where the node is; `all` only gives leave to use every device of the type.")
    ]
    type: Annotated[str, Key("Character, block or pipe.", choices=("a", "b", "c", "p", "u"))]
    major: Annotated[int, Key("Major number.", least=-1, most=2**31)] = 0
    minor: Annotated[int, Key("Minor number.", least=-1, most=2**31)] = 0
    mode: Annotated[Mode | None, Key("Permissions of the node, in octal.", read=text.mode)] = None

    def problems(self) -> Iterator[Problem]:
        """A node needs a mode, and is of one type."""
        if self.path == "all":
            return
        if self.mode is None:
            yield Problem("path", 'has no "mode"', 'write mode: "0660"', "LK0205")
        if self.type == "a":
            yield Problem("type", 'cannot be of type "a"', 'only path "all" can be')


class Interface(Record):
    """A network interface moved into a container."""

    name: Annotated[str, Key("Its name inside.")]
    add: Annotated[
        str | None, Key("Make a new link of this kind, such as `veth`, `wireguard` or `dummy`.")
    ] = None
    peer: Annotated[
        str | None, Key("The other end of a pair, which stays outside; makes a `veth`.")
    ] = None
    create_in_root: Annotated[
        bool | None, Key("Make it outside and move it in, as WireGuard needs.")
    ] = None

    def problems(self) -> Iterator[Problem]:
        """A pair has two ends."""
        if self.add == "veth" and not self.peer:
            yield Problem("add", 'has no "peer"', "a veth has two ends: name the other", "LK0205")


class Namespaces(Record):
    """Paths at which new namespaces are kept, for later containers to join."""

    cgroup: Annotated[str | None, Key("Path for the control-group namespace.")] = None
    ipc: Annotated[str | None, Key("Path for the IPC namespace.")] = None
    mnt: Annotated[str | None, Key("Path for the mount namespace.")] = None
    net: Annotated[str | None, Key("Path for the network namespace.")] = None
    pid: Annotated[str | None, Key("Path for the process namespace.")] = None
    user: Annotated[str | None, Key("Path for the user namespace.")] = None
    uts: Annotated[str | None, Key("Path for the host name's namespace.")] = None


class Runtime(Record):
    """What is prepared outside a container before it starts."""

    cgroups: Annotated[Strings | None, Key("Control groups to make.")] = None
    mounts: Annotated[
        tuple[Mount, ...] | None,
        Key("Mounts made first; a relative destination lies in the container's root."),
    ] = None
    mkdir: Annotated[
        Strings | None, Key("Directories made next; relative ones lie in the container's root.")
    ] = None
    interfaces: Annotated[
        tuple[Interface, ...] | None, Key("Network interfaces for the container.")
    ] = None
    bind_ns: Annotated[Namespaces | None, Key("Where to keep its namespaces.", name="bindNS")] = (
        None
    )
    namespace: Annotated[str | None, Key("The namespace of containerd; services only.")] = None
