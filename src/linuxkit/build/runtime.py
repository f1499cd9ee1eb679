"""A container's settings as OCI runtime configuration (``config.json``) and ``runtime.json``.

Pure: values in, values out; the layout of keys and the defaults are upstream's.  Merging the
settings is :mod:`linuxkit.spec.labels`' work, running them the guest's.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.build import mounts
from linuxkit.build.cgroups import filled, resources
from linuxkit.build.ids import numeric
from linuxkit.build.sandbox import strict
from linuxkit.spec.check import source_problems
from linuxkit.spec.decode import ERROR_LIMIT
from linuxkit.spec.parts import Namespaces, Runtime
from linuxkit.spec.record import replace
from linuxkit.spec.text import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from linuxkit.build.cgroups import Value
    from linuxkit.build.sandbox.compat import Guard
    from linuxkit.build.sandbox.strict import Sandbox
    from linuxkit.spec.model import ImageSettings, Volume
    from linuxkit.spec.parts import Clocks, Device, Interface

OCI_VERSION = "1.2.1"
_SCRATCH = "tmp"  # in a container's folder


class ImageConfig(Protocol):
    """What is read of an image's configuration (:class:`linuxkit.oci.model.ImageConfig`)."""

    @property
    def entrypoint(self) -> Sequence[str]:
        """The program, with its first arguments."""

    @property
    def cmd(self) -> Sequence[str]:
        """Further arguments, or the program when there is no entrypoint."""

    @property
    def env(self) -> Sequence[str]:
        """Environment, as NAME=value."""

    @property
    def cwd(self) -> str:
        """Working directory; "" when unset."""


class Bundle(NamedTuple):
    """The two documents that lie in a container's folder."""

    config: Value
    runtime: Value
    readonly: bool

    @property
    def config_json(self) -> bytes:
        """The bytes of ``config.json``."""
        return encode_go_json(self.config)

    @property
    def runtime_json(self) -> bytes:
        """The bytes of ``runtime.json``."""
        return encode_go_json(self.runtime)


def container_config(
    settings: ImageSettings,
    image: ImageConfig,
    *,
    ids: Mapping[str, int],
    volumes: Mapping[str, Volume],
    bundle: str,
    lower: str,
    sandbox: Sandbox | None = None,
    guard: Guard | None = None,
    root: str = "rootfs",
) -> Bundle:
    """The documents for the container whose folder is ``bundle``.

    ``settings`` are merged from label and YAML; ``lower`` is where the image's files lie, in this
    bundle or in that of another container (both without a leading slash); ``root`` is what the
    configuration calls their place when they are mounted, from ``bundle`` on or absolute.

    With a ``sandbox`` the settings are those of :func:`linuxkit.build.sandbox.strict.settings`,
    with a ``guard`` those of :func:`linuxkit.build.sandbox.compat.guarded`.  Raises LK0208 and
    LK0211, without a place, for volumes and ids that a label names and nobody has, LK0713 for an
    unsafe working directory.
    """
    found = islice(source_problems(settings, volumes), ERROR_LIMIT)
    raise_all([problem for _, problem in found])
    own = settings.command
    place = _Place(bundle, sandbox, guard, root)
    complete = replace(
        settings,
        command=(*image.entrypoint, *image.cmd) if own is None else own,
        env=tuple(image.env) if settings.env is None else settings.env,
        cwd=_working_directory(settings.cwd or image.cwd or "/"),
    )
    return Bundle(
        _config(complete, ids, volumes, place),
        _runtime(
            settings.runtime or Runtime(),
            [*_root_mounts(settings, bundle, lower), *_own_mounts(settings, ids, place)],
        ),
        bool(settings.readonly),
    )


def _working_directory(path: str) -> str:
    """``path`` unless it is relative, climbs, or is a door to a runtime's open files.

    Before CVE-2024-21626 a directory such as /proc/self/fd/7 led runc out to the host.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not path.startswith("/") or ".." in parts or parts[:1] == ["proc"]:
        raise Error(
            "LK0713",
            f'"{printable(path)}" cannot be a working directory',
            hint="set `cwd` to an absolute path outside of /proc",
        )
    return path


def encode_go_json(value: object) -> bytes:
    """JSON as Go writes it with four spaces: ``<``, ``>``, ``&`` escaped, no newline at the end.

    (encoding/json of Go 1.24, SetEscapeHTML.)
    """
    text = json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False)
    # None of these can stand outside a string, so replacing them in the whole text is right.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


class _Place(NamedTuple):
    """A container's folder, and how it is confined beyond its settings."""

    bundle: str
    sandbox: Sandbox | None
    guard: Guard | None
    root: str

    @property
    def namespaces(self) -> list[Value]:
        """Those that no key of the YAML is about."""
        return [{"type": "cgroup"}] if self.sandbox or self.guard else []


def _config(
    s: ImageSettings, ids: Mapping[str, int], volumes: Mapping[str, Volume], place: _Place
) -> Value:
    root: Value = {"path": place.root}
    if s.readonly:
        root["readonly"] = True
    return filled(
        ociVersion=OCI_VERSION,
        process=_process(s, ids, place.sandbox),
        root=root,
        hostname=s.hostname,
        mounts=mounts.container_mounts(s, volumes, place.bundle, place.sandbox),
        annotations=_sorted(s.annotations),
        linux={
            **filled(
                uidMappings=mounts.id_mappings(s.uid_mappings),
                gidMappings=mounts.id_mappings(s.gid_mappings),
                sysctl=_sorted(s.sysctl),
            ),
            "resources": {
                **resources(s.resources, s.devices or ()),
                **filled(unified=strict.UNIFIED if place.sandbox else None),
            },
            **filled(
                cgroupsPath=s.cgroups_path,
                namespaces=_namespaces(s) + place.namespaces,
                timeOffsets=_time_offsets(s.clocks) if s.clocks else None,
                devices=[_device(d) for d in s.devices or () if d.path != "all"],
                seccomp=dict(place.guard.seccomp) if place.guard else None,
                rootfsPropagation=s.rootfs_propagation,
                maskedPaths=_list(s.masked_paths),
                readonlyPaths=_list(s.readonly_paths),
            ),
        },
    )


def _process(s: ImageSettings, ids: Mapping[str, int], sandbox: Sandbox | None) -> Value:
    user: Value = {"uid": numeric(s.uid, ids), "gid": numeric(s.gid, ids)}
    if s.additional_gids:
        user["additionalGids"] = [numeric(gid, ids) for gid in s.additional_gids]
    process: Value = {
        "user": user,
        **filled(args=_arguments(s.command, sandbox), env=_list(s.env)),
        "cwd": s.cwd,
        "capabilities": _capabilities(s),
        **filled(
            rlimits=[{"type": r.name, "hard": r.hard, "soft": r.soft} for r in s.rlimits or ()],
            noNewPrivileges=s.no_new_privileges or None,
        ),
    }
    if s.oom_score_adj is not None:
        process["oomScoreAdj"] = s.oom_score_adj
    return process


def _arguments(command: Sequence[str] | None, sandbox: Sandbox | None) -> list[str]:
    """What is started; a program that confines and then starts the container's own goes first."""
    return [*sandbox.command, *command] if sandbox and command else _list(command)


def _capabilities(s: ImageSettings) -> Value:
    """Upstream's sets, but for the inheritable one.

    That holds the ambient capabilities only, which the kernel demands (capabilities(7)); more of
    them would survive execve into programs that nobody meant (CVE-2022-24769 and its kin).
    """
    wanted, ambient = _expanded(s.capabilities), _expanded(s.ambient)
    bounding = sorted({*wanted, *ambient})
    return filled(
        bounding=bounding,
        effective=wanted,
        inheritable=sorted(ambient),
        permitted=bounding,
        ambient=ambient,
    )


def _expanded(names: Iterable[str] | None) -> list[str]:
    found = dict.fromkeys(names or ())
    words = {name.lower() for name in found}
    if "all" in words:
        return list(CAPABILITIES)
    return [name for name in found if name.lower() != "none"]


def _namespaces(s: ImageSettings) -> list[Value]:
    found: list[Value] = []
    for kind, text, default in (
        ("network", s.net, "host"),
        ("ipc", s.ipc, "host"),
        ("uts", s.uts, "host"),
        ("pid", s.pid, "new"),
        ("user", s.userns, "host"),
        ("mount", "new", "new"),
    ):
        word = text or default
        if word in {"host", "root"}:
            continue
        found.append({"type": kind} if word in {"new", "none"} else {"type": kind, "path": word})
    return [*found, {"type": "time"}] if s.clocks else found


def _time_offsets(clocks: Clocks) -> Value:
    """Seconds that time_namespaces(7) adds to each clock."""
    given = (("monotonic", clocks.monotonic), ("boottime", clocks.boottime))
    return {name: {"secs": secs, "nanosecs": 0} for name, secs in given if secs is not None}


def _device(device: Device) -> Value:
    return {
        "path": device.path,
        "type": device.type,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode.bits if device.mode else 0,
    }


def _root_mounts(settings: ImageSettings, bundle: str, lower: str) -> list[Value]:
    """What makes ``rootfs``: a bind of the files, or an overlay that writes into a tmpfs."""
    at = f"/{bundle}"
    if settings.readonly:
        return [mounts.row(f"{at}/rootfs", None, f"/{lower}", ("bind",))]
    scratch = f"{at}/{_SCRATCH}"
    overlay = (f"lowerdir=/{lower}", f"upperdir={scratch}/upper", f"workdir={scratch}/work")
    return [
        mounts.row(scratch, "tmpfs", "tmpfs", None),
        mounts.row(scratch, None, None, ("remount", "private")),
        mounts.row(f"{at}/rootfs", "overlay", "overlay", overlay),
    ]


def _own_mounts(s: ImageSettings, ids: Mapping[str, int], place: _Place) -> Iterator[Value]:
    """Where a container that learns has its calls counted: in memory, for its own user alone."""
    if place.sandbox and place.sandbox.learns:
        first = place.sandbox.first_id
        owner = (f"uid={first + numeric(s.uid, ids)}", f"gid={first + numeric(s.gid, ids)}")
        options = ("nosuid", "nodev", "noexec", "mode=0700", "size=64k", *owner)
        yield mounts.row(mounts.learned(place.bundle), "tmpfs", "tmpfs", options)


def _runtime(runtime: Runtime, first: Sequence[Value]) -> Value:
    """Every key is written, empty where there is nothing."""
    own = [
        {**mounts.row(m.destination, m.type, m.source, m.options), **mounts.mount_mappings(m)}
        for m in runtime.mounts or ()
    ]
    bind_ns = runtime.bind_ns or Namespaces()
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    return {
        "cgroups": _list(runtime.cgroups),
        "mounts": [*first, *own],
        "mkdir": _list(runtime.mkdir),
        "interfaces": [_interface(interface) for interface in runtime.interfaces or ()],
        "bindNS": {kind: getattr(bind_ns, kind) or "" for kind in kinds},
        "namespace": runtime.namespace or "",
    }


def _interface(interface: Interface) -> Value:
    return {
        "name": interface.name,
        **filled(add=interface.add, peer=interface.peer),
        "createInRoot": bool(interface.create_in_root),
    }


def _list(items: Iterable[str] | None) -> list[str]:
    return list(items or ())


def _sorted(texts: Mapping[str, str] | None) -> dict[str, str]:
    return {key: texts[key] for key in sorted(texts)} if texts else {}
