"""Copies of this checkout as a fresh clone has it, and programs run by somebody who has none."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """That of a person who has no checkout."""
    hidden = ("PYTHON", "LINUXKIT_", "PIP_", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | more


def call(*words: str | Path, **options) -> str:
    done = subprocess.run(
        [str(word) for word in words], check=False, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, **{"env": environment(), **options},
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clone(folder: Path) -> Path:
    """What a fresh clone has of today's files: those that git knows."""
    listed = call("git", "-C", ROOT, "ls-files", "-z").split("\0")
    for name in filter(None, listed):
        source = ROOT / name
        if source.is_file():  # not one that was removed just now
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def need_modules(*names: str) -> None:
    """As the fixture ``need`` for programs."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
