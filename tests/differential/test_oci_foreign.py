"""Other tools read the store we wrote, and we read theirs."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci import model
from linuxkit.oci.flatten import flatten
from linuxkit.oci.image import Layer, open_image, write_image, write_index
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.store import Store
from linuxkit.tree.entry import Kind
from support.tools import need

if TYPE_CHECKING:
    from linuxkit.tree.merge import Tree

AMD = Platform("linux", "amd64")
ARM = Platform("linux", "arm64", "v8")
NAME = "docker.io/linuxkit/tool:v1"


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


def on_disk(root: Path) -> dict[str, tuple[object, ...]]:
    """What an unpacker made: type and mode, owner, time, and what belongs to the type."""
    found: dict[str, tuple[object, ...]] = {}
    for path in root.rglob("*"):
        info = path.lstat()
        about: object = None
        if stat.S_ISREG(info.st_mode):
            about = path.read_bytes(), info.st_nlink
        elif stat.S_ISLNK(info.st_mode):
            about = str(path.readlink())
        elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            about = os.major(info.st_rdev), os.minor(info.st_rdev)
        shown = (info.st_mode, info.st_uid, info.st_gid, int(info.st_mtime), about)
        found[str(path.relative_to(root))] = shown
    return found


TYPES = {
    Kind.FILE: stat.S_IFREG, Kind.DIR: stat.S_IFDIR, Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK, Kind.FIFO: stat.S_IFIFO,
}  # fmt: skip


def in_memory(tree: Tree) -> dict[str, tuple[object, ...]]:
    """The same of a flattened tree."""
    entries = {entry.path: entry for entry in tree.entries()}
    links = Counter(e.link for e in entries.values() if e.kind is Kind.HARDLINK)
    found: dict[str, tuple[object, ...]] = {}
    for path, entry in entries.items():
        origin = entries[entry.link] if entry.kind is Kind.HARDLINK else entry
        about: object = None
        if origin.kind is Kind.FILE:
            about = b"".join(origin.content.chunks()), 1 + links[origin.path]
        elif origin.kind is Kind.SYMLINK:
            about = origin.link
        elif origin.kind in (Kind.CHAR, Kind.BLOCK):
            about = origin.major, origin.minor
        mode = TYPES[origin.kind] | (0o777 if origin.kind is Kind.SYMLINK else origin.mode)
        found[path] = mode, origin.uid, origin.gid, origin.mtime, about
    return found


class Tar:
    """A layer with every kind of object, made by the standard library."""

    def __init__(self, form: int = tarfile.PAX_FORMAT) -> None:
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=form)  # noqa: SIM115

    def add(self, name: str, kind: bytes = b"0", data: bytes = b"", **more: Any) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(data)
        info.mode = {b"5": 0o755, b"2": 0o777}.get(kind, 0o644)
        info.mtime = 1_700_000_000
        for key, value in more.items():
            setattr(info, key, value)
        self._tar.addfile(info, io.BytesIO(data))

    def done(self, store: Store) -> Layer:
        self._tar.close()
        data = self._out.getvalue()
        packed = gzip.compress(data, mtime=0)
        layer = Descriptor(model.OCI_LAYER + "+gzip", store.put(packed), len(packed))
        return Layer(layer, digests.of_bytes(data))


def an_odd_image(store: Store) -> Descriptor:
    low, middle, high = Tar(), Tar(tarfile.GNU_FORMAT), Tar()
    for folder in ("./", "./etc", "./gone-dir", "./opaque", "./dir-to-file", "./perm", "./links"):
        low.add(folder, b"5", mode=0o700)
    for name in ("etc/keep", "etc/gone", "gone-dir/x", "opaque/lower", "file-to-dir", "replaced"):
        low.add(f"./{name}", data=name.encode(), uid=3, mode=0o600)
    low.add("./dir-to-file/inner", data=b"i")
    low.add("links/a", data=b"linked")
    low.add("links/b", b"1", linkname="links/a")
    low.add("links/c", b"1", linkname="links/a")
    low.add("links/s", b"2", linkname="../etc/keep")
    middle.add("etc/.wh.gone")
    middle.add(".wh.gone-dir")
    middle.add("opaque", b"5")
    middle.add("opaque/.wh..wh..opq")
    middle.add("opaque/upper", data=b"u")
    middle.add(".wh.file-to-dir")
    middle.add("file-to-dir", b"5")
    middle.add("file-to-dir/new", data=b"n")
    middle.add(".wh.dir-to-file")
    middle.add("dir-to-file", data=b"now a file")
    middle.add("replaced", data=b"new", mode=0o755)
    middle.add("perm", b"5", mode=0o1711, gid=7)
    middle.add("g" * 150, data=b"a long name")
    middle.add("long-link", b"2", linkname="y" * 150)
    high.add("links/.wh.a")
    high.add("links/d", b"1", linkname="links/b")
    high.add("suid", data=b"s", mode=0o6755)
    high.add("fifo", b"6", mode=0o600)
    high.add("dev", b"5")
    high.add("dev/null", b"3", devmajor=1, devminor=3, mode=0o666)
    high.add("dev/loop0", b"4", devmajor=7, gid=6, mode=0o660)
    high.add("owned", data=b"o", uid=3_000_000, gid=4_000_000_000)
    high.add("unicode-äöü-日本", data=b"u")
    high.add("later", data=b"l", mtime=4_102_444_800)
    layers = [tar.done(store) for tar in (low, middle, high)]
    return write_image(store, platform=AMD, layers=layers)


@pytest.mark.root
def test_flattens_as_umoci_unpacks(upstream: Store, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root may make devices and owners")
    umoci = need("umoci")
    upstream.remove_name("docker.io/linuxkit/odd:1")  # has an attribute that no kernel takes
    upstream.set_name("odd", an_odd_image(upstream))
    compared = 0
    for n, (name, descriptor) in enumerate(upstream.names()):
        image = open_image(upstream, descriptor, AMD)
        if any(layer.media_type not in UMOCI_LAYERS for layer in image.manifest.layers):
            continue
        upstream.set_name("compared", image.descriptor)
        bundle = tmp_path / str(n)
        run(umoci, "unpack", "--image", f"{upstream.root}:compared", bundle)
        with flatten(upstream, image.manifest.layers, image.config.diff_ids) as tree:
            ours, theirs = in_memory(tree), on_disk(bundle / "rootfs")
        assert ours.keys() == theirs.keys(), name
        for path, about in ours.items():
            assert about == theirs[path], f"{name}: {path}"
        compared += 1
    assert compared > 15


UMOCI_LAYERS = (model.OCI_LAYER, model.OCI_LAYER + "+gzip")
