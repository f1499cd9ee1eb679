"""The demo's second half: build, boot, ask, power off.  scripts/demo does the set-up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit import runners
from linuxkit.runners.options import Forward, Options

if TYPE_CHECKING:
    from linuxkit.runners.running import Running

ROOT = Path(__file__).resolve().parent.parent
YML = ROOT / "examples" / "web.yml"
BOOT_S = 180.0
ANSWER_S = 60.0


def main() -> int:
    """Run the demo; the exit status is 0 when all of it went well."""
    linuxkit = shutil.which("linuxkit") or "linuxkit"
    with tempfile.TemporaryDirectory(prefix="linuxkit-demo-") as folder:
        title(f"linuxkit build {YML.relative_to(ROOT)}")
        build([linuxkit, "build", "--size", "--dir", folder, str(YML)], linuxkit, Path(folder))
        port = free_port()
        title(f"linuxkit run web --publish {port}:80")
        options = Options(memory_mib=512, forwards=(Forward(port, 80),))
        with runners.start(Path(folder, "web"), options) as machine:
            stop = show_console(machine)
            try:
                machine.wait_ready(timeout_s=BOOT_S)
                status, page = ask(f"http://127.0.0.1:{port}/")
            finally:
                stop.set()
            title(f"GET http://127.0.0.1:{port}/ → {status}")
            print(page)
            title("timeline")
            for record in machine.records:
                if record.event in {"boot", "phase", "unit"}:
                    print(f"  {record.t_ms / 1000:7.2f} s  {record.name or 'boot'} {record.state}")
            title("power off")
            machine.poweroff()
            result = machine.wait(timeout_s=60)
    well = result.status == 0 and status == 200 and "It works" in page  # noqa: PLR2004
    ended = "in order" if result.status == 0 else f"not well ({result.reason})"
    print(f"the machine ended {ended}")
    return 0 if well else 1


def build(command: list[str], linuxkit: str, folder: Path) -> None:
    """Build; with a lock of our own where Debian no longer has what the shipped one names."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        for line in process.stderr or ():
            sys.stderr.write(line)
            said += line
    if process.returncode and "LK0527" in said:
        title("Debian has newer packages than the lock: making another one, for this demo only")
        lock = shutil.copy(ROOT / "packages" / "debian.lock", folder / "debian.lock")
        os.environ["LINUXKIT_PACKAGES_LOCK"] = str(lock)
        subprocess.run([linuxkit, "pkg", "lock", "--update", "--arch", "amd64"], check=True)
        subprocess.run(command, check=True)
    elif process.returncode:
        raise SystemExit(process.returncode)


def title(text: str) -> None:
    """Say what comes next."""
    print(f"\n=== {text}", flush=True)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show_console(machine: Running) -> threading.Event:
    """Print the machine's console as it grows, until the event is set."""
    stop = threading.Event()

    def follow() -> None:
        shown = 0
        while not stop.wait(0.1):
            text = machine.console
            sys.stdout.write(text[shown:].decode(errors="replace").replace("\r", ""))
            sys.stdout.flush()
            shown = len(text)

    threading.Thread(target=follow, daemon=True).start()
    return stop


def ask(url: str) -> tuple[int, str]:
    """The page at ``url``; its server may need a moment after it was started."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own URL
                return answer.status, answer.read().decode()
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{url} does not answer: {error}") from error
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
