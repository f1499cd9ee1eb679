"""The lock has what recipes say there is, for the architectures that mirrors serve in full."""

from __future__ import annotations

import pytest

from linuxkit.base import resources
from linuxkit.recipes import relock
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.stock import Shelf

SHELF = Shelf(lock=resources.packages() / locks.NAME)
# What runs there to the report (docs/decisions/0043).
S390X = ("busybox", "getty", "kernel", "runc", "sysctl", "udhcpc")


@pytest.mark.parametrize("arch", ["amd64", "arm64", "riscv64"])
def test_every_package_is_locked_as_its_recipe_is(arch):
    stale = [
        name for name in SHELF.names() if relock.is_stale(SHELF.recipe(name), SHELF.lock, arch)
    ]
    assert stale == []


@pytest.mark.parametrize("name", S390X)
def test_what_s390x_needs_to_start(name):
    assert not relock.is_stale(SHELF.recipe(name), SHELF.lock, "s390x")
