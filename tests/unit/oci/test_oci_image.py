from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from linuxkit.base.errors import Error
from linuxkit.oci import fsck, model
from linuxkit.oci.image import Layer, closure, offered, open_image, write_image, write_index
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.store import Store

if TYPE_CHECKING:
    from pathlib import Path

AMD = Platform("linux", "amd64")
ARM = Platform("linux", "arm64")
V8 = Platform("linux", "arm64", "v8")
V6 = Platform("linux", "arm", "v6")
V7 = Platform("linux", "arm", "v7")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, sync=False)


def an_image(store: Store, platform: Platform, **more: Any) -> Descriptor:
    data = f"a tar for {platform}".encode()
    layer = Descriptor(model.OCI_LAYER, store.put(data), len(data))
    return write_image(store, platform=platform, layers=[Layer(layer, layer.digest)], **more)


def put(store: Store, value: object, media_type: str) -> Descriptor:
    data = json.dumps(value).encode()
    return Descriptor(media_type, store.put(data), len(data))


def test_writes_what_it_opens(store: Store) -> None:
    descriptor = an_image(
        store,
        AMD,
        entrypoint=["/init"],
        cmd=["-x"],
        env=["A=1"],
        cwd="/w",
        user="1:2",
        labels={"b": "2", "a": "1"},
        annotations={"z": "1", "k": "v"},
        created_s=1_700_000_000,
    )
    assert descriptor.platform == AMD
    image = open_image(store, descriptor, AMD)
    assert image.descriptor == descriptor
    assert image.config[:-1] == (
        AMD, ("/init",), ("-x",), ("A=1",), "/w", "1:2", {"a": "1", "b": "2"},
    )  # fmt: skip
    assert image.config.diff_ids == (image.manifest.layers[0].digest,)
    assert dict(image.manifest.annotations) == {"k": "v", "z": "1"}
    assert image.manifest.layers[0].size == len("a tar for linux/amd64")


def test_the_same_image_has_the_same_digest(store: Store) -> None:
    first = an_image(store, AMD, labels={"a": "1", "b": "2"}, annotations={"a": "1", "b": "2"})
    again = an_image(store, AMD, labels={"b": "2", "a": "1"}, annotations={"b": "2", "a": "1"})
    assert first == again
    assert first.digest == (
        "sha256:bbfadc6bb3e83df2fdf198e0c163c86a1ca719450112de77a8aeea07bf76117d"
    )


def test_chooses_by_platform(store: Store) -> None:
    index = write_index(store, [an_image(store, p) for p in (AMD, V8, V6, V7)])
    for wanted, found in (
        (AMD, AMD),
        (ARM, V8),
        (V8, V8),
        (V7, V7),
        (Platform("linux", "arm"), V6),
    ):
        image = open_image(store, index, wanted)
        assert image.config.platform == found
        assert image.descriptor.platform == found
    with pytest.raises(Error) as caught:
        open_image(store, index, Platform("linux", "riscv64"))
    assert caught.value.code == "LK0306"
    assert caught.value.message == f"{index.digest} is not offered for linux/riscv64"
    assert caught.value.hint == (
        "it is offered for linux/amd64, linux/arm64/v8, linux/arm/v6, linux/arm/v7"
    )


def test_arm64_without_a_variant_is_v8(store: Store) -> None:
    bare = an_image(store, ARM)
    assert open_image(store, bare, V8).config.platform == ARM
    assert open_image(store, write_index(store, [bare]), V8).config.platform == ARM
    with pytest.raises(Error):
        open_image(store, bare, Platform("linux", "arm64", "v9"))


def test_bare_manifest_for_another_platform(store: Store) -> None:
    with pytest.raises(Error) as caught:
        open_image(store, an_image(store, V8), AMD)
    assert caught.value.code == "LK0306"
    assert caught.value.hint == "it is offered for linux/arm64/v8"


def test_entries_of_no_platform_are_no_images(store: Store) -> None:
    amd = an_image(store, AMD)
    attestation = amd._replace(platform=Platform("unknown", "unknown"))
    other = Descriptor("application/vnd.example+json", amd.digest, 1, platform=ARM)
    index = write_index(store, [attestation, amd._replace(platform=None), other, amd])
    assert open_image(store, index, AMD).descriptor == amd
    with pytest.raises(Error) as caught:
        open_image(store, index, ARM)
    assert caught.value.hint == "it is offered for linux/amd64"
    with pytest.raises(Error) as caught:
        open_image(store, write_index(store, [attestation]), AMD)
    assert caught.value.hint == "it is offered for no platform at all"


def test_hostile_platform_does_not_reach_the_terminal(store: Store) -> None:
    entry = an_image(store, AMD)._replace(platform=Platform("linux", "\x1b[31mred"))
    with pytest.raises(Error) as caught:
        open_image(store, write_index(store, [entry]), AMD)
    assert caught.value.hint.isprintable()


def test_index_depth(store: Store) -> None:
    one = write_index(store, [an_image(store, AMD)])
    two = write_index(store, [one])
    assert open_image(store, two, AMD).config.platform == AMD
    with pytest.raises(Error) as caught:
        open_image(store, write_index(store, [two]), AMD)
    assert caught.value.code == "LK0308"


def test_an_index_repeated_is_read_once(store: Store) -> None:
    one = write_index(store, [an_image(store, AMD)])
    many = write_index(store, [one] * 20_000)
    with pytest.raises(Error) as caught:
        open_image(store, many, ARM)
    assert caught.value.code == "LK0306"


def test_an_index_is_read_once_however_it_is_listed(store: Store) -> None:
    """Equal entries are easy to tell; those that differ by a note multiply the work."""
    inner = write_index(store, [an_image(store, AMD)] + [an_image(store, V6)] * 2000)
    many = [inner._replace(annotations=(("n", str(n)),)) for n in range(2000)]
    index = write_index(store, many)
    assert open_image(store, index, AMD).config.platform == AMD
    assert len(closure(store, index)) == 2 + 2 * 3
    assert offered(store, index) == (AMD, V6)
    assert list(fsck.missing(store, index)) == []


def test_indexes_have_a_limit(store: Store) -> None:
    images = [an_image(store, AMD)]
    inner = [write_index(store, images, annotations={"n": str(n)}) for n in range(64)]
    assert open_image(store, write_index(store, inner[:63]), AMD)
    with pytest.raises(Error) as caught:
        open_image(store, write_index(store, inner), AMD)
    assert caught.value.code == "LK0308"


def test_docker_documents(store: Store) -> None:
    config = put(
        store,
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}},
        "application/vnd.docker.container.image.v1+json",
    )
    manifest = put(
        store,
        {"schemaVersion": 2, "config": model.descriptor_value(config), "layers": []},
        "application/vnd.docker.distribution.manifest.v2+json",
    )
    entry = model.descriptor_value(manifest._replace(platform=AMD))
    index = put(
        store,
        {"schemaVersion": 2, "manifests": [entry]},
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
    assert open_image(store, manifest, AMD) == open_image(store, index, AMD)._replace(
        descriptor=manifest
    )


def test_layers_and_diff_ids_must_match(store: Store) -> None:
    image = open_image(store, an_image(store, AMD), AMD)
    data = model.encode_manifest(image.manifest._replace(layers=()))
    broken = Descriptor(model.OCI_MANIFEST, store.put(data), len(data))
    with pytest.raises(Error, match="0 layers in the manifest, 1 in the configuration") as caught:
        open_image(store, broken, AMD)
    assert caught.value.code == "LK0307"


@pytest.mark.parametrize("part", ["index", "manifest", "config"])
def test_damage_anywhere_is_found(store: Store, part: str) -> None:
    manifest = an_image(store, AMD)
    index = write_index(store, [manifest])
    config = open_image(store, index, AMD).manifest.config
    damaged = {"index": index, "manifest": manifest, "config": config}[part]
    path = store.path(damaged.digest)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"linux", b"linuy") if part != "manifest" else whole[::-1])
    with pytest.raises(Error) as caught:
        open_image(store, index, AMD)
    assert caught.value.code == "LK0305"
    path.unlink()
    with pytest.raises(Error) as caught:
        open_image(store, index, AMD)
    assert caught.value.code == "LK0303"
    assert damaged.digest in caught.value.message


def test_size_in_the_descriptor_counts(store: Store) -> None:
    manifest = an_image(store, AMD)
    with pytest.raises(Error) as caught:
        open_image(store, manifest._replace(size=manifest.size + 1), AMD)
    assert caught.value.code == "LK0304"


def test_an_artifact_is_no_image(store: Store) -> None:
    empty = put(store, {}, "application/vnd.oci.empty.v1+json")
    data = model.encode_manifest(model.Manifest(empty, ()))
    manifest = Descriptor(model.OCI_MANIFEST, store.put(data), len(data))
    with pytest.raises(Error) as caught:
        open_image(store, manifest, AMD)
    assert caught.value.code == "LK0309"
