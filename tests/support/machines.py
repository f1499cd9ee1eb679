"""Systems built from a YAML text and booted, for tests.

One store serves a whole test session; LINUXKIT_TEST_CACHE names one that outlives it.
LINUXKIT_TEST_KERNEL names a stock kernel to boot in place of Debian's, such as kernel-hardened.
"""

from __future__ import annotations

import os
import re
import socket
import time
import urllib.request
from typing import TYPE_CHECKING

import linuxkit
from linuxkit import runners

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from linuxkit.build.artifact import Artifact
    from linuxkit.runners import Running

HEAD = """\
kernel:
  image: "@pkg:kernel"
  cmdline: "console=ttyS0 quiet panic=-1"
init: ["@pkg:init", "@pkg:crun"]
"""
FULL = HEAD.replace('"@pkg:kernel"', '"@pkg:kernel-full"')


OTHER_KERNEL = os.environ.get("LINUXKIT_TEST_KERNEL", "")


def with_kernel(text: str, other: str) -> str:
    """The YAML ``text`` with the stock kernel ``other`` where it names one of Debian's."""
    return re.sub('"@pkg:kernel(-full)?"', f'"@pkg:{other}"', text) if other else text


def for_kernel(text: str, *lacking: str) -> str:
    """The YAML ``text`` as the kernel can have it that is booted.

    Ours have ext4 in place of xfs and btrfs, and not what the one-line entries called ``lacking`` are
    about, such as modules (docs/decisions/0051-kernel.md).
    """
    if not OTHER_KERNEL:
        return text
    left = re.sub(rf"^ *- {{name: ({'|'.join(lacking)})[,}}].*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<![\w-])(xfs|btrfs)\b", "ext4", left)


def until(machine: Running, true: Callable[[], object], what: str, timeout_s: float = 420) -> None:
    """Wait for what need not be among the machine's records, such as what it has sent."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert not machine.ended, f"the machine ended before {what}"
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.1)


class Workshop:
    """Builds systems into ``folder`` with the store ``cache``, and boots them."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.cache = cache
        self._built: dict[tuple[str, ...], Artifact] = {}

    def build(
        self,
        text: str,
        *,
        arch: str = "amd64",
        name: str = "",
        compression: str = "zstd",
        form: str = "kernel+initrd",
        sign: Path | None = None,
        only_signed: bool = False,
        learn: bool = False,
    ) -> Artifact:
        """The artifact of a system whose YAML is ``text``; the same text is built once."""
        key = (text, arch, compression, name, form, str(sign), str(only_signed), str(learn))
        if key not in self._built:
            store = linuxkit.open_store(self.cache)
            yml = with_kernel(text, OTHER_KERNEL)
            spec = linuxkit.load(["-"], arch=arch, stdin=yml.encode())
            sources = linuxkit.default_sources(store)
            plan = linuxkit.resolve(spec, store=store, sources=sources, arch=arch, learn=learn)
            linuxkit.fetch(plan, store=store)
            system = linuxkit.assemble(plan, store=store)
            chosen = name or f"system{len(self._built)}"
            (self._built[key],) = linuxkit.emit(
                system,
                [form],
                directory=self.folder,
                name=chosen,
                compression=compression,
                sign=sign,
                only_signed=only_signed,
            )
        return self._built[key]

    def boot(
        self, system: str | Artifact, *, runner: str = runners.DEFAULT, **options: object
    ) -> Running:
        """Start a machine (to be used as a context manager) from a YAML text or an artifact.

        A reboot ends it unless the options say otherwise: a guest that crashes must not come back.
        """
        artifact = self.build(system) if isinstance(system, str) else system
        tools = linuxkit.own_tools(linuxkit.open_store(self.cache))
        given = {"cache": self.cache, "reboot": False, "memory_mib": 512, "tools": tools, **options}
        chosen = runners.Options(**given)  # type: ignore[arg-type] # a test's
        return runners.start(artifact, chosen, runner=runner)


def cache_folder(fallback: Path) -> Path:
    """The store of this test session."""
    chosen = os.environ.get("LINUXKIT_TEST_CACHE")
    return fallback if not chosen else type(fallback)(chosen)


_KEPT: list[socket.socket] = []


def free_port() -> int:
    """A port of this host for a server of ours: the kernel gives it to nobody else as long as we live.

    The socket that keeps it does not listen, and lets others with SO_REUSEADDR do so, as servers have it.
    """
    _KEPT.append(socket.socket())
    _KEPT[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _KEPT[-1].bind(("127.0.0.1", 0))
    return int(_KEPT[-1].getsockname()[1])


def fetch_page(url: str, timeout_s: float = 120) -> bytes:
    """What is at ``url``, tried until then: a server that was started need not listen yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def step(name: str, script: str, **extra: str) -> str:
    """A container of the busybox package that runs a shell script on the machine's folders."""
    more = "".join(f", {key}: {value}" for key, value in {"pid": "host", **extra}.items())
    return (
        f'  - {{name: {name}, image: "@pkg:busybox", command: [/bin/sh, -c, {script!r}],'
        f" binds: ['/:/host']{more}}}\n"
    )


def use(name: str, package: str, command: str = "") -> str:
    """A container of a stock package."""
    more = f", command: {command}" if command else ""
    return f'  - {{name: {name}, image: "@pkg:{package}"{more}}}\n'


def exited(machine: Running) -> list[str]:
    """The onboot containers that have ended well, in their order."""
    return [
        r.name.split("-", 1)[1] for r in machine.records
        if r.event == "unit" and r.name.startswith("onboot/") and r.state == "exited"
    ]  # fmt: skip


def start_all(
    boot: Callable[..., Running], workshop: Workshop, text: str, *, timeout_s: float, **options: object
) -> Running:
    """A machine all whose onboot containers have ended well; one boot tells of all that have not.

    Containers that the YAML's other keys add, as ``network:`` does, stop the boot by themselves.
    """
    text += "" if "services:" in text else "services: []\n"
    before, onboot, services = re.split("(?<=onboot:)|(?=services:)", text)
    text = before + onboot.replace("}\n", ", onFailure: continue}\n") + services
    names = re.findall(r"^  - {name: ([a-z0-9-]+)", onboot, re.MULTILINE)
    assert len(names) == onboot.count("\n") - 1
    machine = boot(workshop.build(text), **options)
    machine.wait_ready(timeout_s=timeout_s)
    assert [name for name in exited(machine) if not name.startswith("network")] == names
    return machine
