"""Order of Debian versions, against dpkg where it is installed."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian.version import key

ASCENDING = [
    "0~~", "0~~a", "0~", "0", "0+", "0.1", "1~rc1-1", "1-1~bpo1", "1-1", "1-1+b1", "1-1.1", "1-2",
    "1a", "1ab", "1b", "1+1", "1.0~git20200101", "1.0", "1.0a", "1.0+dfsg", "1.0.1", "1.2", "1.10",
    "2.41-12+deb13u5", "14.2.0-19", "1:0", "1:0.1-1", "2:0~",
]  # fmt: skip
EQUAL = [("1.0", "1.0-0"), ("1.0", "01.00"), ("1.0", "0:1.0"), ("1a", "1a0"), ("0", "0-0"), ("1-0", "1")]


def test_order():
    assert sorted(ASCENDING[9:] + ASCENDING[:9], key=key) == ASCENDING
    assert len({key(v) for v in ASCENDING}) == len(ASCENDING)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal(one, other):
    assert key(one) == key(other)


def test_as_dpkg():
    if not shutil.which("dpkg"):
        pytest.skip("no dpkg")
    words = ASCENDING + [one for pair in EQUAL for one in pair]
    for one, other in itertools.islice(itertools.permutations(words, 2), 0, None, 7):
        lower = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False)
        assert (lower.returncode == 0) == (key(one) < key(other)), (one, other)


@pytest.mark.parametrize("text", ["", "1 2", "a:1", "1:", "1\n", "1_2", "é", "9" * 300])
def test_refused(text):
    with pytest.raises(Error) as caught:
        key(text)
    assert caught.value.code == "LK0505"
