"""Systems built from stock packages, and machines that boot them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol  # for who runs a test again, as pytest-rerunfailures

from linuxkit.runners import machines
from support.machines import OTHER_KERNEL, Workshop, cache_folder
from support.terminals import Terminal
from support.tools import has_user_mode, need_user_mode

ROOT = Path(__file__).parents[2]
# A fault of Debian's user-mode Linux (docs/decisions/0055-user-mode-linux.md), which ends the machine.
UML_FAULT = "Kernel mode fault at addr 0x40e"
CUT_SHORT = pytest.StashKey[bool]()
LINUXKIT = [sys.executable, "-c", "from linuxkit.cli.main import entry; entry()"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run a test again, once, which that fault has cut short."""
    if item.get_closest_marker("boot") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports) and item.stash.get(CUT_SHORT, False):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def show(item: pytest.Item, what: str, text: str) -> None:
    """For a failure's report: the end of it, where the reason is."""
    lines = text.splitlines()
    print("\n".join([f"--- {what} ({len(lines)} lines)", *lines[-80:]]))  # noqa: T201
    if UML_FAULT in text:
        item.stash[CUT_SHORT] = True


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """One store for all boots, and a folder for what is built."""
    fallback = tmp_path_factory.mktemp("cache")
    return Workshop(tmp_path_factory.mktemp("systems"), cache_folder(fallback))


@pytest.fixture
def boot(workshop, need, request):
    """Start machines that end with the test; a failure shows their consoles and records."""
    running = []
    any_kernel = request.node.get_closest_marker("any_kernel") and not OTHER_KERNEL
    usual = "uml" if any_kernel and has_user_mode() else "qemu"

    def start(artifact, *, runner=usual, **options):
        if runner == "uml":
            need_user_mode()
        else:
            need("qemu-system-x86_64")
        machine = workshop.boot(artifact, runner=runner, **{"memory_mib": 384, **options})
        running.append(machine)
        return machine

    yield start
    for machine in running:
        machine.close()
        show(request.node, "console", machine.console.decode(errors="replace"))
        show(request.node, "records", "\n".join(map(str, machine.records)))
        show(request.node, machine.emulator, "\n".join(machine.said))


@pytest.fixture
def linuxkit(tmp_path, workshop, request):
    """The program, with machines of its own; what still runs at the end is killed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(tmp_path)}

    def run(*words: str, status: int = 0, timeout_s: float = 120) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [*LINUXKIT, *words], env=env, capture_output=True, text=True, check=False,
            cwd=tmp_path, timeout=timeout_s,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done

    run.env, run.program = env, LINUXKIT
    yield run
    for facts in tmp_path.glob("linuxkit/machines/*/machine.json"):
        value = json.loads(facts.read_text())
        for name in (machines.CONSOLE, machines.REPORT, machines.RESULT):
            said = facts.with_name(name)
            show(request.node, f"{facts.parent.name}: {name}", said.read_text(errors="replace") if said.exists() else "")
        for pid in (value["pid"], value["emulator"]):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except FileNotFoundError:
                continue
            if b"linuxkit" in line or b"qemu" in line:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def terminal(workshop):
    made = []

    def start(*words: str) -> Terminal:
        made.append(Terminal(list(words), workshop.cache))
        return made[-1]

    yield start
    for each in made:
        each.close()
