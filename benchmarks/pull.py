"""A cold pull of an image of 500 MB from a registry on the loopback, against `skopeo copy`.

Both fetch from Debian's docker-registry, in turn, into a folder that is empty before.  Target: at most
1.3 times as long as skopeo, in the middle of the pairs.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from measure import once, spread

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.registry import running  # noqa: E402

from linuxkit.base import digest as digests  # noqa: E402
from linuxkit.oci.image import Layer, write_image  # noqa: E402
from linuxkit.oci.model import OCI_LAYER, Descriptor, Platform  # noqa: E402
from linuxkit.oci.store import Store  # noqa: E402
from linuxkit.tree import tar  # noqa: E402
from linuxkit.tree.entry import Bytes, Entry, Kind  # noqa: E402

LINUXKIT = str(Path(sys.executable).with_name("linuxkit"))
RUNS = int(os.environ.get("RUNS", "5"))
MB = 1_000_000
RANDOM_MB = (160, 110, 80, 30, 15, 5)  # of layers that do not pack
TEXT_MB = (150, 60)  # of layers that do, before they are packed


def main() -> None:
    if sys.argv[1:]:
        make(Store(Path(sys.argv[1]), sync=False))
        return
    with tempfile.TemporaryDirectory() as folder, running(Path(folder, "registry")) as site:
        # By a process of its own: what this one holds would be counted as its children's memory.
        once([sys.executable, __file__, f"{folder}/origin"])
        origin = Store(Path(folder, "origin"))
        size = sum(blob.stat().st_size for blob in (origin.root / "blobs/sha256").iterdir())
        site.push(origin, "it", "big:1")
        name = f"{site.host}/big:1"
        mine, other = Path(folder, "mine"), Path(folder, "other")
        ours = [LINUXKIT, "-q", "cache", "pull", "--cache", str(mine), "--arch", "amd64", name]
        theirs = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{other}:it"]
        pairs = []
        for _ in range(RUNS):
            shutil.rmtree(mine, ignore_errors=True)
            shutil.rmtree(other, ignore_errors=True)
            os.sync()
            pairs.append((once(ours), once(theirs)))
            assert sum(blob.stat().st_size for blob in (mine / "blobs/sha256").iterdir()) >= size
        print(f"cold pull of {size / MB:.0f} MB: {RUNS} pairs")
        for what, n in (("linuxkit", 0), ("skopeo", 1)):
            print(f"  {what:8}  wall {spread([pair[n].wall_s for pair in pairs])} s")
            print(f"  {what:8}  cpu  {spread([pair[n].cpu_s for pair in pairs])} s")
            print(f"  {what:8}  rss  {max(pair[n].rss_mib for pair in pairs):.0f} MiB at most")
        ratios = [mine.wall_s / other.wall_s for mine, other in pairs]
        print(f"  ratio of wall times {spread(ratios)}")
        median = statistics.median(ratios)
        print(f"  {'within' if median <= 1.3 else 'NOT within'} 1.3 ({median:.2f})")


def make(store: Store) -> None:
    """Store the image as "it"."""
    dice = random.Random(1)
    layers = [layer(store, f"random{n}", dice.randbytes(size * MB)) for n, size in enumerate(RANDOM_MB)]
    words = [dice.randbytes(6).hex() for _ in range(4000)]
    for n, size in enumerate(TEXT_MB):
        text = " ".join(dice.choices(words, k=MB // 13)).encode()
        layers.append(layer(store, f"text{n}", text * size))
    root = write_image(store, platform=Platform("linux", "amd64"), layers=layers)
    store.set_name("it", root)


def layer(store: Store, name: str, data: bytes) -> Layer:
    out = io.BytesIO()
    writer = tar.Writer(out)
    writer.add(Entry(name, Kind.FILE, 0o644, content=Bytes(data)))
    writer.close()
    packed = gzip.compress(out.getvalue(), 1, mtime=0)
    found = Descriptor(OCI_LAYER + "+gzip", store.put(packed), len(packed))
    return Layer(found, digests.of_bytes(out.getbuffer()))


if __name__ == "__main__":
    main()
