"""The first and the warm build of `tar`, against `gzip -dc` of the same layers in the same run.

The set has the shape of a middling system: small kernel, init, onboot and service images, and two
services with 20 MB of files each in gzip layers.  Targets: the first build costs at most 1.5 times
the CPU time of gzip, a warm one at most 0.3 times.

    python benchmarks/flatten.py [CACHE YML]     # a cache and a YAML of your own
"""

from __future__ import annotations

import gzip
import io
import random
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from measure import compare, once

from linuxkit.base import digest
from linuxkit.oci import model
from linuxkit.oci.image import Layer, write_image
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.store import Store

LINUXKIT = str(Path(sys.executable).with_name("linuxkit"))
YML = """\
kernel: {image: "linuxkit/kernel:bench", cmdline: "console=ttyS0"}
init: ["linuxkit/init:bench"]
onboot: [{name: onboot, image: "linuxkit/onboot:bench"}]
services:
  - {name: a, image: "linuxkit/a:bench"}
  - {name: b, image: "linuxkit/b:bench"}
"""


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1700000000, 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def filler(seed: int, total: int) -> dict[str, bytes]:
    """Files of log-normal sizes, half like text and half like programs; gzip makes 2.5 to 1."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(3000)]
    text = " ".join(rng.choices(words, k=400_000)).encode()
    skew = bytes((i * i) // 256 if i < 200 else 0 for i in range(256))
    files: dict[str, bytes] = {}
    left = total
    while left > 0:
        size = max(1, min(int(rng.lognormvariate(9.2, 1.6)), 8 << 20, left))
        at = rng.randrange(len(text))
        data = (text[at:] + text)[:size] if len(files) % 2 else rng.randbytes(size).translate(skew)
        files[f"opt/data/d{len(files) // 100}/f{len(files):06d}"] = data
        left -= size
    return files


def image(store: Store, name: str, files: dict[str, bytes]) -> None:
    plain = archive(files)
    packed = gzip.compress(plain, 6, mtime=0)
    layer = Descriptor(
        "application/vnd.oci.image.layer.v1.tar+gzip", store.put(packed), len(packed)
    )
    made = write_image(
        store,
        platform=Platform("linux", "amd64"),
        layers=[Layer(layer, digest.of_bytes(plain))],
        cmd=["/bin/true"],
    )
    store.set_name(f"docker.io/linuxkit/{name}:bench", made)


def make(cache: Path) -> None:
    store = Store(cache, sync=False)
    rng = random.Random(0)
    kernel = rng.randbytes(14_000_000)
    modules = archive({"lib/modules/6/x.ko": rng.randbytes(200_000)})
    image(store, "kernel", {"kernel": kernel, "kernel.tar": modules})
    busybox = filler(7, 2_000_000)
    image(store, "init", {"init": b"#!/bin/sh\n", **busybox})
    image(store, "onboot", busybox)
    image(store, "a", {**busybox, **filler(2, 20_000_000)})
    image(store, "b", {**busybox, **filler(3, 20_000_000)})


def layers(cache: Path) -> list[str]:
    store = Store(cache)
    found = []
    for _, descriptor in store.names():
        todo = [descriptor]
        while todo:
            item = todo.pop()
            data = store.read(item.digest, model.MANIFEST_LIMIT)
            if item.media_type in model.INDEXES:
                todo += model.decode_index(data, item).manifests
            else:
                found += [str(store.path(x.digest)) for x in model.decode_manifest(data, item).layers]
    return sorted(set(found))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if len(sys.argv) > 2:
            cache = work / "cache"
            shutil.copytree(sys.argv[1], cache)
            yml = Path(sys.argv[2])
        else:
            cache, yml = work / "cache", work / "medium.yml"
            make(cache)
            yml.write_text(YML)
        build = [LINUXKIT, "-q", "--cache", str(cache), "build", "--no-sbom", "-f", "tar",
                 "--dir", folder, str(yml)]  # fmt: skip
        gunzip = ["gzip", "-dc", *layers(cache)]

        def forget() -> None:
            shutil.rmtree(cache / "linuxkit", ignore_errors=True)

        once(build)
        compare("first build of tar", build, gunzip, before=forget)
        once(build)
        compare("warm build of tar", build, gunzip)


if __name__ == "__main__":
    main()
