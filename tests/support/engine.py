"""A container engine on a socket: Debian's podman, whose service speaks Docker's API."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Podman(NamedTuple):
    """A service under way, with images of its own."""

    folder: Path

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "s"

    def words(self, *words: str) -> list[str]:
        """A command line for it."""
        places = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        return [need("podman"), "--storage-driver", "vfs", *places, *words]

    def run(self, *words: str) -> str:
        """Do a command of podman; what it printed."""
        done = subprocess.run(self.words(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _listens(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        return True
    return False


@contextlib.contextmanager
def podman(folder: Path) -> Iterator[Podman]:
    """The service, until the end of the block; ``folder`` has to have a short path."""
    made = Podman(folder)
    words = made.words("system", "service", "--time", "0", f"unix://{made.socket}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 120
        while not _listens(made.socket):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "podman did not come up: " + (folder / "log").read_text()
            time.sleep(0.05)
        yield made
    finally:
        process.terminate()
        process.wait()
