"""Values that the YAML writes as one text: binds, tmpfs mounts, limits, modes and names.

Each is read once, here, with the reason when it cannot be; what they mean for a container is
left to :mod:`linuxkit.build.runtime`.  Readers raise LK0208 without a place: the decoder knows it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from linuxkit.base.errors import Error, printable, suggestion

UNLIMITED = 2**64 - 1

# The order is the kernel's numbering (include/uapi/linux/capability.h), which "all" follows.
CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (  # noqa: SIM905 - a quoted word a line would hide the order
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
        "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
        "CHECKPOINT_RESTORE"
    ).split()
)
_CAPABILITY_SET = frozenset(CAPABILITIES)

# Those of getrlimit(2).
RLIMITS = tuple(
    f"RLIMIT_{name}"
    for name in (  # noqa: SIM905
        "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME "
        "SIGPENDING STACK"
    ).split()
)

# Linux' numbers, which all our architectures share (signal(7)).
SIGNALS = {
    f"SIG{name}": number
    for number, name in enumerate(
        (  # noqa: SIM905
            "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD "
            "CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
        ).split(),
        start=1,
    )
}

_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DAY_MS = 86_400_000

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_VOLUME = re.compile(r"[a-z0-9_-]{1,128}")


def _bad(message: str, hint: str = "") -> Error:
    return Error("LK0208", message, hint=hint)


class Bind(NamedTuple):
    """A bind mount; ``options`` None means the default ones.  Its text is ``str()``."""

    source: str
    destination: str
    options: tuple[str, ...] | None = None

    def __str__(self) -> str:
        tail = "" if self.options is None else ":" + ",".join(self.options)
        return f"{self.source}:{self.destination}{tail}"


class Tmpfs(NamedTuple):
    """An empty file system in memory."""

    destination: str
    options: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.destination + ("" if self.options is None else ":" + ",".join(self.options))


class Rlimit(NamedTuple):
    """A resource limit of getrlimit(2); ``text`` is how the user wrote it."""

    name: str
    soft: int
    hard: int
    text: str

    def __str__(self) -> str:
        return self.text


class Mode(NamedTuple):
    """Permission bits; ``text`` is how the user wrote them."""

    bits: int
    text: str

    def __str__(self) -> str:
        return self.text


class Duration(NamedTuple):
    """A length of time; ``text`` is how the user wrote it."""

    ms: int
    text: str

    def __str__(self) -> str:
        return self.text


def duration(text: str) -> Duration:
    """A number with its unit, or several: ``500ms``, ``10s``, ``1m30s``; at most a day."""
    parts = re.findall(r"([0-9]{1,9})(ms|s|m|h)", text)
    ms = sum(int(number) * _MS[unit] for number, unit in parts)
    if not 10 <= ms <= _DAY_MS or "".join(map("".join, parts)) != text:  # noqa: PLR2004
        raise _bad(
            f'"{printable(text)}" is not a length of time',
            'write a number and its unit, such as "500ms", "10s", "1m30s"; a day is the most',
        )
    return Duration(ms, text)


def signal(text: str) -> str:
    """A signal's name, with or without ``SIG``, or its number."""
    name = "SIG" + text.upper().removeprefix("SIG")
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 64:  # noqa: PLR2004
        return text
    if name not in SIGNALS:
        hint = suggestion(name, SIGNALS) or "such as SIGTERM, SIGINT, SIGQUIT, SIGHUP"
        raise _bad(f'unknown signal "{printable(text)}"', hint)
    return name


def absolute_path(text: str) -> str:
    """A path that begins at the root."""
    if not text.startswith("/"):
        raise _bad(f'"{printable(text)}" is not an absolute path', f'write "/{printable(text)}"')
    return text


def bind(text: str) -> Bind:
    """``SOURCE:DESTINATION[:OPTION,...]``; the source is a path or a volume's name."""
    parts = text.split(":")
    if len(parts) not in {2, 3} or not parts[0] or not parts[1]:
        raise _bad(
            f'"{printable(text)}" is not a bind', 'write "source:destination" or "…:ro,option"'
        )
    return Bind(parts[0], parts[1], _options(parts[2], text) if len(parts) == 3 else None)  # noqa: PLR2004


def tmpfs(text: str) -> Tmpfs:
    """``DESTINATION[:OPTION,...]``."""
    parts = text.split(":")
    if len(parts) > 2 or not parts[0]:  # noqa: PLR2004
        raise _bad(f'"{printable(text)}" is not a tmpfs', 'write "destination:option,option"')
    return Tmpfs(parts[0], _options(parts[1], text) if len(parts) > 1 else None)


def _options(text: str, whole: str) -> tuple[str, ...]:
    options = tuple(text.split(","))
    if not all(options):
        raise _bad(f'"{printable(whole)}" has an empty option', 'leave out the extra ":" or ","')
    return options


def rlimit(text: str) -> Rlimit:
    """``NAME,SOFT,HARD``; the prefix RLIMIT_ may be left out, a limit may be ``unlimited``."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:  # noqa: PLR2004
        raise _bad(f'"{printable(text)}" is not a limit', 'write "nofile,1024,2048"')
    name = "RLIMIT_" + parts[0].upper().removeprefix("RLIMIT_")
    if name not in RLIMITS:
        shorts = [limit[7:].lower() for limit in RLIMITS]
        hint = suggestion(parts[0].lower().removeprefix("rlimit_"), shorts)
        raise _bad(f'unknown limit "{printable(parts[0])}"', hint or f"known: {', '.join(shorts)}")
    return Rlimit(name, _limit(parts[1], text), _limit(parts[2], text), text)


def _limit(part: str, text: str) -> int:
    if part.lower() == "unlimited":
        return UNLIMITED
    if re.fullmatch("[0-9]{1,20}", part) and int(part) <= UNLIMITED:
        return int(part)
    raise _bad(
        f'"{printable(part)}" in the limit "{printable(text)}" is not a number',
        'write a number, or "unlimited"',
    )


def mode(text: str) -> Mode:
    """Permission bits in octal, as in ``0644``."""
    if not re.fullmatch("[0-7]{1,5}", text) or int(text, 8) > 0o7777:  # noqa: PLR2004
        raise _bad(f'"{printable(text)}" is not a mode', 'write octal digits, such as "0644"')
    return Mode(int(text, 8), text)


def capability(text: str) -> str:
    """A capability's full name, or ``all`` or ``none``."""
    if text in _CAPABILITY_SET or text.lower() in {"all", "none"}:
        return text
    raise _bad(
        f'unknown capability "{printable(text)}"',
        suggestion("CAP_" + text.upper().removeprefix("CAP_"), CAPABILITIES),
    )


def name(text: str) -> str:
    """A container's name: it becomes a folder and the container's id."""
    if not _NAME.fullmatch(text):
        raise _bad(
            f'"{printable(text)}" is not a name for a container',
            'a name has letters, digits, "_", ".", "+" and "-", and begins with none of ".+-"',
        )
    return text


def secret(text: str) -> str:
    """A secret's name: it becomes a file's."""
    if not _NAME.fullmatch(text) or len(text) > 64:  # noqa: PLR2004
        raise _bad(
            f'"{printable(text)}" is not a name for a secret',
            'at most 64 letters, digits, "_", ".", "+" and "-"; it begins with none of ".+-"',
        )
    return text


def volume(text: str) -> str:
    """A volume's name."""
    if not _VOLUME.fullmatch(text):
        raise _bad(
            f'"{printable(text)}" is not a name for a volume',
            'a name has lower-case letters, digits, "_" and "-"',
        )
    return text


def platform(text: str) -> str:
    """``linux/ARCH`` or ``linux/ARCH/VARIANT``."""
    if not re.fullmatch(r"linux/[a-z0-9]+(/[a-z0-9.]+)?", text):
        raise _bad(f'"{printable(text)}" is not a platform', 'write "linux/amd64"')
    return text


def page_size(text: str) -> str:
    """The size of huge pages, as the kernel's hugetlb controller names it."""
    if not re.fullmatch("[1-9][0-9]{0,9}[KMG]B", text):
        raise _bad(f'"{printable(text)}" is not a page size', 'write "2MB" or "1GB"')
    return text


def namespace(text: str) -> str:
    """``host`` (or ``root``), ``new``, or the path of a namespace."""
    if text in {"", "host", "root", "new"} or text.startswith("/"):
        return text
    raise _bad(f'unknown namespace "{printable(text)}"', 'write "host", "new" or an absolute path')


def net_namespace(text: str) -> str:
    """As :func:`namespace`, or ``none``, which is a new one too."""
    return text if text == "none" else namespace(text)


def hostname(text: str) -> str:
    """At most 64 bytes (sethostname(2)), without white space."""
    if len(text.encode()) > 64 or any(c.isspace() for c in text):  # noqa: PLR2004
        raise _bad(
            f'"{printable(text)}" is not a host name', "it has at most 64 bytes and no white space"
        )
    return text


def file_path(text: str) -> str:
    """A path in the system's root; a leading slash makes no difference."""
    parts = text.strip("/").split("/")
    if ".." in parts:
        raise _bad(f'the path "{printable(text)}" has a ".." in it', "write the path without it")
    if not any(part not in {"", "."} for part in parts):
        raise _bad(f'"{printable(text)}" is not a path of a file', "")
    return text
