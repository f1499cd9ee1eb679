"""Programs that a test needs from the machine."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess

import pytest


def need(program: str) -> str:
    """The program's path; without it the test is skipped, which is a failure where CI=true."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@functools.cache
def has_user_mode() -> bool:
    """Whether user-mode Linux can run: on this architecture, with user namespaces."""
    tried = [need("unshare"), "--user", "--map-current-user", "--net", "--mount", "true"]
    done = subprocess.run(tried, capture_output=True, check=False)
    return platform.machine() == "x86_64" and done.returncode == 0


def need_user_mode() -> None:
    """Skip the test where user-mode Linux cannot run."""
    if not has_user_mode():
        pytest.skip("there is no user-mode Linux for this machine, or it forbids user namespaces")
