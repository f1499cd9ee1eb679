"""Volumes: blank, with an image's files, and with an image whole; for some platforms or all."""

from __future__ import annotations

import hashlib
import json
import tarfile

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.build.plan import EPOCH
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.sources.store import Stored
from support.images import image

NAME = "docker.io/lk/data:1"
AMD64 = Platform("linux", "amd64")


@pytest.fixture
def store(tmp_path):
    return linuxkit.open_store(tmp_path / "cache")


def bare(store, arch="amd64", name=NAME):
    return image(store, name, {"file": f"for {arch}"}, arch=arch)


def index(store):
    """An image for two platforms, with something that belongs to none."""
    parts = [bare(store, arch)._replace(platform=Platform("linux", arch)) for arch in
             ("amd64", "arm64")]  # fmt: skip
    note = image(store, "note", {"note": "x"})._replace(platform=Platform("unknown", "unknown"))
    made = write_index(store, [*parts, note])
    store.set_name(NAME, made)
    return made, parts, note


def plan(store, tmp_path, volumes, **options):
    yml = tmp_path / "in.yml"
    yml.write_text("volumes:\n" + volumes)
    spec = linuxkit.load([yml], arch="amd64")
    sources = options.pop("sources", [Stored(store)])
    return linuxkit.resolve(spec, store=store, sources=sources, arch="amd64", sbom="", **options)


def build(store, tmp_path, volumes):
    made = plan(store, tmp_path, volumes)
    linuxkit.fetch(made, store=store)
    system = linuxkit.assemble(made, store=store)
    linuxkit.emit(system, ["tar"], directory=tmp_path, name="t")
    with tarfile.open(tmp_path / "t.tar") as archive:
        return {
            m.name.removeprefix("containers/volumes/"): (
                m, archive.extractfile(m).read() if m.isreg() else None
            )
            for m in archive
        }  # fmt: skip


OCI = f"  - {{name: v, image: {NAME!r}, format: oci}}\n"
ONLY = OCI.replace("}", ", platforms: [%s]}")


def layout_of(tree):
    """The names of blobs in the layout, and what its index points at."""
    blobs = {name.rpartition("/")[2] for name in tree if name.startswith("v/lower/blobs/sha256/")}
    return blobs, json.loads(tree["v/lower/index.json"][1])


def blobs_of(store, *descriptors):
    found = set()
    for each in descriptors:
        manifest = json.loads(store.read(each.digest, 1 << 20))
        found |= {each.digest, manifest["config"]["digest"]}
        found |= {layer["digest"] for layer in manifest["layers"]}
    return {digest.removeprefix("sha256:") for digest in found}


@pytest.mark.parametrize("text", [OCI, ONLY % "linux/amd64"])
def test_a_bare_manifest_is_its_own_root(store, tmp_path, text):
    made = bare(store)
    tree = build(store, tmp_path, text)
    blobs, root = layout_of(tree)
    assert blobs == blobs_of(store, made)
    (entry,) = root["manifests"]
    assert entry["digest"] == made.digest
    assert entry["mediaType"] == made.media_type
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": NAME}


def test_an_index_is_copied_with_all_it_points_at(store, tmp_path):
    made, parts, note = index(store)
    blobs, root = layout_of(build(store, tmp_path, OCI))
    assert blobs == blobs_of(store, *parts, note) | {made.digest.removeprefix("sha256:")}
    assert [entry["digest"] for entry in root["manifests"]] == [made.digest]


def test_platforms_choose_images_and_keep_the_index(store, tmp_path):
    made, parts, _ = index(store)
    blobs, root = layout_of(build(store, tmp_path, ONLY % "linux/arm64"))
    assert blobs == blobs_of(store, parts[1]) | {made.digest.removeprefix("sha256:")}
    assert root["manifests"][0]["digest"] == made.digest


def test_the_layout_is_dated_1970_and_the_rest_as_usual(store, tmp_path):
    index(store)
    tree = build(store, tmp_path, OCI)
    for name, (member, data) in tree.items():
        inside = name.startswith("v/lower/")
        assert member.mtime == (0 if inside else EPOCH), name
        assert member.mode == (0o644 if member.isreg() else 0o755)
        if "/sha256/" in name:
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]


def test_an_image_can_be_there_as_files_and_whole(store, tmp_path):
    index(store)
    tree = build(store, tmp_path, OCI + f"  - {{name: w, image: {NAME!r}}}\n")
    assert tree["w/lower/file"][1] == b"for amd64"
    assert "v/lower/index.json" in tree


def test_other_platforms_need_not_be_this_systems(store, tmp_path):
    made = bare(store, "arm64")
    blobs, _ = layout_of(build(store, tmp_path, ONLY % "linux/arm64"))
    assert blobs == blobs_of(store, made)


def test_a_platform_that_is_not_offered(store, tmp_path):
    index(store)
    with pytest.raises(Error) as error:
        plan(store, tmp_path, ONLY % "linux/riscv64")
    assert error.value.code == "LK0306"
    assert error.value.hint == "it is offered for linux/amd64, linux/arm64"
    assert error.value.where.line == 2


def test_a_platform_that_is_not_in_the_store(store, tmp_path):
    _, parts, _ = index(store)
    store.path(parts[1].digest).unlink()
    build(store, tmp_path, ONLY % "linux/amd64")  # needs it not
    with pytest.raises(Error) as error:
        plan(store, tmp_path, OCI)
    assert error.value.code == "LK0401"  # the store has it not whole; another source may
    assert error.value.where.line == 2


def test_a_lost_layer_is_told_before_assembly(store, tmp_path):
    made = bare(store)
    layer = json.loads(store.read(made.digest, 1 << 20))["layers"][0]["digest"]
    planned = plan(store, tmp_path, OCI)
    store.path(layer).unlink()
    with pytest.raises(Error) as error:
        linuxkit.fetch(planned, store=store)
    assert error.value.code == "LK0403"
    assert layer in error.value.message


def test_damage_does_not_get_into_the_system(store, tmp_path):
    made = bare(store)
    layer = json.loads(store.read(made.digest, 1 << 20))["layers"][0]["digest"]
    data = store.path(layer).read_bytes()
    store.path(layer).chmod(0o644)
    store.path(layer).write_bytes(data[:-1] + b"x")
    planned = plan(store, tmp_path, OCI)
    with pytest.raises(Error) as error:
        linuxkit.assemble(planned, store=store)
    assert error.value.code == "LK0305"


def test_offline_asks_for_each_platform(store, tmp_path):
    class Lacking(Stored):
        def missing(self, ref, platform):
            return [] if platform == AMD64 else [f"layers for {platform}"]

    bare(store)
    with pytest.raises(Error) as error:
        plan(store, tmp_path, ONLY % "linux/amd64, linux/arm64", offline=True,
             sources=[Lacking(store)])  # fmt: skip
    assert error.value.code == "LK0402"
    assert error.value.detail == "missing: layers for linux/arm64"


def test_images_made_for_each_platform_are_put_together(store, tmp_path):
    class Maker:
        name = "maker"

        def find(self, ref, platform):
            return bare(store, platform.arch, "made")

    parts = [bare(store, arch, "made") for arch in ("amd64", "arm64")]
    made = plan(store, tmp_path, ONLY % "linux/amd64, linux/arm64", sources=[Maker()])
    names = {item.path.rpartition("/")[2] for segment in made.segments for item in segment.items}
    assert blobs_of(store, *parts) <= names


def test_read_only_volumes_have_no_writable_layer(store, tmp_path):
    tree = build(store, tmp_path, "  - {name: a}\n  - {name: b, readonly: true}\n")
    assert {"a/lower", "a/merged", "a/tmp", "b/lower", "b/merged"} <= set(tree)
    assert "b/tmp" not in tree
