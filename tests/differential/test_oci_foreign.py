"""Other tools read the store we wrote, and we read theirs."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci import model
from linuxkit.oci.image import Layer, open_image, write_image, write_index
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.store import Store

AMD = Platform("linux", "amd64")
ARM = Platform("linux", "arm64", "v8")
NAME = "docker.io/linuxkit/tool:v1"


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def a_layer(store: Store, files: dict[str, bytes]) -> Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    data = gzip.compress(out.getvalue(), mtime=0)
    layer = Descriptor(model.OCI_LAYER + "+gzip", store.put(data), len(data))
    return Layer(layer, digests.of_bytes(out.getvalue()))


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    """A store with an index of two platforms, a derived form, and a name removed."""
    store = Store(tmp_path / "ours", sync=False)
    images = [
        write_image(
            store,
            platform=platform,
            layers=[a_layer(store, {"arch": platform.arch.encode()}), a_layer(store, {"b": b"2"})],
            entrypoint=["/init"],
            env=["A=1"],
            labels={"l": "ä"},
            annotations={"k": "v"},
        )
        for platform in (AMD, ARM)
    ]
    store.set_name(NAME, write_index(store, images))
    store.set_name("bare", images[0])
    store.set_name("gone", images[1])
    store.set_derived(images[0].digest, "tar", images[0].digest, images[0].size)
    store.remove_name("gone")
    return store


def test_skopeo_reads_ours(ours: Store) -> None:
    skopeo = need("skopeo")
    found = json.loads(run(skopeo, "inspect", f"oci:{ours.root}:{NAME}"))
    assert found["Architecture"] == "amd64"
    assert found["Labels"] == {"l": "ä"}
    assert len(found["Layers"]) == 2
    raw = run(skopeo, "inspect", "--raw", f"oci:{ours.root}:{NAME}")
    named = ours.find(NAME)
    assert named is not None
    assert digests.of_bytes(raw.encode()) == named.digest


def test_skopeo_copies_ours_and_we_read_the_copy(ours: Store, tmp_path: Path) -> None:
    copy = Store(tmp_path / "copy")
    run(need("skopeo"), "copy", "--all", f"oci:{ours.root}:{NAME}", f"oci:{copy.root}:{NAME}")
    named, again = ours.find(NAME), copy.find(NAME)
    assert named is not None
    assert again is not None
    assert again.digest == named.digest
    for platform in (AMD, ARM):
        image = open_image(copy, again, platform)
        assert image.config == open_image(ours, named, platform).config
        for layer in image.manifest.layers:
            assert copy.has(layer.digest, layer.size)


def test_skopeo_copies_into_ours(ours: Store) -> None:
    run(need("skopeo"), "copy", f"oci:{ours.root}:bare", f"oci:{ours.root}:second")
    assert [name for name, _ in ours.names()] == [NAME, "bare", "second"]
    found = ours.find("second")
    assert found is not None
    assert open_image(ours, found, AMD).config.entrypoint == ("/init",)
    ours.set_name("third", found)
    run(need("skopeo"), "inspect", f"oci:{ours.root}:third")


def test_umoci_reads_ours(ours: Store, tmp_path: Path) -> None:
    umoci = need("umoci")
    assert run(umoci, "list", "--layout", ours.root).split() == [NAME, "bare"]
    assert "history" in json.loads(run(umoci, "stat", "--json", "--image", f"{ours.root}:bare"))
    run(umoci, "unpack", "--rootless", "--image", f"{ours.root}:bare", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "rootfs" / "arch").read_bytes() == b"amd64"
    assert (tmp_path / "bundle" / "rootfs" / "b").read_bytes() == b"2"


def test_umoci_changes_ours_and_we_read_it(ours: Store) -> None:
    umoci = need("umoci")
    run(umoci, "config", "--image", f"{ours.root}:bare", "--tag", "changed", "--config.cmd", "/x")
    run(umoci, "gc", "--layout", ours.root)
    found = ours.find("changed")
    assert found is not None
    assert open_image(ours, found, AMD).config.cmd == ("/x",)
    kept = ours.find(NAME)
    assert kept is not None
    assert open_image(ours, kept, ARM).config.platform == ARM


@pytest.fixture
def upstream(tmp_path: Path) -> Store:
    """A copy of a cache that the Go tool has worked with; it lies beside the checkout."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "compat"
    source = Path(os.environ.get("LINUXKIT_COMPAT", beside)) / "baseline" / "cache-features"
    if not source.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{source} is missing")
        pytest.skip(f"{source} is missing")
    return Store(Path(shutil.copytree(source, tmp_path / "upstream")))


def test_reads_every_image_of_an_upstream_cache(upstream: Store) -> None:
    names = upstream.names()
    assert len(names) == 21
    for name, descriptor in names:
        image = open_image(upstream, descriptor, AMD)
        assert image.manifest.layers, name
        for layer in image.manifest.layers:
            assert layer.media_type in model.LAYERS
            assert upstream.has(layer.digest, layer.size)
        assert image.config.platform == AMD
    multi = dict(names)["docker.io/linuxkit/multi:1"]
    assert open_image(upstream, multi, ARM).config.platform == ARM
    assert open_image(upstream, multi, Platform("linux", "arm64")).config.platform == ARM
    labelled = open_image(upstream, dict(names)["docker.io/linuxkit/labelled:1"], AMD)
    assert "CAP_NET_ADMIN" in labelled.config.labels["org.mobyproject.config"]


def test_writes_into_an_upstream_cache(upstream: Store) -> None:
    index = upstream.root / "index.json"
    before = json.loads(index.read_bytes())
    upstream.set_name("new", Descriptor(model.OCI_MANIFEST, upstream.put(b"x"), 1))
    assert json.loads(index.read_bytes())["manifests"][:-1] == before["manifests"]
    upstream.remove_name("new")
    assert json.loads(index.read_bytes()) == before
