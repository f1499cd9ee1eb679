"""What a container may do to the system around it, and how much of that its image's label grants.

Pure: settings in, lines of text out.  Labels are written by strangers; whoever builds a system is
told what he did not write himself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.spec import labels
from linuxkit.spec.check import is_bind
from linuxkit.spec.model import ImageSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.spec.model import Container
    from linuxkit.spec.parts import Runtime

# File systems that hold nothing of the system around.
_HARMLESS = frozenset({"tmpfs", "proc", "devpts", "mqueue"})
_SHARING = frozenset({"shared", "rshared"})


def granted_by_label(entry: Container, merged: ImageSettings) -> tuple[str, ...]:
    """What ``entry`` may do only because its image's label says so, in a fixed order.

    ``merged`` are the settings of both, as :func:`linuxkit.spec.labels.settings` has them.
    """
    own = frozenset(privileges(labels.merge(ImageSettings(), entry)))
    return tuple(line for line in dict.fromkeys(privileges(merged)) if line not in own)


def privileges(settings: ImageSettings) -> Iterator[str]:
    """What a container with these settings may do that one without any may not, a line each."""
    for key, names in (("capability", settings.capabilities), ("ambient", settings.ambient)):
        yield from (f"{key} {name}" for name in names or () if name.lower() != "none")
    yield from _namespaces(settings)
    for bind in settings.binds or ():
        yield f"bind {bind}"
    for mount in settings.mounts or ():
        if is_bind(mount) or mount.kind not in _HARMLESS:
            yield f"mount {_mounted(mount.kind, mount.source, mount.target, mount.options)}"
    yield from _devices(settings)
    yield from (f"sysctl {key}={value}" for key, value in sorted((settings.sysctl or {}).items()))
    if (settings.oom_score_adj or 0) < 0:
        yield f"oomScoreAdj {settings.oom_score_adj}"
    if settings.rootfs_propagation in _SHARING:
        yield f"rootfsPropagation {settings.rootfs_propagation}"
    if settings.runtime:
        yield from _prepared(settings.runtime)


def _devices(settings: ImageSettings) -> Iterator[str]:
    for device in settings.devices or ():
        numbers = "" if device.path == "all" else f" {device.major}:{device.minor}"
        yield f"device {device.path} {device.type}{numbers}"
    limits = settings.resources
    for rule in (limits.devices if limits else None) or ():
        if rule.allow:
            numbers = ":".join("*" if n is None else str(n) for n in (rule.major, rule.minor))
            yield f"device rule {rule.type or 'a'} {numbers} {rule.access or ''}".rstrip()


def _namespaces(settings: ImageSettings) -> Iterator[str]:
    """Namespaces shared with the system where they are not by default, or with others."""
    if settings.pid in {"host", "root"}:
        yield "pid host"
    for kind in ("net", "pid", "ipc", "uts", "userns"):
        text = getattr(settings, kind) or ""
        if text.startswith("/"):
            yield f"{kind} {text}"


def _prepared(runtime: Runtime) -> Iterator[str]:
    """What the system does around the container before it starts."""
    for mount in runtime.mounts or ():
        shown = _mounted(mount.type, mount.source, mount.destination, mount.options)
        yield f"runtime mount {shown}"
    yield from (f"runtime mkdir {path}" for path in runtime.mkdir or ())
    for interface in runtime.interfaces or ():
        yield f"runtime interface {interface.name}"
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        path = getattr(runtime.bind_ns, kind, None)
        if path:
            yield f"runtime bindNS {kind} {path}"


def _mounted(
    kind: str | None, source: str | None, target: str | None, options: tuple[str, ...] | None
) -> str:
    words = (kind or "", source or kind or "", "on", target or "", ",".join(options or ()))
    return " ".join(word for word in words if word)
