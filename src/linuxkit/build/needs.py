"""What a YAML file needs of its kernel, held against the configuration of the kernel it names.

A file system that a container mounts, a network link that is made for it, and what confines it, is
code of the kernel: built in, or a module that came with it.  Where the kernel's image does not tell
its configuration, nothing is said.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from linuxkit.build.check import configuration
from linuxkit.build.plan import DataSegment
from linuxkit.build.root import listed
from linuxkit.build.sandbox import profile
from linuxkit.spec import netfiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from linuxkit.build.kconfig import Config
    from linuxkit.build.plan import Plan
    from linuxkit.build.system import System
    from linuxkit.spec.model import Container, Spec

_LISTING_LIMIT = 1 << 28
_MODULE = re.compile(r"([^/]+)\.ko(?:\.(?:xz|zst|gz))?")

# What may be asked for → the symbol and, where it can be one, the module.
_FILE_SYSTEMS = {
    "9p": ("9P_FS", "9p"),
    "autofs": ("AUTOFS_FS", "autofs4"),
    "binfmt_misc": ("BINFMT_MISC", "binfmt_misc"),
    "bpf": ("BPF_SYSCALL", ""),
    "btrfs": ("BTRFS_FS", "btrfs"),
    "cgroup2": ("CGROUPS", ""),
    "cifs": ("CIFS", "cifs"),
    "configfs": ("CONFIGFS_FS", "configfs"),
    "debugfs": ("DEBUG_FS", ""),
    "devpts": ("UNIX98_PTYS", ""),
    "efivarfs": ("EFIVAR_FS", "efivarfs"),
    "erofs": ("EROFS_FS", "erofs"),
    "ext4": ("EXT4_FS", "ext4"),
    "fuse": ("FUSE_FS", "fuse"),
    "hugetlbfs": ("HUGETLBFS", ""),
    "iso9660": ("ISO9660_FS", "isofs"),
    "mqueue": ("POSIX_MQUEUE", ""),
    "nfs": ("NFS_FS", "nfs"),
    "nfs4": ("NFS_V4", "nfsv4"),
    "overlay": ("OVERLAY_FS", "overlay"),
    "securityfs": ("SECURITYFS", ""),
    "squashfs": ("SQUASHFS", "squashfs"),
    "tmpfs": ("TMPFS", ""),
    "tracefs": ("TRACING", ""),
    "vfat": ("VFAT_FS", "vfat"),
    "virtiofs": ("VIRTIO_FS", "virtiofs"),
    "xfs": ("XFS_FS", "xfs"),
}
# What every container mounts; only the YAML's own wish for one is looked at.
_USUAL = frozenset({"cgroup2", "devpts", "mqueue", "tmpfs"})
_LINKS = {
    "bond": ("BONDING", "bonding"),
    "bridge": ("BRIDGE", "bridge"),
    "dummy": ("DUMMY", "dummy"),
    "ipvlan": ("IPVLAN", "ipvlan"),
    "macvlan": ("MACVLAN", "macvlan"),
    "veth": ("VETH", "veth"),
    "vlan": ("VLAN_8021Q", "8021q"),
    "vxlan": ("VXLAN", "vxlan"),
    "wireguard": ("WIREGUARD", "wireguard"),
}

# What the strict profile is made of.
_LANDLOCK = ("Landlock", "SECURITY_LANDLOCK", "")
_CONFINING = (
    ("control groups of memory", "MEMCG", ""),
    ("control groups of processes", "CGROUP_PIDS", ""),
    ("filters of system calls", "SECCOMP_FILTER", ""),
    ("user namespaces", "USER_NS", ""),
)
_MACHINES = ("virtual machines", "KVM", "kvm")
_LSM = "lsm="
# guest/confine/landlock.c: the least that it enforces, and the Linux that brought it.
_LEAST_LANDLOCK = (6, 12)
_MADE = re.compile(r"link add .*\btype (\w+)")


class Need(NamedTuple):
    """Something that a container needs of the kernel."""

    container: str
    what: str  # such as "the file system xfs"
    symbol: str
    module: str  # empty where it cannot be one


class Gap(NamedTuple):
    """A need that the kernel does not meet, and why."""

    need: Need
    why: str


def needs(spec: Spec, plan: Plan) -> tuple[Need, ...]:
    """Everything that we know how to look for: links of the machine, then containers, as in the
    file, and what only the labels of their images ask for.
    """  # noqa: D205
    found = list(_of_network(spec))
    found += [need for entry in _containers(spec) for need in _of(entry)]
    found += [need for need in _of_labels(plan) if need not in found]
    for entry in _containers(spec):
        if profile.of(entry, spec) == profile.STRICT:
            landlock = (_LANDLOCK,) if (entry.landlock or "enforce") == "enforce" else ()
            found += [Need(entry.name, *row) for row in (*landlock, *_CONFINING)]
    found += [Need(entry.name, *_MACHINES) for entry in spec.services if entry.inner]
    return tuple(found)


def gaps(spec: Spec, system: System) -> tuple[Gap, ...]:
    """What the system's kernel lacks; nothing where it does not tell.  Raises LK0760, LK030x."""
    config = configuration(system)
    if config is None:
        return ()
    modules = _modules(system)
    words = (system.kernel.cmdline if system.kernel else "").split()
    named = [word.removeprefix(_LSM).split(",") for word in words if word.startswith(_LSM)]
    unnamed = bool(named) and "landlock" not in named[-1]
    asked = needs(spec, system.plan)
    found = ((need, _gap(need, config, modules, landlock=not unnamed)) for need in asked)
    return tuple(Gap(need, why) for need, why in found if why)


def drives_sticks(system: System) -> bool:
    """Whether the kernel finds a root on a USB stick; True where it does not tell.

    Raises LK0760, LK030x.
    """
    config = configuration(system)
    value = config.get("USB_STORAGE") if config is not None else "y"
    return value == "y" or (value == "m" and "usb-storage" in _modules(system))


def _gap(need: Need, config: Config, modules: frozenset[str], *, landlock: bool) -> str:
    value = config.get(need.symbol)
    if value == "y" and need.symbol == "SECURITY_LANDLOCK" and not landlock:
        return "lsm= on its command line does not name landlock"
    if value == "y" and need.symbol == "SECURITY_LANDLOCK" and _is_old(config.version):
        return f"what Linux {config.version[0]}.{config.version[1]} has of it is too old"
    if value == "y":
        return ""
    if value == "m":
        return "" if need.module in modules else f"its module {need.module} is not in the image"
    return f"CONFIG_{need.symbol} is not set"


def _is_old(version: tuple[int, int] | None) -> TypeGuard[tuple[int, int]]:
    return version is not None and version < _LEAST_LANDLOCK


def _containers(spec: Spec) -> Iterator[Container]:
    yield from spec.onboot
    yield from spec.services
    yield from spec.onshutdown


def _of(entry: Container) -> Iterator[Need]:
    runtime = entry.runtime
    for mount in (*(entry.mounts or ()), *((runtime and runtime.mounts) or ())):
        if mount.kind in _FILE_SYSTEMS:
            yield Need(entry.name, f"the file system {mount.kind}", *_FILE_SYSTEMS[mount.kind])
    for link in (runtime and runtime.interfaces) or ():
        kind = link.add or ("veth" if link.peer else "")
        if kind in _LINKS:
            yield Need(entry.name, f"network links of kind {kind}", *_LINKS[kind])


def _of_network(spec: Spec) -> Iterator[Need]:
    """Of ``network:``, which by now is a file of commands (spec/netfiles.py)."""
    place = f"{netfiles.FOLDER}/ip.batch"
    lines = next((file.contents or "" for file in spec.files if file.path == place), "")
    for kind in dict.fromkeys(_MADE.findall(lines)):
        if kind in _LINKS:
            yield Need("network", f"network links of kind {kind}", *_LINKS[kind])


def configurations(plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every container by name, with its config.json as it came out, the image's label included."""
    segments = (each for each in plan.segments if isinstance(each, DataSegment))
    for item in (item for segment in segments for item in segment.items):
        folder, name = posixpath.split(item.path)
        if name == "config.json" and folder.startswith("containers/"):
            yield re.sub(r"^\d+-", "", posixpath.basename(folder)), json.loads(item.data)


def _of_labels(plan: Plan) -> Iterator[Need]:
    """Mounts of every container as they came out, which those of its image's label are part of."""
    for container, config in configurations(plan):
        for mount in config.get("mounts", ()):
            kind = mount.get("type", "")
            if kind in _FILE_SYSTEMS.keys() - _USUAL:
                yield Need(container, f"the file system {kind}", *_FILE_SYSTEMS[kind])


def _modules(system: System) -> frozenset[str]:
    kernel = system.plan.kernel
    names = system.store.derived(kernel.key, "listing") if kernel else None
    if names is None:
        return frozenset()
    paths = listed(system.store.read(names.digest, _LISTING_LIMIT))
    found = (_MODULE.fullmatch(posixpath.basename(path)) for path in paths)
    return frozenset(match[1] for match in found if match)
