"""What every test may use, and the rule about missing tools."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

# A run in the background of a shell has interrupts ignored, and so would every program it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--accept", action="store_true", help="write golden files anew")


@pytest.fixture
def need():
    """Skip where a program is missing; where CI=true it is a failure, so that none goes unseen."""

    def check(*programs: str) -> None:
        missing = [program for program in programs if shutil.which(program) is None]
        if missing and os.environ.get("CI") == "true":
            pytest.fail(f"not installed: {', '.join(missing)}")
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")

    return check
