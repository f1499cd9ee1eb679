"""L5: what a system is written as.  The protocol, and the table of formats.

A format's module is imported when it is chosen.  Adding one takes a module, a line here, a test
and a page.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from linuxkit.base.errors import Error, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from linuxkit.build.artifact import Artifact, BootFacts
    from linuxkit.build.system import System
    from linuxkit.formats.output import Output
    from linuxkit.tree.compress import Compression

DEFAULT = "kernel+initrd"

_TABLE = {
    "kernel+initrd": ("initrd", "KernelInitrd", "kernel, initramfs and command line, three files"),
    "tar": ("tar", "Tar", "the root file system as a tar archive"),
    "tar-kernel-initrd": ("initrd", "TarKernelInitrd", "the same three files in one tar archive"),
    "docker": ("tar", "Docker", "a build context: the root file system and a Dockerfile"),
}  # fmt: skip


class Options(NamedTuple):
    """What a user may choose of a format's making."""

    compression: Compression


class Format(Protocol):
    """Writes a system's files."""

    def emit(self, system: System, out: Output, options: Options, /) -> BootFacts | None:
        """Write the files to ``out``; returns how to boot them, where they can be."""


class Streamable(Format, Protocol):
    """A format that is one stream of bytes."""

    def write(self, system: System, out: BinaryIO, /) -> None:
        """Write it to ``out``, which may be a pipe."""


def summaries() -> tuple[tuple[str, str], ...]:
    """Every format's name and what it is, for help texts."""
    return tuple((name, row[2]) for name, row in _TABLE.items())


def find(name: str) -> Format:
    """The format called ``name``.  Raises LK0701."""
    if name not in _TABLE:
        hint = suggestion(name, _TABLE) or f"known: {', '.join(_TABLE)}"
        raise Error("LK0701", f'there is no output format "{name}"', hint=hint)
    module, kind, _ = _TABLE[name]
    loaded = importlib.import_module(f"linuxkit.formats.{module}")
    return cast("Format", getattr(loaded, kind)())


def find_streamable(name: str) -> Streamable:
    """The format called ``name``, when it is one stream.  Raises LK0701 and LK0709."""
    found = find(name)
    if not hasattr(found, "write"):
        raise Error(
            "LK0709",
            f'the format "{name}" is several files and cannot be one stream',
            hint="use --dir and --name instead of --o, or the format tar",
        )
    return cast("Streamable", found)


def emit(
    system: System, names: Sequence[str], *, directory: Path, name: str, options: Options
) -> tuple[Artifact, ...]:
    """Write the system in each format called for; on an error no file of it is left.

    Raises LK0701 before any work, LK0102 when the files cannot be written.
    """
    from linuxkit.formats.output import write_artifact  # help texts need the table only

    chosen = [(wanted, find(wanted)) for wanted in dict.fromkeys(names)]
    return tuple(
        write_artifact(system, wanted, found, directory=directory, name=name, options=options)
        for wanted, found in chosen
    )
