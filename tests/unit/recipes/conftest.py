"""A bench of its own for each test; one key signs for all."""

from __future__ import annotations

import pytest

from support.bench import PACKAGES, Bench
from support.debian_archive import key


@pytest.fixture(scope="module")
def signer():
    return key()


@pytest.fixture
def bench(tmp_path, signer):
    made = Bench(tmp_path, signer)
    made.archive.publish("trixie", PACKAGES)
    return made
