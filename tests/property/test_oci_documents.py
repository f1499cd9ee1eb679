"""Whatever comes in, references and documents are either understood or refused by an Error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import model, names, ref
from linuxkit.oci.model import Descriptor, ImageConfig, Index, Manifest, Platform

if TYPE_CHECKING:
    from collections.abc import Callable

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
named = text.filter(bool)
sha = st.binary(max_size=8).map(digests.of_bytes)
pairs = st.dictionaries(text, text, max_size=3).map(lambda value: tuple(value.items()))
sorted_pairs = pairs.map(lambda value: tuple(sorted(value)))
platforms = st.builds(Platform, text, text, text)
descriptors = st.builds(
    Descriptor,
    named,
    sha,
    st.integers(0, model.BLOB_LIMIT),
    sorted_pairs,
    st.none() | platforms,
    text,
)
subjects = st.none() | st.builds(Descriptor, named, sha, st.integers(0, model.BLOB_LIMIT))
texts = st.lists(text, max_size=3).map(tuple)
manifests = st.builds(
    Manifest, descriptors, st.lists(descriptors, max_size=3).map(tuple), sorted_pairs, subjects, text
)
indexes = st.builds(
    Index, st.lists(descriptors, max_size=3).map(tuple), sorted_pairs, subjects, text
)
configs = st.builds(
    ImageConfig,
    platforms,
    texts,
    texts,
    texts,
    text,
    text,
    st.dictionaries(text, text, max_size=3),
    st.lists(sha, max_size=3).map(tuple),
)

KINDS: list[tuple[Callable[[bytes, Descriptor], object], str]] = [
    (model.decode_manifest, model.OCI_MANIFEST),
    (model.decode_index, model.OCI_INDEX),
    (model.decode_config, model.OCI_CONFIG),
]


def about(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type, digests.of_bytes(data), len(data))


@given(manifests)
def test_manifest_there_and_back(manifest: Manifest) -> None:
    data = model.encode_manifest(manifest)
    assert model.decode_manifest(data, about(data, model.OCI_MANIFEST)) == manifest
    assert model.encode_manifest(manifest) == data


@given(indexes)
def test_index_there_and_back(index: Index) -> None:
    data = model.encode_index(index)
    assert model.decode_index(data, about(data, model.OCI_INDEX)) == index


@given(configs)
def test_config_there_and_back(config: ImageConfig) -> None:
    data = model.encode_config(config)
    assert model.decode_config(data, about(data, model.OCI_CONFIG)) == config


def never_fails_otherwise(data: bytes) -> None:
    for decode, media_type in KINDS:
        try:
            decode(data, about(data, media_type))
        except Error as error:
            assert error.code in {"LK0301", "LK0307"}  # noqa: PT017
            assert error.message.isprintable()  # noqa: PT017


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    never_fails_otherwise(data)
    try:
        names.parse(data, "index.json")
    except Error as error:
        assert error.code == "LK0310"  # noqa: PT017


KEYS = [
    "schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "digest", "size",
    "platform", "os", "architecture", "variant", "rootfs", "type", "diff_ids", "Entrypoint", "Cmd",
    "Env", "WorkingDir", "User", "Labels", "org.opencontainers.image.ref.name", "Layers",
]  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | sha
    | st.sampled_from([*(media_type for _, media_type in KINDS), "layers", 2])
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)


@given(trees)
def test_any_json(value: object) -> None:
    never_fails_otherwise(json.dumps(value).encode())


@given(st.data())
def test_a_good_document_with_one_member_changed(data: st.DataObject) -> None:
    bytes_ = data.draw(
        manifests.map(model.encode_manifest)
        | indexes.map(model.encode_index)
        | configs.map(model.encode_config)
    )
    value: Any = json.loads(bytes_)
    place = value
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(trees)
    never_fails_otherwise(json.dumps(value).encode())


@given(trees, text, descriptors)
def test_any_index_json_can_be_written_again(value: object, name: str, made: Descriptor) -> None:
    """What was read is written back the same, but for the name that was set."""
    document = {"schemaVersion": 2, "vendor": value, "manifests": [{"annotations": value}]}
    data = json.dumps(document).encode()
    try:
        found = names.parse(data, "index.json")
    except Error:
        return
    assert json.loads(found.encode()) == document
    again = names.parse(found.with_name(name, made).encode(), "index.json")
    marked = (*made.annotations, (names.REF_NAME, name))
    assert again.find(name) == made._replace(annotations=marked)
    rest = json.loads(again.without(name).encode())
    assert rest in (document, {**document, "manifests": []})


@given(st.text(max_size=40) | st.text("abzA0._-:/@[] é", max_size=30))
def test_any_reference(written: str) -> None:
    try:
        parsed = ref.parse(written)
    except Error as error:
        assert error.code == "LK0302"  # noqa: PT017
        assert error.message.isprintable()  # noqa: PT017
        assert error.hint  # noqa: PT017
        return
    assert ref.parse(str(parsed)) == parsed
    assert "/" in parsed.name
    assert not {"", ".", ".."} & set(parsed.name.split("/"))


component = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*", fullmatch=True)
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)


@given(st.lists(component.filter(lambda c: len(c) < 40), min_size=3, max_size=4), tag, sha)
def test_every_reference_of_the_grammar(parts: list[str], tag_: str, digest: str) -> None:
    name = "/".join(["host.example:5000", *parts])
    assert ref.parse(f"{name}:{tag_}@{digest}") == ref.Ref(name, tag_, digest)
