"""Every hostile input is met in a folder with something to steal, which must stay as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import linuxkit
from support.cost import SECONDS

WORDS = "words of the working folder"


def everything(folder: Path) -> list[tuple[str, int, bytes]]:
    return [
        (str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    ]


@pytest.fixture(autouse=True)
def around(tmp_path, monkeypatch):
    """The folder that is not to be touched, which is also the working folder."""
    folder = tmp_path / "around" / "deep" / "work"
    (folder / "etc").mkdir(parents=True)
    for name in ("secret.txt", "etc/shadow", "../../passwd"):
        (folder / name).write_text(WORDS)
    monkeypatch.chdir(folder)
    before = everything(tmp_path / "around")
    started = time.process_time()
    yield folder
    assert everything(tmp_path / "around") == before
    assert time.process_time() - started < SECONDS


@pytest.fixture
def store(tmp_path):
    return linuxkit.Store(tmp_path / "cache", sync=False)
