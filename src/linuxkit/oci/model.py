"""OCI image documents (image-spec v1.1): descriptors, manifests, indexes and image configurations.

They are decoded strictly, for they come from strangers, and encoded to the same bytes every time;
choosing among them is left to :mod:`linuxkit.oci.image`, keeping them to the store.
"""

from __future__ import annotations

import json
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from linuxkit.base.digest import Digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

MANIFESTS = frozenset({OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"})
INDEXES = frozenset({OCI_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"})
CONFIGS = frozenset({OCI_CONFIG, "application/vnd.docker.container.image.v1+json"})
LAYERS = frozenset(
    {
        *(OCI_LAYER + how for how in ("", "+gzip", "+zstd")),
        *(
            "application/vnd.oci.image.layer.nondistributable.v1.tar" + how
            for how in ("", "+gzip", "+zstd")
        ),
        *("application/vnd.docker.image.rootfs.diff.tar" + how for how in ("", ".gzip", ".zstd")),
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)

MANIFEST_LIMIT = 4 << 20  # bytes of a manifest or an index
CONFIG_LIMIT = 8 << 20  # bytes of an image configuration
LAYER_COUNT_LIMIT = 512
INDEX_DEPTH_LIMIT = 2  # an index may point at indexes, these only at manifests
INDEX_COUNT_LIMIT = 64  # indexes in one image
BLOB_LIMIT = 1 << 40  # bytes a descriptor may announce
_TYPE_LIMIT = 255  # characters of a media type (RFC 6838 allows 127 on each side)


class Platform(NamedTuple):
    """What an image runs on, in the names of the Go language."""

    os: str
    arch: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


class Descriptor(NamedTuple):
    """A typed pointer to a blob; ``size`` in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None
    artifact_type: str = ""  # of a manifest that is something else than an image


class Manifest(NamedTuple):
    """One image for one platform, layers from bottom to top; or an artifact about ``subject``."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    subject: Descriptor | None = None
    artifact_type: str = ""


class Index(NamedTuple):
    """One image for several platforms; or several artifacts about ``subject``."""

    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    subject: Descriptor | None = None
    artifact_type: str = ""


class ImageConfig(NamedTuple):
    """What we use of an image configuration; ``diff_ids`` are digests of uncompressed layers.

    ``user`` is the text that stands there: who turns it into numbers checks it.
    """

    platform: Platform
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    labels: Mapping[str, str] = MappingProxyType({})
    diff_ids: tuple[Digest, ...] = ()


def decode_manifest(data: bytes, descriptor: Descriptor) -> Manifest:
    """Read the bytes of the manifest ``descriptor`` points at.

    Raises LK0301, LK0307 (not well formed, or readable in two ways), LK0308 (beyond a limit),
    LK0309 (something else than a manifest).
    """
    doc = _document(data, descriptor, MANIFESTS, MANIFEST_LIMIT, _DOCUMENT_FIELDS)
    if "manifests" in doc.value:
        doc.refuse("has both the members of a manifest and those of an index")
    layers = tuple(_descriptor(item) for item in doc.objects("layers", _DESCRIPTOR_FIELDS))
    if len(layers) > LAYER_COUNT_LIMIT:
        raise Error("LK0308", f"{doc.at}: {len(layers)} layers; {LAYER_COUNT_LIMIT} are allowed")
    config = _descriptor(doc.child("config", _DESCRIPTOR_FIELDS))
    return Manifest(config, layers, doc.pairs("annotations"), _subject(doc), _artifact_type(doc))


def decode_index(data: bytes, descriptor: Descriptor) -> Index:
    """Read the bytes of the index ``descriptor`` points at.  Raises as :func:`decode_manifest`."""
    doc = _document(data, descriptor, INDEXES, MANIFEST_LIMIT, _DOCUMENT_FIELDS)
    if "layers" in doc.value or "config" in doc.value:
        doc.refuse("has both the members of an index and those of a manifest")
    found = tuple(_descriptor(item) for item in doc.objects("manifests", _DESCRIPTOR_FIELDS))
    return Index(found, doc.pairs("annotations"), _subject(doc), _artifact_type(doc))


def decode_config(data: bytes, descriptor: Descriptor) -> ImageConfig:
    """Read an image configuration (image-spec, config.md).  Raises as :func:`decode_manifest`."""
    doc = _document(data, descriptor, CONFIGS, CONFIG_LIMIT, _CONFIG_FIELDS)
    run = doc.child("config", _RUN_FIELDS, optional=True)
    root = doc.child("rootfs", _ROOT_FIELDS)
    if root.text("type") != "layers":
        root.refuse('has another type than "layers"')
    return ImageConfig(
        platform=_platform(doc),
        entrypoint=run.texts("Entrypoint"),
        cmd=run.texts("Cmd"),
        env=run.texts("Env"),
        cwd=run.text("WorkingDir", ""),
        user=run.text("User", ""),
        labels=MappingProxyType(dict(run.pairs("Labels"))),
        diff_ids=tuple(
            _digest(text, f"{root.at}.diff_ids[{n}]")
            for n, text in enumerate(root.texts("diff_ids"))
        ),
    )


def media_type(data: bytes, digest: Digest) -> str:
    """What kind of document a manifest or index says it is; else its members tell.

    Raises LK0307, LK0308.
    """
    if len(data) > MANIFEST_LIMIT:
        raise Error("LK0308", f"{digest}: {len(data)} bytes; {MANIFEST_LIMIT} are allowed")
    doc = _Object(read_json(data, digest), digest, _DOCUMENT_FIELDS)
    return doc.text("mediaType", OCI_INDEX if "manifests" in doc.value else OCI_MANIFEST)


def decode_descriptor(value: object, at: str) -> Descriptor:
    """Read one descriptor from decoded JSON; ``at`` names the place in messages."""
    return _descriptor(_Object(value, at, _DESCRIPTOR_FIELDS))


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes, as an OCI manifest."""
    value: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor_value(manifest.config),
        "layers": [descriptor_value(layer) for layer in manifest.layers],
        **_about_value(manifest),
    }
    return digests.canonical_json(value)


def encode_index(index: Index) -> bytes:
    """The canonical bytes, as an OCI index."""
    value: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor_value(entry) for entry in index.manifests],
        **_about_value(index),
    }
    return digests.canonical_json(value)


def encode_config(config: ImageConfig, *, created_s: int = 0) -> bytes:
    """The canonical bytes; ``created_s``, seconds since 1970, is the only time that is told."""
    members: dict[str, object] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": list(config.env),
        "WorkingDir": config.cwd,
        "User": config.user,
        "Labels": dict(config.labels),
    }
    value: dict[str, object] = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created_s)),
        **_platform_value(config.platform),
        "config": {key: member for key, member in members.items() if member},
        "rootfs": {"type": "layers", "diff_ids": list(config.diff_ids)},
    }
    return digests.canonical_json(value)


def descriptor_value(descriptor: Descriptor) -> dict[str, object]:
    """The descriptor as JSON has it."""
    value: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.platform:
        value["platform"] = _platform_value(descriptor.platform)
    if descriptor.annotations:
        value["annotations"] = dict(descriptor.annotations)
    if descriptor.artifact_type:
        value["artifactType"] = descriptor.artifact_type
    return value


def _about_value(document: Manifest | Index) -> dict[str, object]:
    """The members that manifests and indexes have alike."""
    value: dict[str, object] = {}
    if document.annotations:
        value["annotations"] = dict(document.annotations)
    if document.subject:
        value["subject"] = descriptor_value(document.subject)
    if document.artifact_type:
        value["artifactType"] = document.artifact_type
    return value


def _platform_value(platform: Platform) -> dict[str, str]:
    value = {"architecture": platform.arch, "os": platform.os}
    return {**value, "variant": platform.variant} if platform.variant else value


def _fields(*names: str) -> Mapping[str, str]:
    return {name.lower(): name for name in names}


# Go's decoder, which most other tools use, also takes a member whose name differs in case.  Such
# a name would mean one thing to them and nothing to us, so it is refused.
_DOCUMENT_FIELDS = _fields(
    "schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject",
    "artifactType",
)  # fmt: skip
_DESCRIPTOR_FIELDS = _fields(
    "mediaType", "digest", "size", "annotations", "platform", "artifactType"
)
_PLATFORM_FIELDS = _fields("os", "architecture", "variant")
_CONFIG_FIELDS = _fields(*_PLATFORM_FIELDS, "config", "rootfs")
_RUN_FIELDS = _fields("Entrypoint", "Cmd", "Env", "WorkingDir", "User", "Labels")
_ROOT_FIELDS = _fields("type", "diff_ids")


class _Object:
    """An untrusted JSON object and its place in the document."""

    __slots__ = ("at", "value")

    def __init__(self, value: object, at: str, fields: Mapping[str, str]) -> None:
        if not isinstance(value, dict):
            _refuse(at, "is not an object")
        self.at = at
        self.value: dict[str, Any] = value
        for key in value:
            if fields.get(key.lower(), key) != key:
                self.refuse(f'has "{printable(key)}" where "{fields[key.lower()]}" is meant')

    def refuse(self, why: str) -> NoReturn:
        """Raise LK0307."""
        _refuse(self.at, why)

    def text(self, key: str, default: str | None = None) -> str:
        """A string; ``default`` when it is missing or null, which else is an error."""
        value = self.value.get(key)
        if value is None and default is not None:
            return default
        return _text(value, f"{self.at}.{key}")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty when it is missing or null."""
        value = self.value.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            _refuse(f"{self.at}.{key}", "is not a list")
        return tuple(_text(item, f"{self.at}.{key}[{n}]") for n, item in enumerate(value))

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """A map of strings to strings, in its order; empty when it is missing or null."""
        value = self.value.get(key)
        if value is None:
            return ()
        at = f"{self.at}.{key}"
        if not isinstance(value, dict):
            _refuse(at, "is not an object")
        return tuple((_text(k, at), _text(v, f"{at}.{printable(k)}")) for k, v in value.items())

    def child(self, key: str, fields: Mapping[str, str], *, optional: bool = False) -> _Object:
        """An object inside; an empty one when an ``optional`` one is missing or null."""
        value = self.value.get(key)
        return _Object({} if optional and value is None else value, f"{self.at}.{key}", fields)

    def objects(self, key: str, fields: Mapping[str, str]) -> Iterator[_Object]:
        """A list of objects, which must be there."""
        value = self.value.get(key)
        if not isinstance(value, list):
            _refuse(f"{self.at}.{key}", "is not a list")
        return (_Object(item, f"{self.at}.{key}[{n}]", fields) for n, item in enumerate(value))


def _document(
    data: bytes,
    descriptor: Descriptor,
    types: frozenset[str],
    limit: int,
    fields: Mapping[str, str],
) -> _Object:
    about = str(descriptor.digest)
    if descriptor.media_type not in types:
        raise Error(
            "LK0309",
            f'{about} is "{printable(descriptor.media_type)}", which is no part of an image',
            hint="it may be an attestation, a chart or another artifact: name a container image",
        )
    if len(data) > limit:
        raise Error("LK0308", f"{about}: {len(data)} bytes; {limit} are allowed")
    doc = _Object(read_json(data, about), about, fields)
    if types is not CONFIGS:
        if doc.value.get("schemaVersion") != 2:  # noqa: PLR2004 - the only version in use
            doc.refuse("has another schemaVersion than 2")
        if doc.text("mediaType", descriptor.media_type) != descriptor.media_type:
            doc.refuse(f'says it is "{printable(doc.text("mediaType"))}", its descriptor differs')
    return doc


def read_json(data: bytes, about: str) -> object:
    """Decode JSON that means the same to every reader: no member twice.  Raises LK0307."""
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_unique_members, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        _refuse(about, f"is not proper JSON: {printable(reason)}")


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f'the member "{name}" stands there twice')
            seen.add(name)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _descriptor(item: _Object) -> Descriptor:
    media_type = item.text("mediaType")
    if not media_type or len(media_type) > _TYPE_LIMIT:
        item.refuse("has no proper mediaType")
    size = item.value.get("size")
    if not isinstance(size, int) or isinstance(size, bool):
        item.refuse("has no size")
    if not 0 <= size <= BLOB_LIMIT:
        item.refuse(f"has the size {printable(str(size), 24)}; 0 to {BLOB_LIMIT} are allowed")
    platform = None
    if item.value.get("platform") is not None:
        platform = _platform(item.child("platform", _PLATFORM_FIELDS))
    digest = _digest(item.text("digest"), f"{item.at}.digest")
    annotations = item.pairs("annotations")
    return Descriptor(media_type, digest, size, annotations, platform, _artifact_type(item))


def _subject(doc: _Object) -> Descriptor | None:
    if doc.value.get("subject") is None:
        return None
    return _descriptor(doc.child("subject", _DESCRIPTOR_FIELDS))


def _artifact_type(item: _Object) -> str:
    text = item.text("artifactType", "")
    if len(text) > _TYPE_LIMIT:
        item.refuse("has no proper artifactType")
    return text


def _platform(item: _Object) -> Platform:
    return Platform(item.text("os"), item.text("architecture"), item.text("variant", ""))


def _digest(text: str, at: str) -> Digest:
    try:
        return digests.parse(text)
    except Error as error:
        raise Error(error.code, f"{at}: {error.message}", hint=error.hint) from None


def _text(value: object, at: str) -> str:
    if value is None:
        _refuse(at, "is missing")
    if not isinstance(value, str):
        _refuse(at, "is not a string")
    if "\0" in value:
        _refuse(at, "holds a NUL character")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        _refuse(at, "holds half a character (a lone surrogate)")
    return value


def _refuse(at: str, why: str) -> NoReturn:
    raise Error("LK0307", f"{at} {why}")
