"""The program as a person has it: on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINUXKIT = [sys.executable, "-c", "from linuxkit.cli.main import entry; entry()"]


class Terminal:
    """The program on a pseudo-terminal of its own."""

    def __init__(self, words: list[str], cache: Path) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.seen = b""
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [*LINUXKIT, *words, "--cache", str(cache)],
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, env=env,
        )  # fmt: skip

    def until(self, text: bytes, timeout_s: float = 420) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen.decode(errors="replace")
            if select.select([self.ours], [], [], 0.5)[0]:
                self.seen += os.read(self.ours, 65536)

    def write(self, text: bytes) -> None:
        os.write(self.ours, text)

    def end(self, timeout_s: float = 90) -> int:
        """The exit status; reads on, so that the program is not held up."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen.decode(errors="replace")
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 65536)
        while select.select([self.ours], [], [], 0)[0]:  # what it said last
            self.seen += os.read(self.ours, 65536)
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)
