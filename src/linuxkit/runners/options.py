"""What a user may choose of a machine, and the words that say so on a command line.

Values only; what a program is told of them is each runner's business.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error, printable, suggestion

if TYPE_CHECKING:
    from linuxkit.disk.tools import Tools

_DISK_FORMATS = ("qcow2", "raw")
_NETWORKS = ("user", "none", "bridge", "tap")
_LINK = re.compile(r"[A-Za-z0-9_.:-]{1,15}")  # IFNAMSIZ less the final NUL
_SIZE = re.compile(r"(\d{1,9})([MG]B?)?", re.IGNORECASE)
_SECRET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,27}")  # QEMU's names have 55 characters
_PORT = 65535


class Disk(NamedTuple):
    """A disk of the machine.  Without ``path`` it lies in the state folder."""

    path: Path | None = None
    size_mib: int = 0  # of a disk that has to be made; 0: it must exist
    format: str = ""  # "qcow2", "raw" or "": by the file's name


class Secret(NamedTuple):
    """A file for the machine that is in no image."""

    name: str
    path: Path


class Forward(NamedTuple):
    """A port of the host that leads to one of the guest."""

    host: int
    guest: int
    protocol: str = "tcp"
    address: str = "127.0.0.1"  # of the host


class Network(NamedTuple):
    """How the machine's network card is connected."""

    kind: str = "user"  # "user", "none", "bridge" or "tap"
    link: str = ""  # the bridge or the tap device


@dataclass(frozen=True, slots=True)
class Options:
    """The machine a runner starts.  Times are seconds."""

    cpus: int = 1
    memory_mib: int = 1024
    disks: tuple[Disk, ...] = ()
    forwards: tuple[Forward, ...] = ()
    network: Network = Network()  # noqa: RUF009 - a tuple, it cannot change
    machine: str = ""  # kind of machine; "": what the kernel needs, else the usual one
    accel: str = ""  # "": found by trial
    program: str = ""  # the emulator; "": the usual one of the architecture
    devices: tuple[str, ...] = ()  # further devices in the emulator's own words
    state: Path | None = None  # folder of the disks made here; None: beside the artifact
    cache: Path | None = None  # where the trial's result is kept; None: the usual store
    reboot: bool = True  # False: a reboot ends the machine
    timeout_s: float | None = None
    firmware: str = ""  # "uefi" or "bios"; "": what the artifact is made for
    firmware_file: str = ""  # UEFI firmware; "": that of the tools
    data: bytes | None = None  # what the file `config` of a CD says; None: there is no such CD
    secrets: tuple[Secret, ...] = ()  # what the machine is given in QEMU's firmware configuration
    secure_boot: Path | None = None  # folder of keys, or a store of firmware's variables
    tpm: bool = False  # an emulated TPM 2.0, which keeps what it knows in the state folder
    # Where UEFI firmware comes from; None: the host's.
    tools: Tools | None = field(default=None, compare=False)

    def check(self) -> None:
        """Refuse what no machine can be.  Raises LK0812 and LK0813."""
        if not 1 <= self.cpus <= 512:  # noqa: PLR2004 - QEMU's own limit is near
            raise Error("LK0813", f"a machine cannot have {self.cpus} processors")
        if not 16 <= self.memory_mib <= 1 << 24:  # noqa: PLR2004 - 16 MiB to 16 TiB
            raise Error(
                "LK0813",
                f"a machine cannot have {self.memory_mib} MiB of memory",
                hint="--mem counts in MiB: 1024 is one GiB",
            )
        if self.forwards and self.network.kind != "user":
            raise Error(
                "LK0812",
                f'ports cannot be published on the network "{self.network.kind}"',
                hint="leave --networking out, or reach the guest at its own address",
            )


def parse_disk(text: str) -> Disk:
    """``[file=]PATH[,size=N[M|G]][,format=qcow2|raw]``; a bare N counts GiB.  Raises LK0810."""
    path: Path | None = None
    size, form = 0, ""
    for number, word in enumerate(text.split(",")):
        key, equals, value = word.partition("=")
        if not equals and number == 0:
            key, value = "file", word
        if key == "file" and value:
            path = Path(value)
        elif key == "size":
            size = parse_size(value)
        elif key == "format" and value in _DISK_FORMATS:
            form = value
        else:
            raise Error(
                "LK0810",
                f'"{printable(word)}" is not understood in the disk "{printable(text)}"',
                hint="write [file=]PATH[,size=N[M|G]][,format=qcow2|raw]",
            )
    if path is None and not size:
        raise Error("LK0810", f'the disk "{printable(text)}" has neither a file nor a size')
    return Disk(path, size, form)


def parse_secret(text: str) -> Secret:
    """``NAME=FILE``.  Raises LK0810 for what is none, LK0102 for a file that cannot be read."""
    name, _, path = text.partition("=")
    if not _SECRET.fullmatch(name) or not path:
        raise Error(
            "LK0810",
            f'"{printable(text)}" is no secret',
            hint="write NAME=FILE, with a name of at most 28 letters, digits and any of _.+-",
        )
    try:
        with Path(path).open("rb"):
            return Secret(name, Path(path).absolute())
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def parse_size(text: str) -> int:
    """``1024M``, ``4G`` or a bare number of GiB, in MiB.  Raises LK0810."""
    match = _SIZE.fullmatch(text)
    if not match or not int(match[1]):
        raise Error(
            "LK0810",
            f'"{printable(text)}" is not a size',
            hint="examples: 512M, 4G; a bare 4 is 4G",
        )
    return int(match[1]) * (1 if (match[2] or "G")[0].upper() == "M" else 1024)


def parse_forward(text: str) -> Forward:
    """``[ADDRESS:]HOST:GUEST[/tcp|udp]``, ports as numbers.  Raises LK0811."""
    ports, slash, protocol = text.partition("/")
    address, _, pair = ports.rpartition(":")
    address, colon, host = address.rpartition(":")
    try:
        # QEMU's user network forwards from IPv4 addresses only.
        where = str(ipaddress.IPv4Address(address)) if colon else "127.0.0.1"
        forward = Forward(_port(host), _port(pair), protocol if slash else "tcp", where)
    except ValueError:
        forward = None
    if forward is None or forward.protocol not in {"tcp", "udp"}:
        raise Error(
            "LK0811",
            f'"{printable(text)}" does not say which port to publish',
            hint="write [ADDRESS:]HOST:GUEST[/tcp|udp], as in 8080:80 or 0.0.0.0:5353:53/udp",
        )
    return forward


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _PORT:
        raise ValueError(text)
    return int(text)


def parse_network(text: str) -> Network:
    """``user``, ``none``, ``bridge,NAME`` or ``tap,NAME``.  Raises LK0812."""
    kind, comma, link = text.partition(",")
    kind = "user" if kind == "default" else kind  # upstream's other word for it
    takes_link = kind in {"bridge", "tap"}
    if kind in _NETWORKS and bool(comma) == takes_link and (not comma or _LINK.fullmatch(link)):
        return Network(kind, link)
    raise Error(
        "LK0812",
        f'"{printable(text)}" is not a kind of network',
        hint=suggestion(kind, _NETWORKS) if kind not in _NETWORKS
        else "write user, none, bridge,NAME or tap,NAME",
    )  # fmt: skip
