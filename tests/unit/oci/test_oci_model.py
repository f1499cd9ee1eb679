from __future__ import annotations

import json
from typing import Any

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import model
from linuxkit.oci.model import Descriptor, ImageConfig, Index, Manifest, Platform

A = digests.of_bytes(b"a")
B = digests.of_bytes(b"b")
ARM = Platform("linux", "arm64", "v8")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def about(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type, digests.of_bytes(data), len(data))


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def a_manifest(**changes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": model.OCI_MANIFEST,
        "config": {"mediaType": model.OCI_CONFIG, "digest": A, "size": 2},
        "layers": [{"mediaType": model.OCI_LAYER + "+gzip", "digest": B, "size": 3}],
    } | changes


def an_index(**changes: Any) -> dict[str, Any]:
    entry = {"mediaType": model.OCI_MANIFEST, "digest": A, "size": 2}
    entry["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    return {
        "schemaVersion": 2,
        "mediaType": model.OCI_INDEX,
        "manifests": [entry],
    } | changes


def a_config(**changes: Any) -> dict[str, Any]:
    return {
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8",
        "config": {
            "Entrypoint": ["/init"],
            "Cmd": None,
            "Env": ["PATH=/bin"],
            "WorkingDir": "/w",
            "User": "4294967296:x",
            "Labels": {"a": "1"},
            "Volumes": {"/../../etc": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": [B]},
        "history": [{"created_by": "x"}],
    } | changes


def layer(**changes: Any) -> list[dict[str, Any]]:
    return [{"mediaType": model.OCI_LAYER, "digest": B, "size": 3} | changes]


def test_manifest() -> None:
    data = dump(a_manifest(annotations={"k": "v"}))
    assert model.decode_manifest(data, about(data, model.OCI_MANIFEST)) == Manifest(
        Descriptor(model.OCI_CONFIG, A, 2),
        (Descriptor(model.OCI_LAYER + "+gzip", B, 3),),
        (("k", "v"),),
    )


def test_docker_documents_mean_the_same() -> None:
    config = {"mediaType": DOCKER_CONFIG, "digest": A, "size": 2}
    data = dump(
        a_manifest(mediaType=DOCKER_MANIFEST, config=config, layers=layer(mediaType=DOCKER_LAYER))
    )
    manifest = model.decode_manifest(data, about(data, DOCKER_MANIFEST))
    assert manifest.config.media_type == DOCKER_CONFIG
    assert manifest.layers[0].media_type in model.LAYERS
    data = dump(an_index(mediaType=DOCKER_LIST))
    assert model.decode_index(data, about(data, DOCKER_LIST)).manifests[0].platform == ARM
    data = dump(a_config())
    assert model.decode_config(data, about(data, DOCKER_CONFIG)).platform == ARM


def test_media_type_inside_may_be_missing() -> None:
    value = a_manifest()
    del value["mediaType"]
    data = dump(value)
    assert model.decode_manifest(data, about(data, model.OCI_MANIFEST)).layers


def test_index() -> None:
    data = dump(an_index())
    assert model.decode_index(data, about(data, model.OCI_INDEX)) == Index(
        (Descriptor(model.OCI_MANIFEST, A, 2, (), ARM),)
    )


def test_config() -> None:
    data = dump(a_config())
    assert model.decode_config(data, about(data, model.OCI_CONFIG)) == ImageConfig(
        ARM, ("/init",), (), ("PATH=/bin",), "/w", "4294967296:x", {"a": "1"}, (B,)
    )


def test_config_without_anything_to_run() -> None:
    value = a_config()
    del value["config"]
    data = dump(value)
    assert model.decode_config(data, about(data, model.OCI_CONFIG)) == ImageConfig(
        ARM, diff_ids=(B,)
    )


DEEP = b"[" * 100_000
HUGE = b"9" * 5000
REFUSED_MANIFESTS: dict[str, tuple[bytes, str, str]] = {
    "ambiguous": (dump(a_manifest(manifests=[])), "LK0307", "has both the members of"),
    "not json": (b"{", "LK0307", "is not proper JSON"),
    "not utf-8": (b'{"a":"\xff"}', "LK0307", "is not proper JSON"),
    "utf-16": (json.dumps(a_manifest()).encode("utf-16"), "LK0307", "is not proper JSON"),
    "byte order mark": (b"\xef\xbb\xbf{}", "LK0307", "is not proper JSON"),
    "deep": (DEEP, "LK0307", "nested too deeply"),
    "huge number": (b'{"schemaVersion":' + HUGE + b"}", "LK0307", "is not proper JSON"),
    "NaN": (b'{"schemaVersion":NaN}', "LK0307", "NaN is no number"),
    "twice": (b'{"layers":[],"layers":[]}', "LK0307", 'the member "layers" stands there twice'),
    "twice escaped": (b'{"layers":[],"l\\u0061yers":[]}', "LK0307", "stands there twice"),
    "other case": (dump(a_manifest(Manifests=[])), "LK0307", 'has "Manifests" where'),
    "a list": (b"[]", "LK0307", "is not an object"),
    "schema 1": (dump(a_manifest(schemaVersion=1)), "LK0307", "schemaVersion"),
    "other type inside": (
        dump(a_manifest(mediaType=model.OCI_INDEX)),
        "LK0307",
        "its descriptor differs",
    ),
    "no config": (dump(a_manifest(config=None)), "LK0307", ".config is not an object"),
    "no layers": (dump(a_manifest(layers=None)), "LK0307", ".layers is not a list"),
    "layers a map": (dump(a_manifest(layers={})), "LK0307", ".layers is not a list"),
    "layer a text": (dump(a_manifest(layers=["x"])), "LK0307", ".layers[0] is not an object"),
    "size negative": (dump(a_manifest(layers=layer(size=-1))), "LK0307", "the size -1"),
    "size 2^62": (dump(a_manifest(layers=layer(size=2**62))), "LK0307", "the size 46116860"),
    "size 10^4000": (dump(a_manifest(layers=layer(size=10**4000))), "LK0307", "the size 1000000"),
    "size a text": (dump(a_manifest(layers=layer(size="3"))), "LK0307", "has no size"),
    "size a float": (dump(a_manifest(layers=layer(size=3.0))), "LK0307", "has no size"),
    "size true": (dump(a_manifest(layers=layer(size=True))), "LK0307", "has no size"),
    "no media type": (dump(a_manifest(layers=layer(mediaType=""))), "LK0307", "mediaType"),
    "long media type": (dump(a_manifest(layers=layer(mediaType="a" * 256))), "LK0307", "mediaType"),
    "digest a path": (
        dump(a_manifest(layers=layer(digest="sha256:../../x"))),
        "LK0301",
        '.layers[0].digest: "sha256:../../x" is not a sha256 digest',
    ),
    "digest too short": (dump(a_manifest(layers=layer(digest=A[:-1]))), "LK0301", "not a sha256"),
    "digest upper case": (
        dump(a_manifest(layers=layer(digest="sha256:" + "A" * 64))),
        "LK0301",
        "not a sha256",
    ),
    "digest sha512": (
        dump(a_manifest(layers=layer(digest="sha512:" + "a" * 128))),
        "LK0301",
        "not a sha256",
    ),
    "digest then newline": (dump(a_manifest(layers=layer(digest=A + "\n"))), "LK0301", "not a sha"),
    "digest missing": (
        dump(a_manifest(layers=layer(digest=None))),
        "LK0307",
        ".layers[0].digest is missing",
    ),
    "annotation a number": (dump(a_manifest(annotations={"a": 1})), "LK0307", ".annotations.a is"),
    "lone surrogate": (b'{"mediaType":"\\ud800","schemaVersion":2}', "LK0307", "half a character"),
    "NUL": (dump(a_manifest(annotations={"a": "\0"})), "LK0307", "NUL"),
    "platform a text": (dump(a_manifest(layers=layer(platform="x"))), "LK0307", ".platform is not"),
    "platform half": (
        dump(a_manifest(layers=layer(platform={"os": "linux"}))),
        "LK0307",
        ".platform.architecture is missing",
    ),
}


@pytest.mark.parametrize(
    ("data", "code", "says"), REFUSED_MANIFESTS.values(), ids=list(REFUSED_MANIFESTS)
)
def test_refuses_manifest(data: bytes, code: str, says: str) -> None:
    descriptor = about(data, model.OCI_MANIFEST)
    with pytest.raises(Error) as caught:
        model.decode_manifest(data, descriptor)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.message.startswith(descriptor.digest)
    assert caught.value.message.isprintable()


def test_layer_count_limit() -> None:
    for count in (512, 513):
        data = dump(a_manifest(layers=layer() * count))
        descriptor = about(data, model.OCI_MANIFEST)
        if count == 512:
            assert len(model.decode_manifest(data, descriptor).layers) == count
            continue
        with pytest.raises(Error, match="513 layers") as caught:
            model.decode_manifest(data, descriptor)
        assert caught.value.code == "LK0308"


@pytest.mark.parametrize(
    ("decode", "media_type", "value", "limit"),
    [
        (model.decode_manifest, model.OCI_MANIFEST, a_manifest(), 4 << 20),
        (model.decode_index, model.OCI_INDEX, an_index(), 4 << 20),
        (model.decode_config, model.OCI_CONFIG, a_config(), 8 << 20),
    ],
)
def test_size_limits(decode: Any, media_type: str, value: object, limit: int) -> None:
    data = dump(value).ljust(limit)
    assert decode(data, about(data, media_type))
    data += b" "
    with pytest.raises(Error) as caught:
        decode(data, about(data, media_type))
    assert caught.value.code == "LK0308"


def test_size_of_a_descriptor_at_its_limit() -> None:
    data = dump(a_manifest(layers=layer(size=1 << 40)))
    assert model.decode_manifest(data, about(data, model.OCI_MANIFEST)).layers[0].size == 1 << 40
    data = dump(a_manifest(layers=layer(size=(1 << 40) + 1)))
    with pytest.raises(Error):
        model.decode_manifest(data, about(data, model.OCI_MANIFEST))


@pytest.mark.parametrize("extra", [{"layers": []}, {"config": {}}, {"Layers": []}])
def test_index_with_the_members_of_a_manifest(extra: dict[str, Any]) -> None:
    data = dump(an_index(**extra))
    with pytest.raises(Error) as caught:
        model.decode_index(data, about(data, model.OCI_INDEX))
    assert caught.value.code == "LK0307"


REFUSED_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "no os": (a_config(os=None), ".os is missing"),
    "no rootfs": (a_config(rootfs=None), ".rootfs is not an object"),
    "rootfs type": (a_config(rootfs={"type": "tree"}), "another type"),
    "env a text": (a_config(config={"Env": "A=1"}), ".config.Env is not a list"),
    "env of numbers": (a_config(config={"Env": [1]}), ".config.Env[0] is not a string"),
    "entrypoint with NUL": (a_config(config={"Entrypoint": ["a\0b"]}), "Entrypoint[0] holds a NUL"),
    "user a number": (a_config(config={"User": 0}), ".config.User is not a string"),
    "labels a list": (a_config(config={"Labels": []}), ".config.Labels is not an object"),
    "entrypoint in lower case": (a_config(config={"entrypoint": []}), 'has "entrypoint" where'),
}


@pytest.mark.parametrize(("value", "says"), REFUSED_CONFIGS.values(), ids=list(REFUSED_CONFIGS))
def test_refuses_config(value: dict[str, Any], says: str) -> None:
    data = dump(value)
    with pytest.raises(Error) as caught:
        model.decode_config(data, about(data, model.OCI_CONFIG))
    assert caught.value.code == "LK0307"
    assert says in caught.value.message


def test_bad_diff_id() -> None:
    data = dump(a_config(rootfs={"type": "layers", "diff_ids": ["sha256:x"]}))
    with pytest.raises(Error, match=r"rootfs\.diff_ids\[0\]") as caught:
        model.decode_config(data, about(data, model.OCI_CONFIG))
    assert caught.value.code == "LK0301"


def test_something_else_than_an_image() -> None:
    helm = "application/vnd.cncf.helm.config.v1+json"
    with pytest.raises(Error, match="helm") as caught:
        model.decode_config(b"{}", about(b"{}", helm))
    assert caught.value.code == "LK0309"
    assert caught.value.hint


def test_encodes_what_it_decodes() -> None:
    config = ImageConfig(ARM, ("/i",), ("c",), ("A=1",), "/w", "1:2", {"b": "2", "a": "ä"}, (A, B))
    data = model.encode_config(config, created_s=1_700_000_000)
    assert model.decode_config(data, about(data, model.OCI_CONFIG)) == config
    assert b'"created":"2023-11-14T22:13:20Z"' in data
    manifest = Manifest(about(data, model.OCI_CONFIG), (), (("k", "v"),))
    data = model.encode_manifest(manifest)
    assert model.decode_manifest(data, about(data, model.OCI_MANIFEST)) == manifest
    index = Index((about(data, model.OCI_MANIFEST)._replace(platform=ARM),), (("k", "v"),))
    data = model.encode_index(index)
    assert model.decode_index(data, about(data, model.OCI_INDEX)) == index


def test_canonical_bytes() -> None:
    config = ImageConfig(Platform("linux", "amd64"), cmd=("/x",), diff_ids=(A,))
    assert model.encode_config(config) == (
        b'{"architecture":"amd64","config":{"Cmd":["/x"]},"created":"1970-01-01T00:00:00Z",'
        b'"os":"linux","rootfs":{"diff_ids":["' + A.encode() + b'"],"type":"layers"}}'
    )


def test_platform_as_text() -> None:
    assert str(ARM) == "linux/arm64/v8"
    assert str(Platform("linux", "amd64")) == "linux/amd64"


def test_many_members_twice_take_linear_time() -> None:
    members = ",".join(f'"{n}":1' for n in range(200_000))
    data = b"{" + members.encode() + b',"199999":2}'
    with pytest.raises(Error, match="199999"):
        model.decode_manifest(data, about(data, model.OCI_MANIFEST))
