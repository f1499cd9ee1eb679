"""A package folder as something to build: what it is called, made for, made of and made with.

Nothing is built here; see ``making``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest, platform
from linuxkit.base.errors import Error, printable
from linuxkit.recipes import buildargs, gittag, recipe
from linuxkit.recipes.buildargs import Line
from linuxkit.recipes.debian import lock as locks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from linuxkit.recipes.gittag import Asked, Identity, Revision
    from linuxkit.recipes.recipe import Recipe

REPOSITORY = "https://github.com/linuxkit/linuxkit"  # upstream's default of `gitrepo`
DOCKERFILE = "Dockerfile"
_CONFIG = "org.mobyproject.config"


class Wishes(NamedTuple):
    """What the command line says instead of ``build.yml``; None and empty texts say nothing."""

    asked: Asked = gittag.Asked()
    dockerfile: str = ""
    arguments: tuple[Path, ...] = ()  # files of build arguments
    network: bool | None = None
    disable_cache: bool | None = None


class Package(NamedTuple):
    """A package folder."""

    folder: Path  # absolute
    recipe: Recipe
    identity: Identity
    revision: Revision
    wishes: Wishes
    given: Mapping[str, str] | None = None  # all build arguments, where they are known already

    @property
    def reference(self) -> str:
        """Its name with its tag, for all architectures together."""
        return self.identity.reference

    @property
    def network(self) -> bool:
        """Whether a Dockerfile's commands have a network."""
        said = self.wishes.network
        return self.recipe.says.network if said is None else said

    @property
    def fresh(self) -> bool:
        """Whether nothing of earlier builds may be used."""
        said = self.wishes.disable_cache
        return self.recipe.says.disable_cache if said is None else said

    @property
    def dockerfile(self) -> Path:
        """Where its Dockerfile lies, if it has one."""
        return self.folder / (self.wishes.dockerfile or self.recipe.says.dockerfile or DOCKERFILE)

    def name_for(self, arch: str) -> str:
        """The name of the image for one architecture."""
        return f"{self.reference}-{arch}"

    def lines(self) -> tuple[Line, ...]:
        """The build arguments as they are written, files after ``build.yml``.  Raises LK0568."""
        yml = self.folder / self.wishes.asked.build_yml
        own = [Line(text, yml) for text in self.recipe.says.build_args]
        files = self.wishes.arguments
        return (*own, *(line for file in files for line in buildargs.lines_of(file)))

    def arguments(self) -> dict[str, str]:
        """All build arguments; those that are set by themselves can be set otherwise."""
        if self.given is not None:
            return dict(self.given)
        fixed = {
            "SOURCE": self.recipe.says.gitrepo or REPOSITORY,
            "REVISION": "" if self.identity.is_dirty else self.revision.commit,
            "GOPKGVERSION": self.revision.go_version,
            "PKG_HASH": self.identity.hash,
            "PKG_IMAGE": self.reference,
        }
        known = {name: value for name, value in fixed.items() if value}
        return {**known, **buildargs.expand(self.lines(), self.folder)}

    def labels(self) -> dict[str, str]:
        """The labels that tell where an image comes from."""
        labels = {"org.opencontainers.image.source": self.recipe.says.gitrepo or REPOSITORY}
        if self.revision.commit and not self.identity.is_dirty:
            labels["org.opencontainers.image.revision"] = self.revision.commit
        return labels

    def config_labels(self) -> dict[str, str]:
        """Those that our drivers set by themselves and a Dockerfile's builder has to be told."""
        labels = dict(self.recipe.says.labels)
        if self.recipe.config is not None:
            labels[_CONFIG] = digest.canonical_json(self.recipe.config).decode()
        return labels

    def lock(self) -> locks.Lock:
        """The lock beside ``build.yml``, an empty one where there is none.  Raises LK0531."""
        place = self.folder / locks.NAME
        return locks.load(place) if place.exists() else locks.EMPTY

    def arches(self, wanted: Sequence[str], without: Iterable[str] = ()) -> tuple[str, ...]:
        """The architectures to build for.

        By default all of ``build.yml``; of a package whose programs run while it is built only
        this machine's.  Raises LK0538 for one that it is not made for.
        """
        says = self.recipe.says
        for arch in wanted:
            if arch not in says.arches:
                raise Error(
                    "LK0538", f'the package "{self.recipe.name}" is not made for {printable(arch)}',
                    hint=f"it is made for {', '.join(says.arches)}", where=self.recipe.where,
                )  # fmt: skip
        skipped = set(without)
        here = platform.host().oci
        usual = [
            arch for arch in says.arches
            if not self.recipe.runs_programs or self._runs_on(arch) == here
        ]  # fmt: skip
        return tuple(arch for arch in wanted or usual if arch not in skipped)

    def _runs_on(self, arch: str) -> str:
        asked = self.recipe.says.build
        return asked.runs_on(arch) if asked else arch


def load(folder: Path, wishes: Wishes = Wishes()) -> Package:  # noqa: B008 - it is frozen
    """Read the package in ``folder``.  Raises as recipe.load and gittag.identify."""
    folder = folder.resolve()
    read = recipe.load(folder, wishes.asked.build_yml)
    identity = gittag.identify(folder, wishes.asked)
    return Package(folder, read, identity, gittag.revision(folder), wishes)
