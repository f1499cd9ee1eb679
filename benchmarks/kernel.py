"""Our own kernels against Debian's: time until the first service runs, sizes, memory.

Target: at most 0.65 of the time of Debian's cloud kernel; 8 MiB (5 for microvm); 24 MB of memory used.
Same QEMU, same system; the runs take turns, so that what else the machine does counts for all.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import linuxkit
from linuxkit import runners
from linuxkit.runners.options import Options
from measure import spread

CONTAINERD = "containerd"  # upstream's way: Debian's kernel, and services are tasks of containerd
INIT = 'init: ["@pkg:init", "@pkg:crun"]\n'
TASKS = 'init: ["@pkg:init", "@pkg:runc", "@pkg:containerd"]\n'
REST = """\
services: [{name: first, image: "@pkg:busybox", command: [/bin/sh, -c, sleep 1000]}]
"""
KERNELS = ("kernel", "kernel-hardened", "kernel-microvm", CONTAINERD)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    kernels = sys.argv[2:] or KERNELS
    store = linuxkit.open_store()
    sources = linuxkit.default_sources(store)
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name in kernels:
            yml = Path(folder, f"{name}.yml")
            kernel, init = ("kernel", TASKS) if name == CONTAINERD else (name, INIT)
            head = f'kernel: {{image: "@pkg:{kernel}", cmdline: "console=ttyS0 quiet"}}\n'
            yml.write_text(head + init + REST)
            spec = linuxkit.load([yml], arch="amd64")
            plan = linuxkit.resolve(spec, store=store, sources=sources, arch="amd64", sbom="")
            system = linuxkit.assemble(plan, store=store)
            (made[name],) = linuxkit.emit(
                system, ["kernel+initrd"], directory=folder, name=name, compression="zstd:19"
            )
        times: dict[str, list[float]] = {name: [] for name in made}
        memory: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(runs):
            for name, artifact in made.items():
                with runners.start(
                    artifact, Options(memory_mib=512 if name == CONTAINERD else 256)
                ) as machine:
                    record = machine.wait_unit("services/first", timeout_s=300)
                    times[name].append(record.host_ms / 1000)
                    ready = machine.wait_ready(timeout_s=300)
                    used = (ready.mem_total_kib or 0) - (ready.mem_available_kib or 0)
                    memory[name].append(used / 1024)
        first = kernels[0]
        for name, artifact in made.items():
            sizes = " + ".join(f"{f.role} {f.size}" for f in artifact.files if f.role != "cmdline")
            print(f"{name}: {sizes} bytes; {spread(memory[name])} MiB used")
            ratio = statistics.median(times[name]) / statistics.median(times[first])
            print(f"    first service after {spread(times[name])} s; {ratio:.2f} of {first}")


if __name__ == "__main__":
    main()
