"""The parts that a kernel's configuration is put together from, with the reason for every line.

The package kernel-hardened keeps them in ``kernel/config``: ``flavours``, ``common/``, ``flavour/``
and a folder for each architecture.  Its ``merge.sh`` puts them together for the build; this does
the same for people.  A package ``kernel-FLAVOUR`` that is built from them may add its
``kernel.config`` (docs/decisions/0052-own-parts.md).  A line is ``CONFIG_NAME=VALUE  # reason``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, resources
from linuxkit.base.errors import Error, printable, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LINE = re.compile(r"CONFIG_(\w+)=(\"[^\"]*\"|\S+)\s+#\s+(\S.*)")
_MAX_BYTES = 1 << 20


class Line(NamedTuple):
    """One symbol that is asked for, and why."""

    name: str
    value: str
    reason: str
    file: str  # below ``config`` or else below the folder of packages
    line: int

    @property
    def place(self) -> str:
        """Where it is asked for, as FILE:LINE."""
        return f"{self.file}:{self.line}"


def folder() -> Path:
    """The parts of our own kernels."""
    return resources.packages() / "kernel-hardened" / "kernel" / "config"


def flavours(config: Path) -> Mapping[str, Sequence[str]]:
    """Every flavour and the parts it is made of, in their order.  Raises LK0102, LK0571."""
    found: dict[str, Sequence[str]] = {}
    for number, line in enumerate(_text(config / "flavours").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) == 1:
            raise Error("LK0571", f"flavours:{number}: a flavour is made of one part at least")
        found[words[0]] = words[1:]
    return found


def read(config: Path, arch: str, flavour: str) -> tuple[Line, ...]:
    """What the kernel ``flavour`` asks for on the OCI architecture ``arch``; the last line about a
    symbol counts.

    Raises LK0570 (no such flavour, or not for ``arch``), LK0571 (a line that is none, or one
    without a reason), LK0102.
    """  # noqa: D205
    lines: dict[str, Line] = {}
    for path in _paths(config, arch, flavour):
        for line in _lines(config, path):
            lines[line.name] = line
    return tuple(lines.values())


def _paths(config: Path, arch: str, flavour: str) -> Iterator[Path]:
    known = flavours(config)
    if flavour not in known:
        hint = suggestion(flavour, known) or f"there are: {', '.join(known)}"
        raise Error("LK0570", f'there is no kernel flavour "{printable(flavour)}"', hint=hint)
    if not (config / arch / "all.config").is_file():
        raise Error("LK0570", f"our kernel is not made for {arch}")
    yield from sorted((config / "common").glob("*.config"))
    yield config / arch / "all.config"
    for part in known[flavour]:
        yield config / "flavour" / f"{part}.config"
        own = config / arch / f"{part}.config"
        if own.is_file():
            yield own
    more = _packages(config) / f"kernel-{flavour}" / "kernel.config"
    if more.is_file():
        yield more


def _packages(config: Path) -> Path:
    """The folder of packages that ``config`` lies in, as PACKAGE/kernel/config."""
    return config.parents[2]


def _lines(config: Path, path: Path) -> Iterator[Line]:
    below = config if path.is_relative_to(config) else _packages(config)
    name = path.relative_to(below).as_posix()
    for number, text in enumerate(_text(path).splitlines(), 1):
        if not text or text.startswith("#"):
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            raise Error(
                "LK0571", f"{name}:{number} is not CONFIG_NAME=VALUE with a reason",
                hint="write: CONFIG_NAME=VALUE  # why",
            )  # fmt: skip
        yield Line(found[1], found[2], found[3], name, number)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as source:
            return source.read(_MAX_BYTES)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
