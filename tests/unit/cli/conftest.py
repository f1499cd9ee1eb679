"""A tree of packages to build, and a registry to send them to."""

from __future__ import annotations

import os

import pytest

from support.package_tree import TOOL, Tree
from support.registry import running
from support.site import Site


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    site = Site(tmp_path, monkeypatch)
    # Nothing listens there, which is found out at once.
    monkeypatch.setenv("LINUXKIT_MIRROR", "docker.io=http://127.0.0.1:9")
    made = Tree(tmp_path / "repo", site)
    made.add("tool", {"build.yml": TOOL + "arches: [amd64]\n"})
    made.commit()
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def hub(tmp_path):
    with running(tmp_path / "registry") as made:
        yield made
