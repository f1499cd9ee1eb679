"""The program in ``probe/`` as an image for systems, and what it says on a machine's console."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import image

if TYPE_CHECKING:
    from support.machines import Workshop

SOURCES = sorted((Path(__file__).parent / "probe").glob("*.c"))


def install(workshop: Workshop, folder: Path) -> None:
    """Compile the program in ``folder`` and keep it as ``test/probe:1``."""
    program = folder / "probe"
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-Os", "-static", "-s",
         "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *SOURCES, "-o", program],
        check=True,
    )  # fmt: skip
    files = {
        "probe": Entry("probe", Kind.FILE, 0o755, content=Bytes(program.read_bytes())),
        "tmp/": "",
    }
    image(
        linuxkit.open_store(workshop.cache), "docker.io/test/probe:1", files, entrypoint=["/probe"]
    )


def said(console: bytes) -> dict[str, dict[str, str]]:
    """Container → name → result, of all its lines "[CONTAINER] NAME RESULT"."""
    found: dict[str, dict[str, str]] = {}
    text = console.decode(errors="replace")
    for name, key, value in re.findall(r"^\[([a-z]+)\] (\S+) ?(.*?)\r?$", text, re.MULTILINE):
        found.setdefault(name, {})[key] = " ".join(value.split())
    return found
