"""Images to archives and back, and archives that are none."""

from __future__ import annotations

import io
import json

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import archive, export, model
from linuxkit.oci.image import is_whole, open_image, write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support import images
from support.images import image

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
NAME = "docker.io/team/web:1"


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "store", sync=False)
    parts = [
        image(made, arch, {"etc/": "", "etc/a": "1"}, {"etc/b": arch}, arch=arch, cmd=["/x"])
        for arch in ("amd64", "arm64")
    ]
    both = [each._replace(platform=p) for each, p in zip(parts, (AMD, ARM), strict=True)]
    made.set_name(NAME, write_index(made, both))
    return made


@pytest.fixture
def other(tmp_path) -> Store:
    return Store(tmp_path / "other", sync=False)


def root(store: Store, name: str = NAME) -> model.Descriptor:
    found = store.find(name)
    assert found is not None
    return found


def layout(store: Store, *platforms: Platform) -> bytes:
    out = io.BytesIO()
    export.write_layout(store, root(store), NAME, platforms, out)
    return out.getvalue()


def refused(data: bytes, store: Store, name: str = "") -> Error:
    with pytest.raises(Error) as error:
        archive.read(io.BytesIO(data), store, name)
    assert store.names() == ()
    return error.value


def test_a_layout_comes_back_as_it_was(store, other):
    data = layout(store)
    (found,) = archive.read(io.BytesIO(data), other)
    assert found.name == NAME
    assert root(other).digest == root(store).digest
    assert is_whole(other, root(other), AMD)
    assert is_whole(other, root(other), ARM)
    assert layout(other) == data


def test_one_platform_alone(store, other):
    archive.read(io.BytesIO(layout(store, ARM)), other, "mine")
    found = root(other, "docker.io/library/mine")
    assert found.digest == root(store).digest
    assert is_whole(other, found, ARM)
    assert not is_whole(other, found, AMD)


def test_docker_save_and_back(store, other):
    out = io.BytesIO()
    export.write_saved(store, [(NAME, root(store))], ARM, out)
    (found,) = archive.read(io.BytesIO(out.getvalue()), other)
    assert found.name == NAME
    again, before = open_image(other, root(other), ARM), open_image(store, root(store), ARM)
    assert again.config == before.config
    assert [x.digest for x in again.manifest.layers] == [x.digest for x in before.manifest.layers]


def test_the_files(store):
    out = io.BytesIO()
    export.write_tree(store, root(store), ARM, out)
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as made:
        assert made.getnames() == ["etc", "etc/a", "etc/b"]
        assert made.extractfile("etc/b").read() == b"arm64"


def changed(data: bytes, path: str, value: object) -> bytes:
    """The archive with one file replaced, or removed when ``value`` is None."""
    import tarfile

    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as made:
        for member in made:
            files[member.name] = made.extractfile(member).read()
    if value is None:
        del files[path]
    else:
        files[path] = value if isinstance(value, bytes) else json.dumps(value).encode()
    return images.archive(files)


def test_archives_that_are_none(store, other):
    data = layout(store)
    for bad in (
        images.archive({"x": "y"}),
        changed(data, "index.json", b"{"),
        changed(data, "index.json", []),
        changed(data, "index.json", {"manifests": []}),
        images.archive({"manifest.json": "{}"}),
        images.archive({"manifest.json": "[1]"}),
        images.archive({"manifest.json": '[{"Config": "none", "Layers": []}]'}),
    ):
        assert refused(bad, other).code == "LK0327"


def test_archives_that_lie_or_lack(store, other):
    data = layout(store)
    manifest = open_image(store, root(store), AMD).manifest
    layer = "blobs/sha256/" + digests.hex_of(manifest.layers[1].digest)
    assert refused(changed(data, layer, b"other"), other).code == "LK0305"
    assert refused(changed(data, "blobs/sha256/x", b"other"), other).code == "LK0301"
    fresh = Store(other.root.with_name("fresh"), sync=False)
    assert refused(changed(layout(store, AMD), layer, None), fresh).code == "LK0303"


def test_names(store, other):
    data = layout(store)
    entry = model.descriptor_value(root(store)._replace(annotations=()))

    def with_note(**notes: str) -> bytes:
        marked = {k.replace("_", "."): v for k, v in notes.items()}
        return changed(data, "index.json", {"manifests": [{**entry, "annotations": marked}]})

    assert refused(with_note(), other).code == "LK0327"
    assert "--name" in refused(with_note(org_opencontainers_image_ref_name="v1"), other).hint
    assert refused(with_note(io_containerd_image_name="A/B"), other).code == "LK0302"
    archive.read(io.BytesIO(with_note(io_containerd_image_name="me/x:1")), other)
    archive.read(io.BytesIO(with_note(org_opencontainers_image_ref_name="v1")), other, "y:2")
    assert [name for name, _ in other.names()] == ["docker.io/me/x:1", "docker.io/library/y:2"]


def config_of(layers: int) -> bytes:
    diff_ids = ["sha256:" + "0" * 64] * layers
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()


def saved(*entries: object, **files: bytes) -> bytes:
    return images.archive({"manifest.json": json.dumps(entries), **files})


def test_a_layer_of_many_saved_images_is_stored_once(store, other, monkeypatch):
    written = []
    writer = Store.writer
    monkeypatch.setattr(Store, "writer", lambda self, *words: written.append(words) or writer(self, *words))
    listed = [{"Config": "c", "Layers": ["big"] * 512, "RepoTags": [f"a/b:{n}"]} for n in range(9)]
    found = archive.read(io.BytesIO(saved(*listed, c=config_of(512), big=bytes(1 << 20))), other)
    assert len(found) == 9
    assert len([words for words in written if words == ()]) == 1


@pytest.mark.parametrize(
    ("config", "layers", "tags", "count", "code"),
    [
        ("c", ["l"] * 513, ["a/b:1"], 1, "LK0308"),
        ("c", ["l"], [f"a/b:{n}" for n in range(1001)], 1, "LK0308"),
        ("c", ["l"], ["a/b:1"], 1001, "LK0308"),
        ("c", [5], ["a/b:1"], 1, "LK0327"),
    ],
)
def test_saved_images_that_list_too_much(other, config, layers, tags, count, code):
    entry = {"Config": config, "Layers": layers, "RepoTags": tags}
    files = {"c": config_of(1), "l": b"", "5": b""}
    assert refused(saved(*[entry] * count, **files), other).code == code


def test_a_layout_that_lists_too_much(store, other, tmp_path):
    doc = {"manifests": [{"mediaType": model.OCI_INDEX, "size": 1, "digest": root(store).digest}] * 1001}
    assert refused(changed(layout(store), "index.json", doc), other).code == "LK0308"
    (tmp_path / "index.json").write_bytes(b" " * (model.MANIFEST_LIMIT + 1))
    with pytest.raises(Error) as caught:
        archive.read_folder(tmp_path, other)
    assert caught.value.code == "LK0308"


def test_manifests_in_a_row_are_not_followed(store, other, tmp_path):
    """Each calls the next one its layer: deeper than Python can call functions."""
    made = open_image(store, root(store), AMD).manifest
    config = store.put(config_of(1))
    made = made._replace(config=model.Descriptor(model.OCI_CONFIG, config, len(config_of(1))))
    below = made.layers[0]
    for _ in range(1500):
        data = model.encode_manifest(model.Manifest(made.config, (below,)))
        below = model.Descriptor(model.OCI_MANIFEST, store.put(data), len(data))
    index = model.encode_index(model.Index((export.named(below, NAME),)))
    (store.root / "index.json").write_bytes(index)
    (found,) = archive.read_folder(store.root, other)
    assert found.descriptor.digest == below.digest
