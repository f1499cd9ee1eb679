"""How long until the first service runs, against a bare busybox init on the same kernel and QEMU.

Target: at most 1.5 times.  Both are timed by the host, from the start of QEMU to the guest's record.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import linuxkit
from linuxkit import runners
from linuxkit.base import digest
from linuxkit.oci.flatten import flatten
from linuxkit.oci.image import Layer, open_image, write_image
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.recipes.stock import Shelf
from linuxkit.runners.options import Options
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind
from measure import spread

AMD64 = Platform("linux", "amd64")
INIT = b"""#!/bin/sh
mount -t devtmpfs dev /dev
exec 2>/dev/ttyS0
for port in /dev/vport*; do
  echo '{"t":1,"event":"boot","state":"ready"}' > $port
done
exec sleep 1000
"""
KERNEL = 'kernel: {image: "@pkg:kernel", cmdline: "console=ttyS0 quiet"}\n'
SYSTEMS = {
    "bare busybox init": KERNEL + 'init: ["bench/bare:1"]\n',
    "first service": KERNEL
    + 'init: ["@pkg:init", "@pkg:crun"]\n'
    + 'services: [{name: first, image: "@pkg:busybox", command: [/bin/sh, -c, sleep 1000]}]\n',
}


def bare(store: linuxkit.Store, sources) -> None:
    """An image that is busybox and a script."""
    from linuxkit.oci import ref

    found = sources[1].find(ref.parse(Shelf().reference("busybox", "amd64")), AMD64)
    image = open_image(store, found, AMD64)
    with flatten(store, image.manifest.layers) as tree, store.writer() as out:
        tree.add(Entry("init", Kind.FILE, 0o755, content=Bytes(INIT)))
        if tree.get("dev") is None:
            tree.add(Entry("dev", Kind.DIR, 0o755))
        tar.write(tree.entries(), out)
    layer = Descriptor("application/vnd.oci.image.layer.v1.tar", out.digest, out.size)
    made = write_image(store, platform=AMD64, layers=[Layer(layer, digest.Digest(out.digest))])
    store.set_name("docker.io/bench/bare:1", made)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    store = linuxkit.open_store()
    sources = linuxkit.default_sources(store)
    bare(store, sources)
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for number, (title, text) in enumerate(SYSTEMS.items()):
            yml = Path(folder, f"{number}.yml")
            yml.write_text(text)
            spec = linuxkit.load([yml], arch="amd64")
            plan = linuxkit.resolve(spec, store=store, sources=sources, arch="amd64", sbom="")
            system = linuxkit.assemble(plan, store=store)
            (made[title],) = linuxkit.emit(
                system, ["kernel+initrd"], directory=folder, name=str(number)
            )
        times: dict[str, list[float]] = {title: [] for title in made}
        for _ in range(runs):
            for title, artifact in made.items():
                with runners.start(artifact, Options(memory_mib=256)) as machine:
                    record = (
                        machine.wait_unit("services/first", timeout_s=120)
                        if "service" in title
                        else machine.wait_ready(timeout_s=120)
                    )
                    times[title].append(record.host_ms / 1000)
    for title, values in times.items():
        print(f"{title}: {spread(values)} s")
    ours, other = (times[title] for title in ("first service", "bare busybox init"))
    print(f"ratio: {spread([a / b for a, b in zip(ours, other, strict=True)])}")
    print(f"median against median: {statistics.median(ours) / statistics.median(other):.2f}")


if __name__ == "__main__":
    main()
