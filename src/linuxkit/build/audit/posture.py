"""What a container can do, as facts: read from its config.json and the record of its confinement.

Both may come from an image that somebody else built; whatever is missing counts as open.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import syscalls
from linuxkit.base.errors import Error
from linuxkit.build.sandbox import bpf, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from linuxkit.build.sandbox.record import Record

MAX_CONFIG = 1 << 20


class Mount(NamedTuple):
    """One mount of a container."""

    target: str
    kind: str
    source: str
    options: frozenset[str]

    @property
    def bind(self) -> bool:
        """Whether it shows files of the system."""
        return self.kind == "bind" or not {"bind", "rbind"}.isdisjoint(self.options)


class Posture(NamedTuple):
    """One container; ``record`` is None when nothing but an OCI runtime confines it."""

    name: str  # "services/web"
    arch: str
    command: tuple[str, ...]
    uid: int
    groups: tuple[int, ...]
    private: frozenset[str]  # kinds of namespaces of its own
    capabilities: frozenset[str]
    inheritable: frozenset[str]
    ambient: frozenset[str]
    no_new_privileges: bool
    readonly: bool
    mounts: tuple[Mount, ...]
    masked: frozenset[str]
    protected: frozenset[str]
    devices: int  # nodes besides the usual ones
    all_devices: bool
    limits: Mapping[str, int]
    memory: int | None
    processes: int | None
    cpu: int | None
    oom_score: int
    propagation: str
    record: Record | None
    refused: frozenset[str]  # calls that a filter of the OCI runtime refuses

    @property
    def root(self) -> bool:
        """Whether it is uid 0 of the whole system."""
        return self.uid == 0 and "user" not in self.private

    @property
    def filtered(self) -> bool:
        """Whether any filter of system calls is there."""
        return self.record is not None or bool(self.refused)

    def may(self, call: str, arguments: Sequence[int] = (0,) * 6) -> bool:
        """Whether the filters let a call pass; one that the architecture lacks cannot be made."""
        number = syscalls.numbers(self.arch).get(call)
        if number is None or call in self.refused:
            return False
        if self.record is None:
            return True
        return bpf.run(self.record.filter, self.arch, number, arguments) == bpf.RET_ALLOW

    @property
    def calls(self) -> int:
        """How many system calls can be made, of some with certain arguments only."""
        usual = ((0,) * 6, (1, 0, 0, 0, 0, 0))  # of sockets those of the family unix
        names = syscalls.numbers(self.arch)
        return sum(any(self.may(name, each) for each in usual) for name in names)

    def binds(self, *, writable: bool) -> tuple[Mount, ...]:
        """Its bind mounts of the system's own files, all or those it can write to."""
        own = ("/usr/lib/linuxkit/", "/containers/")
        return tuple(
            mount for mount in self.mounts
            if mount.bind and not mount.source.startswith(own)
            and not (writable and "ro" in mount.options)
        )  # fmt: skip

    def mounted(self, target: str) -> Mount | None:
        """What is mounted at ``target``."""
        return next((mount for mount in self.mounts if mount.target == target), None)


def read(name: str, config: bytes, confinement: bytes | None, arch: str) -> Posture:
    """The container ``name``.  Raises LK0756 for a configuration that is none, LK0750, LK0752."""
    if len(config) > MAX_CONFIG:
        raise Error("LK0756", f"{name}: its config.json is too large")
    try:
        value = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise Error("LK0756", f"{name}: its config.json is no JSON") from error
    syscalls.machine(arch)
    found = _Fields(value)
    process, linux = found.map("process"), found.map("linux")
    held, limits = process.map("capabilities"), linux.map("resources")
    rules = [_Fields(rule) for rule in limits.list("devices")]
    return Posture(
        name=name,
        arch=arch,
        command=_command(process.list("args"), confined=confinement is not None),
        uid=process.map("user").number("uid") or 0,
        groups=tuple(g for g in process.map("user").list("additionalGids") if isinstance(g, int)),
        private=frozenset(_private(linux)),
        capabilities=_names(held, "bounding") | _names(held, "effective"),
        inheritable=_names(held, "inheritable"),
        ambient=_names(held, "ambient"),
        no_new_privileges=process.flag("noNewPrivileges"),
        readonly=found.map("root").flag("readonly"),
        mounts=tuple(_mount(_Fields(row)) for row in found.list("mounts")),
        masked=_names(linux, "maskedPaths"),
        protected=_names(linux, "readonlyPaths"),
        devices=len(linux.list("devices")),
        all_devices=any(r.flag("allow") and r.number("major") is None for r in rules),
        limits={
            row.text("type"): row.number("hard") or 0
            for row in map(_Fields, process.list("rlimits"))
        },
        memory=_limit(limits.map("memory").number("limit")),
        processes=_limit(limits.map("pids").number("limit")),
        cpu=_limit(limits.map("cpu").number("quota")),
        oom_score=process.number("oomScoreAdj") or 0,
        propagation=linux.text("rootfsPropagation"),
        record=None if confinement is None else record.decode(confinement),
        refused=frozenset(_refused(linux.map("seccomp"))),
    )


def _command(words: Sequence[object], *, confined: bool) -> tuple[str, ...]:
    """The container's own program, without the one that confines it."""
    texts = tuple(word for word in words if isinstance(word, str))
    return texts[2:] if confined else texts


def _private(linux: _Fields) -> Iterable[str]:
    """The kinds of namespaces that are not another's: neither the system's nor named by a path."""
    for row in map(_Fields, linux.list("namespaces")):
        if not row.text("path"):
            yield row.text("type")


def _refused(seccomp: _Fields) -> Iterable[str]:
    if seccomp.text("defaultAction") != "SCMP_ACT_ALLOW":
        return
    for rule in map(_Fields, seccomp.list("syscalls")):
        if rule.text("action") == "SCMP_ACT_ERRNO" and not rule.list("args"):
            yield from _names(rule, "names")


def _limit(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def _mount(row: _Fields) -> Mount:
    return Mount(
        row.text("destination"), row.text("type"), row.text("source"), _names(row, "options")
    )


def _names(fields: _Fields, key: str) -> frozenset[str]:
    return frozenset(item for item in fields.list(key) if isinstance(item, str))


class _Fields:
    """A JSON object in which everything else than what is asked for is as good as not there."""

    def __init__(self, value: object) -> None:
        self._value = value if isinstance(value, dict) else {}

    def map(self, key: str) -> _Fields:
        return _Fields(self._value.get(key))

    def list(self, key: str) -> list[object]:
        found = self._value.get(key)
        return found if isinstance(found, list) else []

    def text(self, key: str) -> str:
        found = self._value.get(key)
        return found if isinstance(found, str) else ""

    def number(self, key: str) -> int | None:
        found = self._value.get(key)
        return found if type(found) is int else None

    def flag(self, key: str) -> bool:
        return self._value.get(key) is True
