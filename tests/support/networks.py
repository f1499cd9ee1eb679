"""Machines as far as the network goes: network namespaces, each joined to a hub by a wire of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

HUB = "hub"
HUB_ADDRESS = "10.88.0.1"


class Star:
    """A hub and machines around it that reach the hub and, as it forwards nothing, nobody else."""

    def __init__(self, machines: Sequence[str]) -> None:
        self._ip = need("ip")
        self._machines = machines
        self._running: list[subprocess.Popen[bytes]] = []

    def address(self, machine: str) -> str:
        """The address of a machine."""
        return f"10.88.{self._machines.index(machine) + 1}.2"

    def run(
        self, machine: str, words: Sequence[str | Path], **options
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on a machine to its end."""
        argv = self._on(machine, words)
        return subprocess.run(argv, check=False, capture_output=True, text=True, **options)

    def start(
        self, machine: str, words: Sequence[str | Path], log: Path, **options
    ) -> subprocess.Popen[bytes]:
        """Start a program on a machine; it ends with the network."""
        with log.open("wb") as out:
            argv = self._on(machine, words)
            self._running.append(subprocess.Popen(argv, stdout=out, stderr=out, **options))
        return self._running[-1]

    def _on(self, machine: str, words: Sequence[str | Path]) -> list[str]:
        return [self._ip, "netns", "exec", self._name(machine), *map(str, words)]

    def _name(self, machine: str) -> str:
        return f"linuxkit-{os.getpid()}-{machine}"

    def _do(self, *words: str) -> None:
        subprocess.run([self._ip, *words], check=True, capture_output=True)

    def build(self) -> None:
        """Make the namespaces and their wires."""
        self._do("netns", "add", self._name(HUB))
        self._do("-n", self._name(HUB), "link", "set", "lo", "up")
        self._do("-n", self._name(HUB), "address", "add", f"{HUB_ADDRESS}/32", "dev", "lo")
        for n, machine in enumerate(self._machines, 1):
            name = self._name(machine)
            self._do("netns", "add", name)
            self._do("link", "add", f"to{n}", "netns", self._name(HUB), "type", "veth",
                     "peer", "name", "eth0", "netns", name)  # fmt: skip
            for space, link, address in (
                (self._name(HUB), f"to{n}", f"10.88.{n}.1/24"),
                (name, "eth0", f"{self.address(machine)}/24"),
            ):
                self._do("-n", space, "address", "add", address, "dev", link)
                self._do("-n", space, "link", "set", link, "up")
            self._do("-n", name, "link", "set", "lo", "up")
            self._do("-n", name, "route", "add", f"{HUB_ADDRESS}/32", "via", f"10.88.{n}.1")

    def close(self) -> None:
        """End what runs, and remove the namespaces; their wires go with them."""
        for process in self._running:
            process.kill()
            process.wait()
        for machine in (HUB, *self._machines):
            name = self._name(machine)
            subprocess.run([self._ip, "netns", "delete", name], check=False, capture_output=True)


@contextlib.contextmanager
def star(*machines: str) -> Iterator[Star]:
    """A network that is gone when the block ends."""
    made = Star(machines)
    try:
        made.build()
        yield made
    finally:
        made.close()
