"""Upstream's ``/etc/containerd/runtime-config.toml``: how a daemon of an init image is started.

Pure.  The keys are those that upstream's ``pkg/init`` reads: ``cliopts``, further arguments
between white space; ``stdout`` and ``stderr``, where the daemon's output goes: the word ``stdout``
or ``stderr``, or a file that is appended to.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.tree.path import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.build.plan import Item
    from linuxkit.build.runtimes import Daemon, Runtimes
    from linuxkit.spec.model import Spec

_WRITERS = ("stdout", "stderr")
_KEYS = ("cliopts", *_WRITERS)


def heeded(spec: Spec, starters: Runtimes, items: Iterable[Item]) -> Runtimes:
    """The runtimes with each daemon started as its file says, if one of ``files:`` is it.

    ``items`` are what ``files:`` came to.  Raises LK0729 for a file that cannot be heeded.
    """
    files = {item.path: item for item in items if item.kind == "file"}
    daemons = (
        _started(daemon, _read(files[daemon.settings], spec))
        if daemon.settings in files
        else daemon
        for daemon in starters.daemons
    )
    return starters._replace(daemons=tuple(daemons))


def _started(daemon: Daemon, said: dict[str, str]) -> Daemon:
    return daemon._replace(
        command=(*daemon.command, *said.get("cliopts", "").split()),
        stdout=said.get("stdout", daemon.stdout),
        stderr=said.get("stderr", daemon.stderr),
    )


def _read(item: Item, spec: Spec) -> dict[str, str]:
    try:
        return _checked(item.path, _parsed(item))
    except Error as error:
        places = {clean(f.path.lstrip("/"), what="path"): n for n, f in enumerate(spec.files)}
        error.where = spec.where(("files", places[item.path]))
        raise


def _parsed(item: Item) -> dict[str, object]:
    if item.blob:
        raise Error("LK0729", f"/{item.path} has {item.blob.size} bytes", hint="64 KiB will do")
    try:
        return tomllib.loads(item.data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        told = printable(str(error), 200)
        raise Error("LK0729", f"/{item.path} is not TOML: {told}") from error


def _checked(path: str, said: dict[str, object]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in said.items():
        if key not in _KEYS:
            raise Error(
                "LK0729",
                f'/{path} has a key that nobody reads: "{printable(key, 60)}"',
                hint=f"there are {', '.join(_KEYS)}",
            )
        if not isinstance(value, str):
            raise Error("LK0729", f'/{path}: "{key}" is not a text', hint="put it in quotes")
        if key in _WRITERS and value not in _WRITERS and not value.startswith("/"):
            raise Error(
                "LK0729",
                f'/{path}: {key} cannot go to "{printable(value, 60)}"',
                hint='write "stdout", "stderr" or the absolute path of a file',
            )
        texts[key] = value
    return texts
