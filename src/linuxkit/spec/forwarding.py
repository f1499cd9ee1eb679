"""The keys that say where the output of units goes besides the machine's own files.

What becomes of them is left to :mod:`linuxkit.spec.expand`.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Annotated, NamedTuple

from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.spec import address
from linuxkit.spec.decode import Key, Problem, path_text
from linuxkit.spec.parts import Strings  # noqa: TC001 - the decoder reads annotations
from linuxkit.spec.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Spec

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "security", "console", "solaris-cron", "local0", "local1", "local2", "local3",
    "local4", "local5", "local6", "local7",
)  # fmt: skip
"""By their numbers (RFC 5424 section 6.2.1)."""

MOST_RECEIVERS = 16
MOST_UNITS = 64
"""Log files that one receiver can name (``MAX_WORDS`` of ``guest/logs/forward.c``)."""

_RATE = 1000
_RATE_LIMIT = 1_000_000
_SIZE = 10 << 20
_SIZE_LIMIT = 1 << 50
_FILES = 5
_PORT = "514"
_UNIX_BYTES = 107  # sun_path, and a NUL (unix(7))
_PATH = re.compile(r"/[A-Za-z0-9_.+@%:/-]{1,255}")


class Receiver(NamedTuple):
    """A syslog server: how it is spoken to, a host or a path, and a port."""

    how: str  # "udp", "tcp" or "unix"
    place: str
    port: str  # "-" for unix
    text: str

    def __str__(self) -> str:
        return self.text


def receiver(said: str) -> Receiver:
    """``udp://HOST[:PORT]``, ``tcp://HOST[:PORT]`` or ``unix:///PATH``."""
    how, _, rest = said.partition("://")
    if how == "unix" and _is_inside(rest) and len(rest) <= _UNIX_BYTES:
        return Receiver(how, rest, "-", said)
    if how in {"udp", "tcp"}:
        with_port = rest if re.search(r"(^|[^:\]]|\]):[0-9]+$", rest) else f"{rest}:{_PORT}"
        try:
            host, _, port = address.endpoint(with_port).rpartition(":")
        except Error:
            pass
        else:
            return Receiver(how, host.strip("[]"), port, said)
    raise Error(
        "LK0208",
        f'"{printable(said)}" is no syslog server',
        hint="write udp://logs.example.com:514, tcp://[2001:db8::1]:601 or unix:///run/syslog/log",
    )


def log_file(said: str) -> str:
    """An absolute path of a file in a folder that can be bound, outside of PID 1's own logs."""
    wanted = "write /var/lib/data/messages"
    if not _is_inside(said):
        raise Error("LK0208", f'"{printable(said)}" is no place for a log', hint=wanted)
    folder = posixpath.dirname(said)
    if folder == "/var/log" or f"{folder}/".startswith("/run/log/"):
        message = f'"{printable(said)}" lies among the logs that are forwarded'
        raise Error("LK0208", message, hint=wanted)
    return said


def _is_inside(path: str) -> bool:
    """Whether it is in a folder that a container can be given."""
    return bool(_PATH.fullmatch(path)) and posixpath.normpath(path) == path and path.count("/") > 1


class Syslog(Record):
    """A server that gets lines as syslog messages (RFC 5424)."""

    to: Annotated[
        Receiver,
        Key("`udp://HOST:PORT`, `tcp://HOST:PORT` or `unix:///PATH`; port 514 unless it says so.",
            read=receiver),
    ]  # fmt: skip
    units: Annotated[
        Strings | None, Key("Services and containers of `onboot` and `onshutdown`; else all.")
    ] = None
    facility: Annotated[
        str | None, Key("What they count as: `daemon`.", choices=FACILITIES)
    ] = None
    rate: Annotated[
        int | None,
        Key("Lines a second of each unit: 1000; others wait.", least=1, most=_RATE_LIMIT),
    ] = None


class LogFile(Record):
    """A file that gets lines, such as one on a disk; it is renamed to `PATH.1` when it is full."""

    path: Annotated[str, Key("The file; its folder is made.", read=log_file)]
    units: Annotated[
        Strings | None, Key("Services and containers of `onboot` and `onshutdown`; else all.")
    ] = None
    size: Annotated[
        int | None, Key("Bytes after which it is full: 10485760.", least=4096, most=_SIZE_LIMIT)
    ] = None
    files: Annotated[
        int | None, Key("How many are kept, with the one that grows: 5.", least=1, most=1000)
    ] = None
    rate: Annotated[
        int | None,
        Key("Lines a second of each unit: 1000; others wait.", least=1, most=_RATE_LIMIT),
    ] = None


class Logs(Record):
    """Where the output of units goes besides the machine's own files."""

    syslog: Annotated[tuple[Syslog, ...], Key("Servers.")] = ()
    files: Annotated[tuple[LogFile, ...], Key("Files.")] = ()

    def problems(self) -> Iterator[Problem]:
        """There is a receiver, and not too many."""
        count = len(self.syslog) + len(self.files)
        if not count:
            yield Problem("syslog", 'has neither "syslog" nor "files"', "name a receiver", "LK0205")
        if count > MOST_RECEIVERS:
            yield Problem("syslog", f"has {count} receivers", f"{MOST_RECEIVERS} are possible")


def compiled(logs: Logs, spec: Spec) -> str:
    """What ``log-forward`` reads: a line for each receiver, as ``guest/logs/forward.c`` says."""
    rows = []
    for server in logs.syslog:
        facility = str(FACILITIES.index(server.facility or "daemon"))
        to = server.to
        rows.append([to.how, to.place, to.port, facility, str(server.rate or _RATE)])
        rows[-1] += _files_of(server.units, spec)
    for file in logs.files:
        size, files = str(file.size or _SIZE), str(file.files or _FILES)
        rows.append(["file", file.path, size, files, str(file.rate or _RATE)])
        rows[-1] += _files_of(file.units, spec)
    return "".join(f"{' '.join(row)}\n" for row in rows)


def folders(logs: Logs) -> tuple[str, ...]:
    """Those that files and sockets are in."""
    paths = [file.path for file in logs.files]
    paths += [server.to.place for server in logs.syslog if server.to.how == "unix"]
    return tuple(sorted({posixpath.dirname(path) for path in paths}))


def problems(spec: Spec) -> Iterator[Error]:
    """LK0211 for names that nobody has, LK0208 for more than a receiver can name."""
    if spec.logs is None:
        return
    known = _names(spec)
    for key in ("syslog", "files"):
        for index, entry in enumerate(getattr(spec.logs, key)):
            yield from _unit_problems(entry.units or (), known, spec, ("logs", key, index, "units"))


def _unit_problems(
    units: Strings, known: Mapping[str, Sequence[str]], spec: Spec, path: Path
) -> Iterator[Error]:
    for number, name in enumerate(units):
        if name not in known:
            yield Error(
                "LK0211",
                f'no container is called "{printable(name)}"',
                hint=suggestion(name, known),
                where=spec.where((*path, number)),
            )
    count = sum(len(known.get(name, ())) for name in units)
    if count > MOST_UNITS:
        yield Error(
            "LK0208",
            f"{path_text(path)} names {count} containers; {MOST_UNITS} are possible",
            hint="leave `units` out to forward all, or spread them over several receivers",
            where=spec.where(path),
        )


def _names(spec: Spec) -> dict[str, list[str]]:
    """What PID 1 calls the log files of each container."""
    found: dict[str, list[str]] = {}
    for steps in (spec.onboot, spec.onshutdown):
        for index, step in enumerate(steps):
            found.setdefault(step.name, []).append(f"{index:03d}-{step.name}")
    for service in spec.services:
        found.setdefault(service.name, []).append(service.name)
    return found


def _files_of(units: Strings | None, spec: Spec) -> list[str]:
    names = _names(spec)
    return [file for unit in units or () for file in names[unit]]
