"""The arguments that say which YAML is meant, for every verb that reads some."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import events, platform
from linuxkit.base.errors import Error, printable
from linuxkit.spec.inputs import LIMIT

if TYPE_CHECKING:
    import argparse
    from collections.abc import MutableMapping, Sequence

    from linuxkit.cli.arguments import Parser
    from linuxkit.sources.lock import Lock
    from linuxkit.spec.inputs import Remote


def add(parser: Parser) -> None:
    """The files, and what their variables and packages stand for."""
    add_files(parser)
    parser.add_value("--arch", "ARCH", "architecture of the system (else this machine's)")


def add_files(parser: Parser) -> None:
    """The files and the values of their variables, for any number of architectures."""
    text = "YAML file or URL; - is standard input"
    parser.add_argument("files", nargs="+", metavar="FILE", help=text)
    text = "value of a variable that a file declares; without =VALUE that of the environment"
    parser.add_value("--set", "NAME[=VALUE]", text, default=[])


def load(
    args: argparse.Namespace,
    *,
    architecture: str = "",
    lock: Lock | None = None,
    remote: Remote | None = None,
    folders: MutableMapping[str, Path] | None = None,
) -> linuxkit.Spec:
    """The configuration that the arguments lead to; ``remote`` reads URLs.

    The package folders that it names are put into ``folders``.  Raises LK0101, LK0113 and as
    linuxkit.load.
    """
    return linuxkit.load(
        args.files,
        arch=architecture or arch(args.arch),
        stdin=_stdin(args),
        values=values(args.set),
        lock=lock,
        remote=remote,
        folders=folders,
    )


def _stdin(args: argparse.Namespace) -> bytes | None:
    """Standard input, which can be read only once, where it is one of the files."""
    if "-" not in args.files:
        return None
    if not hasattr(args, "stdin"):
        args.stdin = sys.stdin.buffer.read(LIMIT + 1)  # one more shows that it is too long
    found: bytes = args.stdin
    return found


def keep_uses(args: argparse.Namespace, store: linuxkit.Store, *choices: str) -> None:
    """Record what was used for the arguments' files, so that ``cache gc`` leaves it.

    ``choices`` are the flags that make it another build.  It is done and good: a store that cannot
    be written to only costs a later one.
    """
    from linuxkit.sources import lock

    files = [name if "://" in name else str(Path(name).absolute()) for name in args.files]
    choices = (*choices, arch(args.arch), *sorted(args.set))
    pins = lock.place(args.files).absolute()
    try:
        store.keep_uses([*files, *choices], [str(pins)] if pins.is_file() else [])
    except Error as error:
        events.note(f"what was used is not recorded: {error}", level="debug")


def arch(name: str) -> str:
    """The OCI architecture of ``--arch``.  Raises LK0101."""
    return (platform.arch(name) if name else platform.host()).oci


def values(words: Sequence[str]) -> dict[str, str]:
    """What ``--set`` says, the later one of two for a name.  Raises LK0113."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            if name not in os.environ:
                raise Error(
                    "LK0113",
                    f'there is no variable "{printable(name)}" in the environment',
                    hint=f"write --set {printable(name)}=VALUE",
                )
            value = os.environ[name]
        found[name] = value
    return found
