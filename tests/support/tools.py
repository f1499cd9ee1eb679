"""Programs that a test needs from the machine."""

from __future__ import annotations

import shutil

import pytest


def need(program: str) -> str:
    """The program's path; without it the test is skipped, which is a failure where CI=true."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
