"""Rows of public checklists that a system's containers can be held against.

The CIS Docker Benchmark (1.6), sections 4 and 5, as far as it is about containers rather than about
Docker, and NIST SP 800-190, section 4.  A row that cannot be told from the system says who must.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.build.sandbox import never
from linuxkit.spec.text import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linuxkit.build.audit.posture import Posture

_PRIVILEGED_PORTS = 1024
_LOGINS = frozenset({"agetty", "getty", "login", "rungetty.sh", "sshd", "sshd.sh"})
_SENSITIVE = ("/boot", "/containers", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
_SHARING = frozenset({"shared", "rshared"})


class Row(NamedTuple):
    """One recommendation; ``well`` says whether a container follows it."""

    id: str
    text: str
    well: Callable[[Posture], bool]


class Verdict(NamedTuple):
    """What became of a row: "pass", "fail" with the containers that do, or "operator"."""

    standard: str
    id: str
    text: str
    result: str
    detail: str


def _limited_ports(p: Posture) -> bool:
    """Private, or held to ports that are listed."""
    return "network" in p.private or (
        p.record is not None and bool(p.record.landlock) and p.record.bind is not None
    )


def _no_low_ports(p: Posture) -> bool:
    if "network" in p.private:
        return True
    ports = p.record.bind if p.record and p.record.landlock else None
    return ports is not None and all(port >= _PRIVILEGED_PORTS for port in ports)


def _limited_egress(p: Posture) -> bool:
    return "network" in p.private or (
        p.record is not None and bool(p.record.landlock) and p.record.connect is not None
    )


def _few_capabilities(p: Posture) -> bool:
    return "CAP_SYS_ADMIN" not in p.capabilities and not p.capabilities & never.CAPABILITIES.keys()


def _no_sensitive_place(p: Posture) -> bool:
    places = [posixpath.normpath(mount.source) for mount in p.binds(writable=True)]
    return not any(f"{place}/".startswith((f"{s}/", "//")) for place in places for s in _SENSITIVE)


def _no_engine(p: Posture) -> bool:
    return not any(
        posixpath.basename(m.source) in never.SOCKETS for m in p.binds(writable=False)
    )


def _no_sharing(p: Posture) -> bool:
    return not any(_SHARING & mount.options for mount in p.mounts)


def _no_login(p: Posture) -> bool:
    return not any(posixpath.basename(word) in _LOGINS for word in p.command[:2])


def _locked(p: Posture) -> bool:
    return p.filtered and p.readonly and p.record is not None and bool(p.record.landlock)


CIS = (
    Row("4.1", "runs as a user that is not root of the system", lambda p: not p.root),
    Row("5.2", "is confined by a security module (Landlock)",
        lambda p: p.record is not None and bool(p.record.landlock)),
    Row("5.4", "has no capabilities that give the system away", _few_capabilities),
    Row("5.5", "is not privileged", lambda p: len(p.capabilities) < len(CAPABILITIES)),
    Row("5.6", "writes to no sensitive directory of the system", _no_sensitive_place),
    Row("5.7", "gives nobody a login", _no_login),
    Row("5.8", "listens on no privileged port of the system", _no_low_ports),
    Row("5.9", "listens on listed ports only", _limited_ports),
    Row("5.10", "has a network of its own", lambda p: "network" in p.private),
    Row("5.11", "has a limit of memory", lambda p: p.memory is not None),
    Row("5.12", "has a limit of processor time", lambda p: p.cpu is not None),
    Row("5.13", "has a read-only root", lambda p: p.readonly),
    Row("5.16", "sees no other's processes", lambda p: "pid" in p.private),
    Row("5.17", "shares no memory with others", lambda p: "ipc" in p.private),
    Row("5.18", "uses no devices of the machine", lambda p: not p.devices and not p.all_devices),
    Row("5.19", "has a limit of open files", lambda p: "RLIMIT_NOFILE" in p.limits),
    Row("5.20", "spreads no mounts", _no_sharing),
    Row("5.21", "has a host name of its own", lambda p: "uts" in p.private),
    Row("5.22", "has its system calls filtered", lambda p: p.filtered),
    Row("5.25", "sees no other's control group", lambda p: "cgroup" in p.private),
    Row("5.26", "can gain no privileges", lambda p: p.no_new_privileges),
    Row("5.29", "has a limit of processes", lambda p: p.processes is not None),
    Row("5.31", "has users of its own", lambda p: "user" in p.private),
    Row("5.32", "speaks to no container engine", _no_engine),
)  # fmt: skip

_BY_NEED = frozenset({"5.8", "5.10"})  # what a service on a network has to have

NIST = (
    Row("4.1.2", "images run without needless privileges",
        lambda p: not p.root and _few_capabilities(p)),
    Row("4.3.3", "traffic of containers is separated", _limited_ports),
    Row("4.4.2", "what containers reach is listed", _limited_egress),
    Row("4.4.3", "containers are configured as the CIS benchmark says",
        lambda p: all(row.well(p) for row in CIS if row.id not in _BY_NEED)),
    Row("4.4.4", "a container that is taken over can do little", _locked),
    Row("4.5.2", "containers share no namespaces of the kernel by default",
        lambda p: {"pid", "ipc", "uts", "mount"} <= p.private),
    Row("4.5.4", "nobody logs in", _no_login),
    Row("4.5.5", "no sensitive directories of the host are mounted", _no_sensitive_place),
)  # fmt: skip

OPERATOR = (
    ("CIS", "4.2", "base images are trusted", "pin them in a lock file, by digest"),
    ("CIS", "4.4", "images are scanned", "scan the bill of materials in the image"),
    ("CIS", "5.15", "restarts are limited", "see the service's restart policy"),
    ("CIS", "5.27", "health is checked", "see the service's health check"),
    ("SP 800-190", "4.1.1", "images have no known vulnerabilities", "scan the bill of materials"),
    ("SP 800-190", "4.1.4", "images hold no secrets", "give them to the machine: `secrets`"),
    ("SP 800-190", "4.1.5", "images are trusted", "pin them in a lock file, by digest"),
    ("SP 800-190", "4.5.1", "the system is minimal", "read the list of its parts: build --size"),
    ("SP 800-190", "4.5.3", "the system is patched", "renew the lock file and build again"),
    ("SP 800-190", "4.6", "boot is measured", "use firmware and a format that measure"),
)


def verdicts(postures: Sequence[Posture]) -> tuple[Verdict, ...]:
    """Every row of both lists, for all containers together."""
    found = [
        _verdict(standard, row, postures)
        for standard, rows in (("CIS", CIS), ("SP 800-190", NIST))
        for row in rows
    ]
    found += [Verdict(name, key, text, "operator", how) for name, key, text, how in OPERATOR]
    return tuple(sorted(found, key=lambda v: (v.standard, [int(n) for n in v.id.split(".")])))


def _verdict(standard: str, row: Row, postures: Sequence[Posture]) -> Verdict:
    failing = [posture.name for posture in postures if not row.well(posture)]
    result = "fail" if failing else "pass"
    return Verdict(standard, row.id, row.text, result, ", ".join(failing))
