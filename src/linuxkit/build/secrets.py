"""Secrets of one container: files in memory that are filled before it starts, for its user alone.

They are given to the machine, not to the build: what is known here is their names.  Pure.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.spec.check import is_bind
from linuxkit.spec.record import replace
from linuxkit.spec.text import Bind

if TYPE_CHECKING:
    from linuxkit.base.where import Where
    from linuxkit.spec.model import Container, ImageSettings

HELPER = "usr/lib/linuxkit/secrets"
"""The program that fetches them, in the system's root."""

INSIDE = "/run/secrets"
"""Where a container has them."""

FOLDER = "secrets"
"""In a container's folder: where the system has them."""

_SAFE = ("nosuid", "nodev", "noexec")


def shown(settings: ImageSettings, entry: Container, bundle: str) -> ImageSettings:
    """``settings`` with the secrets of ``entry``, whose folder is ``bundle``.

    Raises LK0732 where files of the system are bound over their place: they would spread there.
    """
    if not entry.secrets:
        return settings
    binds = [bind.destination for bind in settings.binds or ()]
    binds += [mount.target or "" for mount in settings.mounts or () if is_bind(mount)]
    for destination in binds:
        place = posixpath.normpath(f"/{destination.lstrip('/')}")
        if f"{INSIDE}/".startswith(f"{place.rstrip('/')}/"):
            raise Error(
                "LK0732",
                f"{entry.name}: the bind to {printable(place)} hides its secrets in {INSIDE}",
                hint="bind what it needs of that folder only",
            )
    own = Bind(f"/{bundle}/{FOLDER}", INSIDE, ("ro", "rprivate", *_SAFE))
    return replace(settings, binds=(*(settings.binds or ()), own))


def unheeded(name: str, where: Where | None) -> Error:
    """The error for a container ``name`` without an init that could fill its secrets."""
    return Error(
        "LK0732",
        f"{name}: no init image gives secrets to containers",
        hint='take "@pkg:init", or give the container a bind of what brings them',
        where=where,
    )


def file_system(uid: int, gid: int) -> tuple[str, ...]:
    """The options of the tmpfs that holds them, whose pages are never swapped out."""
    return (*_SAFE, "mode=0500", "size=1m", "noswap", f"uid={uid}", f"gid={gid}")


def command(folder: str, uid: int, gid: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """What fills it (guest/secrets)."""
    return (f"/{HELPER}", folder, str(uid), str(gid), *names)
