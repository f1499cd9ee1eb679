"""The mounts of a container as an OCI runtime configuration has them, under either profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.build.cgroups import filled
from linuxkit.build.sandbox import strict
from linuxkit.spec.check import is_bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from linuxkit.build.cgroups import Value
    from linuxkit.build.sandbox.strict import Sandbox
    from linuxkit.spec.model import ImageSettings, Volume
    from linuxkit.spec.parts import IdMapping, Mount
    from linuxkit.spec.text import Bind

VOLUMES = "containers/volumes"


def container_mounts(
    s: ImageSettings, volumes: Mapping[str, Volume], bundle: str, sandbox: Sandbox | None
) -> list[Value]:
    """All mounts by destination; of two at one place the later kind wins, as upstream."""
    usual = _default_mounts(readonly=bool(s.readonly))
    mounts = _confined_mounts(bundle, sandbox) if sandbox else usual
    for tmpfs in s.tmpfs or ():
        mounts[tmpfs.destination] = row(tmpfs.destination, "tmpfs", "tmpfs", tmpfs.options)
    for bind in s.binds or ():
        source = _volume_path(bind.source, volumes)
        mounts[bind.destination] = {
            **row(bind.destination, "bind", source, _bind_options(bind)),
            **_ids_on_disk(s, bind.source, bind.options, sandbox),
        }
    for mount in s.mounts or ():
        source = mount.source or mount.kind
        if is_bind(mount):
            source = _volume_path(source, volumes)
        on_disk = _ids_on_disk(s, source, mount.options, sandbox) if is_bind(mount) else {}
        mounts[mount.target] = {
            **row(mount.target, mount.kind, source, mount.options),
            **on_disk,
            **mount_mappings(mount),
        }
    # Sorted, so that /dev comes before /dev/pts.
    return [mounts[destination] for destination in sorted(mounts)]


def _default_mounts(*, readonly: bool) -> dict[str, Value]:
    """What every container has; there is no /dev/shm and no /dev/mqueue among it."""
    ro = ("ro",) if readonly else ()
    rows = (
        ("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k", *ro)),
        ("/dev/pts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")),
        ("/proc", "proc", ("nosuid", "nodev", "noexec", "relatime")),
        ("/sys", "sysfs", ("nosuid", "noexec", "nodev", *ro)),
        ("/sys/fs/cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
    )
    return {target: row(target, kind, kind, options) for target, kind, options in rows}


def _confined_mounts(bundle: str, sandbox: Sandbox) -> dict[str, Value]:
    """The strict profile's, and the program that confines with what it is to do."""
    mounts = {
        target: row(target, kind, kind, options)
        for target, kind, options in strict.default_mounts()
    }
    program, record = f"/{strict.HELPER}", f"/{bundle}/{strict.RECORD}"
    for name, source in (("confine", program), ("record", record)):
        target = f"{strict.INSIDE}/{name}"
        mounts[target] = row(target, "bind", source, ("bind", "rprivate", "ro", "nosuid", "nodev"))
    if sandbox.learns:
        program, folder = f"/{strict.LEARNER}", learned(bundle)
        safe = ("bind", "rprivate", "nosuid", "nodev")
        for source, target, last in zip(
            (program, folder), strict.COUNTING, (("ro",), ("rw", "noexec")), strict=True
        ):
            mounts[target] = row(target, "bind", source, (*safe, *last))
    return mounts


def learned(bundle: str) -> str:
    """The folder in the root where the calls of a container that learns are counted."""
    return f"{strict.LEARNED}/{bundle.removeprefix('containers/')}"


def _ids_on_disk(
    s: ImageSettings,
    source: str | None,
    options: Sequence[str] | None,
    sandbox: Sandbox | None,
) -> Value:
    """An id-mapped mount for files that a container with ids of its own writes.

    Its user 101 is then 101 on the disk too.  Overlays, of which volumes are made, know no such
    mounts; nor is there a need where nothing is written.
    """
    volume = not (source or "").startswith("/") or (source or "").startswith(f"/{VOLUMES}/")
    if not sandbox or volume or "ro" in (options or ()):
        return {}
    return filled(uidMappings=id_mappings(s.uid_mappings), gidMappings=id_mappings(s.gid_mappings))


def _bind_options(bind: Bind) -> Sequence[str]:
    if bind.options is None:
        return ("rw", "rbind", "rshared")
    return bind.options if "rbind" in bind.options else (*bind.options, "rbind")


def _volume_path(source: str, volumes: Mapping[str, Volume]) -> str:
    return f"/{VOLUMES}/{source}/merged" if source in volumes else source


def row(target: str | None, kind: str | None, source: str | None, options: object) -> Value:
    """A mount as config.json has it."""
    listed = list(options) if isinstance(options, tuple) else []
    return {
        "destination": target or "",
        **filled(type=kind, source=source, options=listed),
    }


def mount_mappings(mount: Mount) -> Value:
    """The ids of an id-mapped mount that the YAML asks for."""
    return filled(
        uidMappings=id_mappings(mount.uidmappings), gidMappings=id_mappings(mount.gidmappings)
    )


def id_mappings(mappings: Iterable[IdMapping] | None) -> list[Value]:
    """Ranges of ids as config.json has them."""
    return [
        {"containerID": m.container_id, "hostID": m.host_id, "size": m.size} for m in mappings or ()
    ]
