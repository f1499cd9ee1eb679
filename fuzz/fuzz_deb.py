"""Debian packages: the outer archive, the compression and the tree inside."""

from __future__ import annotations

import io
import tempfile

import atheris
from common import fuzz

with atheris.instrument_imports(include=["linuxkit"]):
    from linuxkit.recipes.debian import deb


def target(data: bytes) -> None:
    """Nothing that is accepted may lead outside."""
    with tempfile.TemporaryFile() as scratch:
        for entry in deb.unpack(io.BytesIO(data), scratch):
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")


fuzz(target)
