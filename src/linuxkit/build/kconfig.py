"""The configuration of a kernel as its build writes it: symbols and their values.

The format is that of a ``.config`` file (Linux, Documentation/kbuild/kconfig.rst).  Symbols go
without ``CONFIG_``; one that is not named, or "is not set", is "n".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT = 4 << 20
"""Bytes that the text of a configuration may have."""

_OFF = re.compile(r"# CONFIG_(\w+) is not set")
_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_HEAD = re.compile(r"# Linux/\S+ (\d+)\.(\d+)\S* Kernel Configuration")


class Difference(NamedTuple):
    """A symbol that two configurations do not agree about."""

    name: str
    before: str
    after: str


class Config:
    """The values of one kernel's symbols, and the kernel's version where the text tells it."""

    def __init__(self, values: Mapping[str, str], version: tuple[int, int] | None = None) -> None:
        self._values = values
        self.version = version

    def get(self, name: str) -> str:
        """The value of the symbol: "y", "m", "n", a number, or a text in quotes."""
        return self._values.get(name, "n")

    def names(self) -> Iterator[str]:
        """Every symbol that has a value, sorted."""
        return iter(sorted(self._values))


def parse(text: str) -> Config:
    """Read the text of a ``.config`` file.  Raises LK0760 for a line that is none of its lines."""
    values: dict[str, str] = {}
    version = None
    for number, line in enumerate(text.splitlines(), 1):
        if found := _SET.fullmatch(line):
            values[found[1]] = found[2]
        elif head := _HEAD.fullmatch(line):
            version = int(head[1]), int(head[2])
        elif not _OFF.fullmatch(line) and line.strip() and not line.startswith("#"):
            raise Error(
                "LK0760", f"line {number} of a kernel's configuration is none: {printable(line)}"
            )
    return Config(values, version)


def differences(before: Config, after: Config) -> list[Difference]:
    """Every symbol with another value, sorted."""
    names = sorted({*before.names(), *after.names()})
    return [
        Difference(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]
