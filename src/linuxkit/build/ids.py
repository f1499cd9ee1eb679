"""User and group ids that a configuration may call by a container's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.spec.check import ROOT_NAMES, id_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from linuxkit.spec.model import Spec

FIRST_ID = 100


def id_table(spec: Spec) -> Mapping[str, int]:
    """Every container's own id: 100, 101, … over onboot, onshutdown and services, as upstream.

    Of two containers with one name the later one gives the name its id.
    """
    containers = (*spec.onboot, *spec.onshutdown, *spec.services)
    return {entry.name: FIRST_ID + index for index, entry in enumerate(containers)}


def numeric(value: int | str | None, table: Mapping[str, int]) -> int:
    """The id that a ``uid`` or ``gid`` means; 0 when unset.  Raises LK0211 without a place."""
    if isinstance(value, int):
        return value
    if value is None or value in ROOT_NAMES:
        return 0
    problem = id_problem(value, table)
    if problem:
        raise problem
    return table[value]
