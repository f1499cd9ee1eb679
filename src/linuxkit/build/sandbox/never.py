"""What no strict container may have, whoever asks for it: each with its reason.

Whoever needs one of these writes ``profile: compat`` at that container, where everybody sees it.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.spec.check import is_bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import ImageSettings

CAPABILITIES: Mapping[str, str] = {
    "CAP_SYS_MODULE": "whoever loads kernel modules is the kernel",
    "CAP_SYS_RAWIO": "it writes to the machine's memory and ports, past every control",
    "CAP_MAC_ADMIN": "it changes the rules by which others are confined",
    "CAP_MAC_OVERRIDE": "it ignores the rules by which others are confined",
}

SOURCES: Mapping[str, str] = {
    "/": "the whole system can be changed through it",
    "/containers": "the files of every other container are in it",
    "/dev": "every device of the machine is in it",
    "/etc/linuxkit": "it says what the machine starts",
    "/proc": "the kernel's settings are in it",
    "/run/units": "it names the processes that the machine controls",
    "/sys": "the kernel's devices and control groups are in it",
    "/usr/lib/linuxkit": "the program that confines containers is in it",
}
"""Directories that are not bound writable, nor is anything above them."""

SOCKETS = frozenset({
    "buildkitd.sock", "containerd.sock", "crio.sock", "docker.sock", "podman.sock",
})  # fmt: skip

_HOST = frozenset({"host", "root"})
_NETWORK_CAPABILITIES = frozenset({
    "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW",
})  # fmt: skip


def violations(settings: ImageSettings) -> Iterator[tuple[Path, Error]]:
    """What is refused, each with the path of its value; of settings before the profile."""
    for path, what, reason in (*_refused(settings), *_useless(settings)):
        yield path, Error(
            "LK0754",
            f"a strict container cannot have {what}: {reason}",
            hint="leave it out, or write `profile: compat` at this container",
        )


_Row = tuple["Path", str, str]


def of_label(merged: ImageSettings, own: ImageSettings) -> list[_Row]:
    """What is refused because an image's label asks for it: path, what it is, and why.

    ``own`` are the settings without the label.
    """
    rows: dict[str, _Row] = {}
    known = {(what, reason) for _, what, reason in _refused(own)}
    for path, what, reason in _refused(merged):
        if (what, reason) not in known:
            rows.setdefault(what, (path, what, reason))
    return list(rows.values())


def _refused(settings: ImageSettings) -> Iterator[_Row]:
    for group in (_rights, _powers, _devices, _places):
        yield from group(settings)


def _rights(s: ImageSettings) -> Iterator[_Row]:
    held = [*(s.capabilities or ()), *(s.ambient or ())]
    if any(name.lower() == "all" for name in held):
        yield ("capabilities",), "all capabilities", "name those that it needs"
    for index, name in enumerate(s.capabilities or ()):
        if name in CAPABILITIES:
            yield ("capabilities", index), name, CAPABILITIES[name]
    if {"CAP_BPF", "CAP_SYS_ADMIN"} <= set(held):
        reason = "programs in the kernel see and change everything"
        yield ("capabilities",), "CAP_BPF with CAP_SYS_ADMIN", reason
    if s.pid in _HOST and "CAP_SYS_PTRACE" in held:
        yield ("pid",), "CAP_SYS_PTRACE with `pid: host`", "it controls every other process"


def _powers(s: ImageSettings) -> Iterator[_Row]:
    if s.no_new_privileges is False:
        yield ("noNewPrivileges",), "`noNewPrivileges: false`", "every filter relies on it"
    if s.rootfs_propagation in {"shared", "rshared"}:
        yield ("rootfsPropagation",), "a shared root", "its mounts would spread into the system"
    if s.uid_mappings or s.gid_mappings:
        yield ("uidMappings",), "mappings of its own", "the build gives each container its range"


def _devices(s: ImageSettings) -> Iterator[_Row]:
    for index, device in enumerate(s.devices or ()):
        if device.path == "all":
            yield ("devices", index), "all devices", "name each with its numbers"
    limits = s.resources
    for index, rule in enumerate((limits.devices if limits else None) or ()):
        if rule.allow and rule.major is None:
            at = ("resources", "devices", index)
            yield at, "a rule for all devices", "name each with its numbers"


def _bound(s: ImageSettings) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """The path of each bind's value, its source and its options."""
    for index, bind in enumerate(s.binds or ()):
        yield ("binds", index), bind.source, bind.options or ()
    for index, mount in enumerate(s.mounts or ()):
        if is_bind(mount):
            yield ("mounts", index), mount.source or "", mount.options or ()


def _places(s: ImageSettings) -> Iterator[_Row]:
    for path, source, options in _bound(s):
        place = _normal(source)
        if posixpath.basename(place) in SOCKETS:
            reason = "who speaks to a container engine is root of the machine"
            yield path, printable(place, 100), reason
        if "rw" not in options or not place.startswith("/"):
            continue
        for forbidden, reason in SOURCES.items():
            if _covers(place, forbidden):
                yield path, f"{printable(place, 100)} to write to", reason
                break


def _normal(source: str) -> str:
    """The path without detours; two slashes at its start are one, as the kernel has it."""
    text = posixpath.normpath(source)
    return f"/{text.lstrip('/')}" if text.startswith("/") else text


def _covers(place: str, forbidden: str) -> bool:
    """Whether ``forbidden`` is in ``place``; what lies inside of /dev and its like is as bad."""
    inside = forbidden != "/" and f"{place}/".startswith(f"{forbidden}/")
    above = f"{forbidden}/".startswith(f"{place.rstrip('/')}/")
    return inside or above


def _useless(s: ImageSettings) -> Iterator[_Row]:
    """Combinations that would not do what they say."""
    if s.userns in _HOST:
        return
    if s.readonly is False:
        yield ("readonly",), "a writable root with ids of its own", (
            "the overlay below it belongs to root; use `tmpfs`, or `userns: host`"
        )
    for path, source, options in _bound(s):
        if not source.startswith("/") and "rw" in options:
            reason = "its files belong to root; use `userns: host`, or bind a directory of the root"
            yield path, "a volume to write to with ids of its own", reason
    if s.net in _HOST:
        for index, name in enumerate(s.capabilities or ()):
            if name in _NETWORK_CAPABILITIES:
                reason = "it is of no use there without `userns: host`"
                yield ("capabilities", index), f"{name} with `net: host`", reason
