"""Compiles what is to happen in the guest into the boot table that PID 1 works off.

Pure: containers in, bytes out.  What PID 1 makes of the records stands in ``guest/README.md``,
their format in ``docs/reference/boot-table.md``.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.build import mountflags, secrets
from linuxkit.build.boottable import (
    MAX_LINK_KIND,
    MAX_LINK_NAME,
    MAX_NAME,
    MAX_UNITS,
    Record,
    dump,
    encode,
)
from linuxkit.build.supervision import Supervision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.build.runtimes import Daemon, Runtimes

__all__ = ["PATH", "Unit", "Volume", "compile_table", "dump"]

PATH = "etc/linuxkit/boot.table"
"""Where PID 1 looks for the table, relative to the root."""

POLICIES = ("stop", "continue", "reboot", "poweroff", "halt")
RESTARTS = ("no", "on-failure", "always")
PROBES = ("exec", "tcp", "file", "notify")
SECTIONS = ("volumes", "onboot", "services", "onshutdown")
LINK_PLACES = ("container", "root")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
UNITS_DIR = "/run/units"
PROBE_SUFFIX = ".probe"

_LOG_RINGS_BYTES = 2 << 20  # of all units together
_LOG_RING_BYTES = 16384
_LOG_FILE_BYTES = 1 << 20
_CONSOLE_BYTES_PER_S = 4096  # of one unit; a serial line carries about 11,000
_PARALLEL_STARTS = 4
_VOLUME_MS = 30_000
_DAEMON_BACK_OFF = (1000, 30_000, 10, 60_000)  # first, most, limit, stable

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # what OCI runtimes take as an id
_LOGS = {
    "onboot": "/run/log/onboot/{}.log",
    "services": "/var/log/{}.log",
    "onshutdown": "/run/log/shutdown/{}.log",
}


class Unit(NamedTuple):
    """One container: its bundle (a path below the root), and what its two files say."""

    section: str  # "onboot", "services" or "onshutdown"
    name: str  # the bundle's directory name: "000-dhcpcd", "nginx"
    bundle: str
    config: Mapping[str, object]  # config.json
    runtime: Mapping[str, object]  # runtime.json
    kept: Supervision = Supervision()
    after: tuple[tuple[str, str], ...] = ()  # sections and names of units that come before
    requires: tuple[tuple[str, str], ...] = ()  # those of them it cannot do without
    confine: tuple[str, ...] = ()  # stands before every program that is run in the container
    secrets: tuple[str, ...] = ()
    first_id: int = 0  # of the container's own range of ids; 0: they are the system's
    devices: tuple[str, ...] = ()  # of the root, which it may use whatever its ids are

    def __str__(self) -> str:
        return f"{self.section}/{printable(self.name)}"


class Volume(NamedTuple):
    """A named volume in ``containers/volumes``."""

    name: str
    readonly: bool = False


class Watchdog(NamedTuple):
    """The hardware's watchdog: its device, and after what time it resets the machine."""

    device: str = "/dev/watchdog"
    ms: int = 30_000


def compile_table(
    units: Sequence[Unit],
    *,
    runtimes: Runtimes,
    volumes: Sequence[Volume] = (),
    watchdog: Watchdog | None = None,
    quiet: bool = False,
) -> bytes:
    """The boot table for ``units``, in the order in which each section is to start.

    With ``quiet`` their output stays off the console: somebody reads it on a control port.
    A unit must stand behind those of its section that it comes after.  Raises LK0720 to LK0728,
    all at once, for what this guest cannot do.
    """
    served = any(unit.section == "services" for unit in units)
    daemons = runtimes.daemons if served else ()
    count = len(units) + len(volumes) + len(daemons)
    errors = [
        error
        for unit in units
        for error in (*_refused(unit), *_of_links(unit, runtimes), *_taken(unit, daemons))
    ]
    errors += [_bad_name(f"volume {volume.name}") for volume in volumes if not _ok(volume.name)]
    if count > MAX_UNITS:
        errors.append(Error("LK0724", f"{count} containers and volumes; {MAX_UNITS} are possible"))
    raise_all(errors)
    records: list[Record] = [
        ("log-ring", str(min(_LOG_RING_BYTES, _LOG_RINGS_BYTES // max(count, 1)))),
        ("log-file", str(_LOG_FILE_BYTES)),
        ("console-rate", str(0 if quiet else _CONSOLE_BYTES_PER_S)),
        ("parallel", str(_PARALLEL_STARTS)),
    ]
    if watchdog:
        records.append(("watchdog", watchdog.device, str(watchdog.ms)))
    for volume in volumes:
        records += _volume(volume)
    ordered = sorted(units, key=lambda unit: SECTIONS.index(unit.section))
    places = [(unit.section, unit.name) for unit in ordered]
    if daemons:
        first = next(i for i, place in enumerate(places) if place[0] == "services")
        needed = tuple(("services", daemon.name) for daemon in daemons)
        places[first:first] = needed
        ordered = [
            unit._replace(after=needed + unit.after) if unit.section == "services" else unit
            for unit in ordered
        ]
    numbers = {place: len(volumes) + i for i, place in enumerate(places)}
    made = {(unit.section, unit.name): _unit(unit, runtimes, numbers) for unit in ordered}
    made |= {("services", d.name): _daemon(d, runtimes.starting(d)) for d in daemons}
    for place in places:
        records += made[place]
    return encode(records)


def _ok(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and len(name) <= MAX_NAME


def _bad_name(what: str) -> Error:
    return Error(
        "LK0720",
        f'"{printable(what)}" cannot be the name of a container or volume in this guest',
        hint=f"letters, digits and _ . + - are possible, at most {MAX_NAME} of them",
    )


def _refused(unit: Unit) -> Iterator[Error]:
    """Everything about a unit that this guest cannot do."""
    if unit.section not in _LOGS:
        raise ValueError(unit.section)  # a mistake of ours, not of a user
    if not _ok(unit.name):
        yield _bad_name(str(unit))
    process = unit.config.get("process")
    settings = process if isinstance(process, dict) else {}
    if settings.get("terminal"):
        yield Error("LK0722", f"{unit}: this init gives no terminal to containers")
    if not settings.get("args"):
        yield Error(
            "LK0726",
            f"{unit}: there is nothing to run",
            hint="the image names no entrypoint: add `command: [...]`",
        )


def _of_links(unit: Unit, runtimes: Runtimes) -> Iterator[Error]:
    links = [step for step in _links(unit) if step[0] == "link"]
    if links and not runtimes.creates(unit.section):
        yield Error(
            "LK0722",
            f"{unit}: a service of containerd cannot have runtime.interfaces",
            hint="give them to an onboot container with bindNS, and join its network with `net:`",
        )
    for _, name, kind, peer, _place in links:
        for text, most in ((name, MAX_LINK_NAME), (peer, MAX_LINK_NAME), (kind, MAX_LINK_KIND)):
            if len(text.encode()) > most or re.search(r"[/\s]", text):
                yield Error(
                    "LK0722",
                    f'{unit}: "{printable(text, 60)}" cannot be a name in runtime.interfaces',
                    hint=f"Linux takes {most} bytes, without / and spaces",
                )


def _taken(unit: Unit, daemons: Sequence[Daemon]) -> Iterator[Error]:
    if unit.section == "services" and unit.name in {daemon.name for daemon in daemons}:
        yield Error(
            "LK0728",
            f"{unit}: an init image brings a service of this name",
            hint="give the container another one",
        )


def _daemon(daemon: Daemon, command: tuple[str, ...]) -> Iterator[Record]:
    kept = Supervision(restart="on-failure", back_off=_DAEMON_BACK_OFF)
    yield "unit", "services", daemon.name
    yield from _keeping(kept)
    yield "log", _LOGS["services"].format(daemon.name)
    yield "restart", kept.restart
    yield "back-off", *map(str, kept.back_off)
    yield ("start",)
    yield ("exec", *command)


def _keeping(kept: Supervision) -> Iterator[Record]:
    yield "on-failure", kept.policy
    yield "stop-signal", str(kept.stop_signal)
    yield "grace", str(kept.grace)
    yield "timeout", str(kept.timeout)


def _volume(volume: Volume) -> Iterator[Record]:
    base = f"/containers/volumes/{volume.name}"
    yield "unit", "volumes", volume.name
    yield "on-failure", "stop"
    yield "timeout", str(_VOLUME_MS)
    yield ("start",)
    lower, merged, tmp = (posixpath.join(base, part) for part in ("lower", "merged", "tmp"))
    if volume.readonly:
        yield from _mount(lower, merged, "", ["bind", "ro"])
        return
    upper, work = f"{tmp}/upper", f"{tmp}/work"
    yield from _mount("tmpfs", tmp, "tmpfs", ["private"])
    data = [f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}"]
    yield from _mount("overlay", merged, "overlay", data)


def _unit(
    unit: Unit, runtimes: Runtimes, numbers: Mapping[tuple[str, str], int]
) -> Iterator[Record]:
    pidfile = f"{UNITS_DIR}/{unit.section}-{unit.name}.pid"
    kept = unit.kept
    runtime = runtimes.command(unit.section, str(unit.runtime.get("namespace") or ""))
    yield "unit", unit.section, unit.name
    yield from _keeping(kept)
    yield "pidfile", pidfile
    yield "log", _LOGS[unit.section].format(unit.name)
    if kept.restart != "no":
        yield "restart", kept.restart
        yield "back-off", *map(str, kept.back_off)
    for key, places in (("after", unit.after), ("requires", unit.requires)):
        if places:
            yield key, *(str(numbers[place]) for place in places)
    # the empty word is where PID 1 puts the file for the pid of what runs inside
    yield "enter", *runtime, "exec", "--pid-file", "", unit.name, *unit.confine
    if kept.ready:
        yield "ready", *kept.ready
    if kept.health:
        yield "health", *kept.health
    yield ("start",)
    yield from _prepare(unit)
    yield from _start(unit, runtime, pidfile, created=runtimes.creates(unit.section))
    yield ("clean",)
    yield ("exec", *runtime, "delete", "--force", unit.name)
    own = f"/{unit.bundle}/"
    targets = [step[2] for step in _prepare(unit) if step[0] == "mount"]
    mounted = list(dict.fromkeys(target for target in targets if target.startswith(own)))
    yield from (("umount", target) for target in reversed(mounted))


def _prepare(unit: Unit) -> Iterator[Record]:
    """What is done in the root before the container starts; most of it runtime.json wants."""
    for device in unit.devices:
        yield "device", device, "0666"
    for mount in _list(unit.runtime, "mounts"):
        if isinstance(mount, dict):
            options = [str(option) for option in _list(mount, "options")]
            kind = str(mount.get("type") or "")
            source = str(mount.get("source") or kind)
            target = _below(unit, str(mount["destination"]))
            own = target.startswith(f"/{unit.bundle}/")
            # what is mounted elsewhere in the root stays, so a second start finds it there
            yield from _mount(source, target, kind, options, "mount" if own else "mount-once")
    for path in _list(unit.runtime, "mkdir"):
        yield "mkdir", _below(unit, str(path)), "0755"
    for group in _list(unit.runtime, "cgroups"):
        yield "mkdir", posixpath.normpath(f"/sys/fs/cgroup/{group}"), "0755"
    if unit.secrets:
        yield from _secrets(unit)


def _secrets(unit: Unit) -> Iterator[Record]:
    """A file system in memory for its user, and what fills it."""
    user = _user(unit)
    uid, gid = (unit.first_id + user[key] for key in ("uid", "gid"))
    folder = f"/{unit.bundle}/{secrets.FOLDER}"
    yield from _mount("tmpfs", folder, "tmpfs", secrets.file_system(uid, gid))
    yield ("exec", *secrets.command(folder, uid, gid, unit.secrets))


def _below(unit: Unit, path: str) -> str:
    """Relative paths are relative to the container's root."""
    return posixpath.normpath(posixpath.join("/", unit.bundle, "rootfs", path))


def _mount(
    source: str, target: str, kind: str, options: Sequence[str], step: str = "mount"
) -> Iterator[Record]:
    yield "mkdir", target, "0755"
    for option in options:
        key, _, path = option.partition("=")
        if key in {"upperdir", "workdir"}:
            yield "mkdir", path, "0755"
    for call in mountflags.calls(source, target, kind, options):
        yield step, call.source, call.target, call.kind, str(call.flags), call.data


def _start(
    unit: Unit, runtime: tuple[str, ...], pidfile: str, *, created: bool
) -> Iterator[Record]:
    words = ("--pid-file", pidfile, "--bundle", f"/{unit.bundle}", unit.name)
    bound = unit.runtime.get("bindNS")
    binds = [(kind, str(bound[kind])) for kind in NAMESPACES if bound.get(kind)] if (
        isinstance(bound, dict)
    ) else []  # fmt: skip
    links = tuple(_links(unit))
    apart = created and (binds or links)
    yield ("exec", *runtime, *(("create",) if apart else ("run", "--detach")), *words)
    for kind, path in binds:
        yield "bind-ns", kind, posixpath.normpath(posixpath.join("/", path))
    yield from links  # behind it: a network of the time before, kept there, has let go of them
    if apart:
        yield ("exec", *runtime, "start", unit.name)


def _links(unit: Unit) -> Iterator[Record]:
    """The interfaces that its network is given, as upstream's init gives them."""
    for link in _list(unit.runtime, "interfaces"):
        if isinstance(link, dict):
            name, peer = str(link["name"]), str(link.get("peer") or "")
            kind = str(link.get("add") or (peer and "veth"))
            is_pair = kind == "veth"
            outside = is_pair or bool(link.get("createInRoot"))
            yield "link", name, kind, peer if is_pair else "", LINK_PLACES[outside]


def _user(unit: Unit) -> Mapping[str, int]:
    """Who its process is, as config.json has it."""
    process = unit.config.get("process")
    user = process.get("user") if isinstance(process, dict) else None
    return user if isinstance(user, dict) else {"uid": 0, "gid": 0}


def _list(value: Mapping[str, object], key: str) -> list[object]:
    found = value.get(key)
    return found if isinstance(found, list) else []
