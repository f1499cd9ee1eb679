"""The dependency closure of packages: Depends and Pre-Depends, never Recommends.

Nothing is configured or run afterwards, so Conflicts and Breaks play no part; files that two
packages both bring are found when the trees are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, suggestion

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from linuxkit.recipes.debian.control import Index, Package, Relation


class _Step(NamedTuple):
    """How a package came in, back to what the recipe asked for."""

    name: str
    parent: _Step | None

    def chain(self) -> str:
        """``asked → needed → needed``."""
        names: list[str] = []
        step: _Step | None = self
        while step is not None:
            names.append(step.name)
            step = step.parent
        return " → ".join(reversed(names))


def closure(
    index: Index, wanted: Sequence[str], *, arch: str, exclude: Collection[str] = ()
) -> tuple[Package, ...]:
    """Everything that ``wanted`` needs on the Debian architecture ``arch``, sorted by name.

    Names in ``exclude`` count as met and are left out.  The answer depends on the index and the
    arguments only.  Raises LK0502 (no such package), LK0503 (a dependency nobody meets; the
    message holds the chain that led there).
    """
    solver = _Solver(index, arch, frozenset(exclude))
    for name in wanted:
        if index.candidate(name) is None:
            raise Error(
                "LK0502",
                f'Debian has no package "{name}" for {arch}',
                hint=suggestion(name, index.names()),
            )
    failure = solver.take(list(wanted))
    if failure:
        raise failure
    return tuple(solver.chosen[name] for name in sorted(solver.chosen))


class _Solver:
    def __init__(self, index: Index, arch: str, exclude: frozenset[str]) -> None:
        self._index = index
        self._arch = arch
        self._exclude = exclude
        self._hopeless: dict[str, Error] = {}
        self.chosen: dict[str, Package] = {}

    def take(self, names: list[str]) -> Error | None:
        """Choose what the recipe asks for first, so that alternatives prefer it."""
        for name in names:
            package = self._index.candidate(name)
            if package is not None:
                self.chosen[name] = package
        for name in names:
            failure = self._needs(self.chosen[name], _Step(name, None))
            if failure:
                return failure
        return None

    def _needs(self, package: Package, step: _Step) -> Error | None:
        for group in package.depends:
            if not any(self._met(relation) for relation in group):
                failure = self._choose(group, step)
                if failure:
                    return failure
        return None

    def _met(self, relation: Relation) -> bool:
        if relation.name in self._exclude:
            return True
        own = self.chosen.get(relation.name)
        if own is not None and self._fits(own, relation):
            return True
        return any(
            provider in self.chosen and self._fits(self.chosen[provider], relation)
            for provider in self._index.providers(relation.name)
        )

    def _fits(self, package: Package, relation: Relation) -> bool:
        if relation.qualifier not in ("", "any", "native", self._arch):
            return False
        if package.name == relation.name:
            return relation.allows(package.version)
        # Only a provide that names a version meets a relation that asks for one (policy 7.5).
        return any(
            provided.name == relation.name
            and (relation.allows(provided.version) if provided.version else not relation.operator)
            for provided in package.provides
        )

    def _candidates(self, relation: Relation) -> list[Package]:
        names = (relation.name, *self._index.providers(relation.name))
        found = (self._index.candidate(name) for name in dict.fromkeys(names))
        return [p for p in found if p is not None and self._fits(p, relation)]

    def _choose(self, group: Sequence[Relation], step: _Step) -> Error | None:
        """Take the first alternative that can be had with all it needs."""
        failure: Error | None = None
        for relation in group:
            for package in self._candidates(relation):
                known = self._hopeless.get(package.name)
                if known is None:
                    before = dict(self.chosen)
                    self.chosen[package.name] = package
                    known = self._needs(package, _Step(package.name, step))
                    if known is None:
                        return None
                    self.chosen = before
                    self._hopeless[package.name] = known
                failure = failure or known
        if failure:
            return failure
        text = " | ".join(str(relation) for relation in group)
        return Error(
            "LK0503",
            f"{step.chain()} needs {text}, which no package of the archive meets on {self._arch}",
            hint="put the name into `exclude:` to go without it",
        )
