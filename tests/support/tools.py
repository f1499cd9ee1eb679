"""Programs that a test needs from the machine."""

from __future__ import annotations

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


def need_user_mode() -> None:
    """Skip where user-mode Linux cannot run: another machine, or one without user namespaces."""
    if platform.machine() != "x86_64":
        pytest.skip("user-mode Linux is for x86-64")
    tried = [need("unshare"), "--user", "--map-current-user", "--net", "--mount", "true"]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        pytest.skip("this machine forbids user namespaces")
