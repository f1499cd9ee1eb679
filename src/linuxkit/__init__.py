"""Build secure, lean and portable Linux systems, from containers, for running containers.

The stable Python API; the command line uses nothing else::

    import linuxkit

    store = linuxkit.open_store()
    lock = linuxkit.open_lock(["web.yml"])
    sources = linuxkit.default_sources(store, lock=lock)
    spec = linuxkit.load(["web.yml"], arch="amd64", lock=lock)
    plan = linuxkit.resolve(spec, store=store, sources=sources, arch="amd64")
    linuxkit.fetch(plan, store=store)
    system = linuxkit.assemble(plan, store=store)
    (artifact,) = linuxkit.emit(system, ["kernel+initrd"], directory=Path("."), name="web")
    result = linuxkit.run(artifact)

Every function raises :class:`Error`; ``error.all()`` are the single ones.  Progress is told by
:mod:`linuxkit.base.events`.  Names are imported when they are used, so that importing the package
costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.version import __version__

if TYPE_CHECKING:
    from linuxkit.api import (
        Artifact,
        Error,
        Plan,
        Spec,
        Store,
        System,
        assemble,
        default_sources,
        emit,
        fetch,
        load,
        open_lock,
        open_store,
        own_tools,
        resolve,
        run,
    )

__all__ = [
    "Artifact",
    "Error",
    "Plan",
    "Spec",
    "Store",
    "System",
    "__version__",
    "assemble",
    "default_sources",
    "emit",
    "fetch",
    "load",
    "open_lock",
    "open_store",
    "own_tools",
    "resolve",
    "run",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from linuxkit import api

        return getattr(api, name)
    raise AttributeError(f"module 'linuxkit' has no attribute {name!r}")
