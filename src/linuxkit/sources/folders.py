"""Package folders as a source of images, and what building them works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build.source import Look, Wanted, locate
from linuxkit.oci import image, model
from linuxkit.oci.registry import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from linuxkit.build.source import Source
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store
    from linuxkit.recipes.making import Bench
    from linuxkit.sources.registry import Registries

_T = TypeVar("_T")
_NOT_THERE = frozenset({"LK0306", "LK0320", "LK0321"})
_NOT_REACHED = frozenset({"LK0410", "LK0412", "LK0413", "LK0416", "LK0419"})


def bench_of(store: Store, registries: Registries, sources: Sequence[Source]) -> Bench:
    """What packages are built with; ``sources`` have the images that Dockerfiles build upon."""
    from linuxkit.recipes.making import Bench
    from linuxkit.sources.packages import pool_of

    def fetch(ref: Ref, platform: Platform) -> Descriptor | None:
        return _or_none(ref, lambda: registries.find(ref, platform))

    def is_remote(ref: Ref, platform: Platform) -> bool:
        return bool(_or_none(ref, lambda: _offered(registries.client, ref, platform)))

    return Bench(
        store, pool_of(store), lambda ref, platform: locate(Wanted(ref, None), platform, sources),
        fetch, is_remote,
    )  # fmt: skip


def _or_none(ref: Ref, ask: Callable[[], _T]) -> _T | None:
    """What a registry answers; None where it has nothing for us, or cannot be reached."""
    try:
        return ask()
    except Error as error:
        if error.code in _NOT_REACHED:
            events.note(f"{ref}: not looked for in its registry: {error.message}", level="debug")
        elif error.code not in _NOT_THERE:
            raise
        return None


def _offered(client: Client, ref: Ref, platform: Platform) -> bool:
    """Whether an index or manifest of that name serves the platform.  Raises LK032x, LK041x."""
    data, found = client.manifest(place_of(ref), ref.digest or ref.tag or "latest")
    if found.media_type not in model.INDEXES:
        return True
    return bool(image.choose(found, model.decode_index(data, found).manifests, platform))


class PackageFolders:
    """Answers for the names of package folders that a YAML has named with ``@pkg:PATH``.

    They are fetched from their registry if it has them, and else built.
    """

    name = "package folders"

    def __init__(self, folders: Mapping[str, Path], bench: Callable[[], Bench]) -> None:
        """``folders`` by canonical reference; it may grow until the first question."""
        self._folders = folders
        self._bench = bench

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image of the folder, fetched or made; None for other names."""
        from linuxkit.recipes import making, package

        folder = self._folders.get(str(ref))
        if folder is None:
            return None
        options = making.Options(pull=True)
        bench = self._bench()
        made = making.make(package.load(folder), [platform.arch], options, bench)
        return made[0].descriptor or bench.fetch(ref, platform)

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """The package itself: what it takes is known when it is built."""
        folder = self._folders.get(str(ref))
        if folder is None:
            return None
        return (f"{ref} for {platform}, which is built of {folder}",)

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:
        """Where it would be built."""
        del platform, offline
        folder = self._folders.get(str(ref))
        return None if folder is None else Look(False, str(folder), note="is built when needed")
