"""What a strict container may do beyond the profile, who says so, and what nobody may say.

An image's label asks, the YAML grants; a few things are refused whoever asks.  Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.build.sandbox import strict
from linuxkit.spec import labels
from linuxkit.spec.check import is_bind
from linuxkit.spec.confinement import Ports, Seccomp
from linuxkit.spec.model import ImageSettings
from linuxkit.spec.resources import Cpu, Memory, Resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Container
    from linuxkit.spec.parts import Runtime

_NAMESPACES = ("net", "pid", "ipc", "uts", "userns")
_PRIVATE = frozenset({"", "new", "none"})
_SHARING = frozenset({"shared", "rshared"})
_HARMLESS = frozenset({"tmpfs", "devpts", "mqueue"})
_LOOSE = frozenset({"exec", "suid", "dev"})
_REFUSALS = {key: f"{key}: new" for key in ("net", "pid", "ipc", "uts", "userns")} | {
    "jit": "jit: false", "readonly": "readonly: true",
    "noNewPrivileges": "noNewPrivileges: true", "rootfsPropagation": "rootfsPropagation: private",
}  # fmt: skip


class Privilege(NamedTuple):
    """Something that the profile does not allow by itself.

    ``path`` leads from the container's entry to the value that gives it.
    """

    path: Path
    value: str

    @property
    def key(self) -> str:
        """The key, such as ``ports.bind``."""
        return ".".join(str(step) for step in self.path if isinstance(step, str))

    def __str__(self) -> str:
        return f"{self.key}: {printable(self.value, 200)}"

    @property
    def line(self) -> str:
        """What to write to grant it."""
        first, *rest = (step for step in self.path if isinstance(step, str))
        text = f"[{self.value}]" if isinstance(self.path[-1], int) else self.value
        for step in reversed(rest):
            text = f"{{{step}: {text}}}"
        return printable(f"{first}: {text}", 200)


def privileges(settings: ImageSettings) -> Iterator[Privilege]:
    """All of them, in a fixed order, of settings to which the profile has not been applied."""
    for key in ("capabilities", "ambient"):
        for index, name in enumerate(getattr(settings, key) or ()):
            if name.lower() != "none":
                yield Privilege((key, index), name)
    for key in _NAMESPACES:
        word = getattr(settings, key) or ""
        if word not in _PRIVATE:
            yield Privilege((key,), word)
    yield from _files(settings)
    yield from _devices(settings)
    for name, value in sorted((settings.sysctl or {}).items()):
        yield Privilege(("sysctl", name), value)
    if (settings.oom_score_adj or 0) < 0:
        yield Privilege(("oomScoreAdj",), str(settings.oom_score_adj))
    if settings.rootfs_propagation in _SHARING:
        yield Privilege(("rootfsPropagation",), str(settings.rootfs_propagation))
    yield from _calls(settings)
    yield from _limits(settings)
    if settings.runtime:
        yield from _prepared(settings.runtime)


def _files(settings: ImageSettings) -> Iterator[Privilege]:
    if settings.readonly is False:
        yield Privilege(("readonly",), "false")
    for index, bind in enumerate(settings.binds or ()):
        yield Privilege(("binds", index), f'"{bind}"')
    for index, mount in enumerate(settings.mounts or ()):
        if is_bind(mount) or mount.kind not in _HARMLESS:
            options = ", ".join(mount.options or ())
            yield Privilege(
                ("mounts", index),
                f"{{type: {mount.kind}, source: {mount.source or mount.kind}, "
                f"destination: {mount.target}, options: [{options}]}}",
            )
    for index, tmpfs in enumerate(settings.tmpfs or ()):
        if not _LOOSE.isdisjoint(tmpfs.options or ()):
            yield Privilege(("tmpfs", index), f'"{tmpfs}"')
    for key, given, usual in (
        ("maskedPaths", settings.masked_paths, strict.MASKED),
        ("readonlyPaths", settings.readonly_paths, strict.READONLY),
    ):
        if given is not None and not set(usual) <= set(given):
            yield Privilege((key,), f"[{', '.join(given)}]")


def _devices(settings: ImageSettings) -> Iterator[Privilege]:
    for index, device in enumerate(settings.devices or ()):
        numbers = "" if device.path == "all" else f", major: {device.major}, minor: {device.minor}"
        mode = f', mode: "{device.mode}"' if device.mode else ""
        text = f"{{path: {device.path}, type: {device.type}{numbers}{mode}}}"
        yield Privilege(("devices", index), text)
    limits = settings.resources
    for index, rule in enumerate((limits.devices if limits else None) or ()):
        if rule.allow:
            parts = {"major": rule.major, "minor": rule.minor, "access": rule.access}
            known = "".join(f", {key}: {part}" for key, part in parts.items() if part is not None)
            text = f"{{allow: true, type: {rule.type or 'a'}{known}}}"
            yield Privilege(("resources", "devices", index), text)


def _calls(settings: ImageSettings) -> Iterator[Privilege]:
    seccomp, ports = settings.seccomp or Seccomp(), settings.ports or Ports()
    for index, name in enumerate(seccomp.allow or ()):
        yield Privilege(("seccomp", "allow", index), f'"{name}"' if name[0] == "@" else name)
    for index, name in enumerate(seccomp.families or ()):
        yield Privilege(("seccomp", "families", index), name)
    for index, port in enumerate(ports.bind or ()):
        yield Privilege(("ports", "bind", index), str(port))
    for index, port in enumerate(ports.connect or ()):
        yield Privilege(("ports", "connect", index), str(port))
    if settings.jit:
        yield Privilege(("jit",), "true")


def _limits(settings: ImageSettings) -> Iterator[Privilege]:
    """Where a limit is wider than the profile's, or has been taken away; -1 is none."""
    limits = settings.resources or Resources()
    memory, cpu = limits.memory or Memory(), limits.cpu or Cpu()
    for path, given, usual in (
        (("memory", "limit"), memory.limit, strict.MEMORY_BYTES),
        (("cpu", "quota"), cpu.quota, strict.CPU_PERIOD_US),
        (("pids", "limit"), limits.pids.limit if limits.pids else None, strict.PROCESSES),
    ):
        if given is not None and not 0 <= given <= usual:
            yield Privilege(("resources", *path), str(given))
    for index, limit in enumerate(settings.rlimits or ()):
        if limit.hard > dict(strict.RLIMITS).get(limit.name, limit.hard):
            yield Privilege(("rlimits", index), f'"{limit}"')


def _prepared(runtime: Runtime) -> Iterator[Privilege]:
    """What the system does around the container before it starts."""
    for key in ("mounts", "mkdir", "interfaces"):
        for index, item in enumerate(getattr(runtime, key) or ()):
            word = item if isinstance(item, str) else getattr(item, "name", "") or item.destination
            yield Privilege(("runtime", key, index), str(word))
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        path = getattr(runtime.bind_ns, kind, None)
        if path:
            yield Privilege(("runtime", "bindNS", kind), path)


def missing(entry: Container, merged: ImageSettings) -> tuple[Privilege, ...]:
    """What the label of ``entry``'s image asks for and the YAML does not grant.

    ``merged`` are the settings of both.
    """
    if entry.grant == "label":
        return ()
    own = {str(each) for each in privileges(labels.merge(ImageSettings(), entry))}
    return tuple(each for each in privileges(merged) if str(each) not in own)


def refusal(path: Path) -> str:
    """The line of YAML that refuses what a label has there."""
    return _REFUSALS.get(str(path[0]), f"{path[0]}: []")


def ungranted(who: str, image: str, privilege: Privilege) -> Error:
    """The error for one that is missing, with the line to add."""
    return Error(
        "LK0753",
        f"{who}: the label of {image} asks for `{privilege}`, and the YAML does not grant it",
        hint=f"grant it with `{privilege.line}`, refuse it with `{refusal(privilege.path)}`, "
        "or grant all that the label asks for with `grant: label`",
    )
