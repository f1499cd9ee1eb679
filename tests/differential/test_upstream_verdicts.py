"""Whole builds of the files that the Go tool refused, or that look as if it should have.

We refuse what it refuses, with a code and a place, and build what it builds, but for the cases in
BUILT.  The data lies beside the checkout; without it these tests skip, in CI they fail.
"""

from __future__ import annotations

import os

import pytest
from test_upstream_config import COMPAT, ERRORS, outcomes
from test_upstream_tree import copied_store

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.sources.store import Stored

pytestmark = pytest.mark.skipif(
    not COMPAT.is_dir() and os.environ.get("CI") != "true", reason="no compatibility data"
)

# What the Go tool cannot build and we can.
BUILT = {
    "mode-int": "octal digits can only mean one thing",
    "oci-volume-on-image": "the Go tool crashes on an image that is no index",
    "rawlayer-bare": "its check of a bare manifest takes gzip layers only",
    "zstd-bare": "its check of a bare manifest takes gzip layers only",
}
NAMES = sorted(outcomes()) if ERRORS.is_dir() else []


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return copied_store("cache-features", tmp_path_factory.mktemp("verdicts"))


def build(store, folder, *names):
    files = [ERRORS / f"{name}.yml" for name in names]
    spec = linuxkit.load(files, arch="amd64")
    plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64")
    linuxkit.fetch(plan, store=store)
    system = linuxkit.assemble(plan, store=store)
    return linuxkit.emit(system, ["tar"], directory=folder, name="t")


def test_the_cases_are_here():
    assert len(NAMES) > 50
    assert set(BUILT) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_is_the_go_tools(store, tmp_path, name):
    if outcomes()[name] == 0 or name in BUILT:
        (made,) = build(store, tmp_path, name)
        assert made.path("tar").is_file()
        return
    with pytest.raises(Error) as caught:
        build(store, tmp_path, name)
    for error in caught.value.all():
        assert error.where is not None or name in {"no-kernel-file", "no-kernel-tar"}, error
    assert list(tmp_path.iterdir()) == []  # the Go tool leaves part of an archive


def test_two_files_keep_the_volumes_of_the_first(store, tmp_path):
    build(store, tmp_path, "merge-volumes-1", "merge-volumes-2")
