"""PID 1 running in namespaces of its own, and the units that a test gives it."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from linuxkit.build import boottable

GUEST = Path(__file__).resolve().parents[2] / "guest"
NO_NAMESPACES = 77
PATIENCE_S = 60


def unit(
    section, name, *words, policy="stop", grace=30_000, timeout=0, runtime=True, clean=(), more=()
):
    """The records of one unit whose program is a verb of ``act``."""
    pidfile = f"/run/units/{section}-{name}.pid"
    yield "unit", section, name
    yield "on-failure", policy
    yield "grace", str(grace)
    yield "timeout", str(timeout)
    yield "log", f"/out/{name}.log"
    if runtime:
        yield "pidfile", pidfile
    yield from more
    yield ("start",)
    yield ("exec", "/act", *(("run", pidfile) if runtime else ()), *words)
    if clean:
        yield ("clean",)
        yield ("exec", "/act", *clean)


def memory_kib(pid: int) -> int:
    """The resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


class World:
    """PID 1 in namespaces, with a report port and a console."""

    def __init__(self, root: Path, helpers: Path, init: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.records: list[dict] = []
        self._helpers = helpers
        for folder in ("dev", "proc", "run", "tmp", "var", "etc/linuxkit", "out"):
            (root / folder).mkdir(parents=True)
        for file in ("dev/null", "dev/report"):
            (root / file).touch()
        (root / "cmdline").write_text("quiet linuxkit.report=/dev/report\n")
        shutil.copy(init, root / "init")
        shutil.copy(helpers / "act", root / "act")
        self._rest = b""
        self._port = -1
        self._process: subprocess.Popen | None = None

    def start(self, *units, head=(), table: bytes | None = None) -> None:
        records = [*head, *(record for one in units for record in one)]
        data = boottable.encode(records) if table is None else table
        (self.root / "etc/linuxkit/boot.table").write_bytes(data)
        self._port, port = pty.openpty()
        with (self.root / "console").open("wb") as console:
            self._process = subprocess.Popen(
                [self._helpers / "nsrun", self.root, os.ttyname(port), "/init"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            )
        self._slave = port  # held open, so that nothing said is lost when PID 1 is gone
        self.until(lambda: self._process.poll() is not None or self._child())
        if self._process.poll() == NO_NAMESPACES:
            pytest.skip("this machine allows no namespaces")

    @property
    def console(self) -> str:
        return (self.root / "console").read_text(errors="replace")

    def _child(self) -> list[str]:
        host = self._process.pid
        return Path(f"/proc/{host}/task/{host}/children").read_text().split()

    @property
    def pid(self) -> int:
        """PID 1 as the host sees it."""
        return int(self._child()[0])

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._port, data[:512]) :]
            self._take(0)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _take(self, wait_s: float) -> bool:
        if not select.select([self._port], [], [], wait_s)[0]:
            return False
        *lines, self._rest = (self._rest + os.read(self._port, 65536)).split(b"\n")
        for line in lines:
            assert len(line) < 1024
            self.records.append(json.loads(line))
        return True

    def wait(self, timeout_s: float = PATIENCE_S, **wanted) -> dict:
        """The first record with all these values."""
        end = time.monotonic() + timeout_s
        while True:
            for record in self.records:
                if wanted.items() <= record.items():
                    return record
            left = end - time.monotonic()
            assert left > 0, f"no {wanted}; {self.records}\n{self.console}"
            self._take(min(left, 0.5))

    def ended(self, timeout_s: float = PATIENCE_S) -> int:
        """How it ended: 0 for power-off and halt, 75 for a reboot."""
        end = time.monotonic() + timeout_s
        while self._process.poll() is None:
            assert time.monotonic() < end, f"it goes on; {self.records}\n{self.console}"
            self._take(0.1)
        while self._take(0):
            pass
        return self._process.returncode

    def states(self, name: str) -> list[str]:
        return [r["state"] for r in self.records if r.get("unit") == name]

    def until(self, true, timeout_s=PATIENCE_S) -> None:
        """Until the function says that it is so."""
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, f"{self.records[-20:]}\n{self.console[-2000:]}"
            self._take(0.1)

    def watch(self, seconds: float) -> None:
        """Take what comes for so long, where nothing is to come."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def wait_states(self, name: str, wanted: list[str], *, last=False) -> None:
        """Until these are all its states so far, or the ``last`` of them."""
        self.until(lambda: self.states(name)[-len(wanted) if last else 0 :] == wanted)

    def children(self) -> list[str]:
        """The pids of PID 1's children."""
        return Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()

    def wait_children(self, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Until PID 1 has so many children."""
        end = time.monotonic() + timeout_s
        while len(self.children()) != count:
            assert time.monotonic() < end, self.children()
            time.sleep(0.05)

    def said(self, name: str) -> str:
        """What the unit has said so far."""
        log = self.out / f"{name}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def open_files(self) -> int:
        """How many descriptors PID 1 has."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def order(self) -> list[str]:
        """Units and states as they came."""
        return [f"{r['unit']} {r['state']}" for r in self.records if r["event"] == "unit"]

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self._port >= 0:
            os.close(self._port)
            os.close(self._slave)
