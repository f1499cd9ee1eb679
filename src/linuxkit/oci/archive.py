"""Images that come as archives: OCI layouts and what ``docker save`` writes, into the store.

Reading tar is left to :mod:`linuxkit.tree.tar`; which blobs make up an image is
:mod:`linuxkit.oci.image`'s knowledge.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable
from linuxkit.base.files import os_error
from linuxkit.oci import image, model, ref
from linuxkit.oci.export import BLOBS, CONTAINERD_NAME
from linuxkit.oci.model import Descriptor, Manifest
from linuxkit.oci.names import REF_NAME
from linuxkit.tree import compress, tar
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from linuxkit.base.digest import Digest
    from linuxkit.oci.store import Store
    from linuxkit.tree.compress import Source
    from linuxkit.tree.entry import Entry

_COUNT_LIMIT = 1000  # images in one archive
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Imported(NamedTuple):
    """An image that an archive has brought; ``label`` is what it is called there."""

    name: str
    descriptor: Descriptor
    label: str = ""


@contextlib.contextmanager
def naming(file: str) -> Iterator[None]:
    """Let what is wrong with an archive tell which file that is; "-" is standard input."""
    try:
        yield
    except Error as error:
        for each in error.all():
            shown = "standard input" if file == "-" else printable(file)
            each.message = f"{shown}: {each.message}"
        raise


def read(source: Source, store: Store, name: str = "") -> tuple[Imported, ...]:
    """Import the images of an OCI layout or of ``docker save``, compressed or not, and name them.

    ``name`` is given to the archive's only image; without it they keep the names that stand there.
    Raises LK0327 (not such an archive, or it has no usable name), LK0302, LK0303 (a blob is not in
    it), LK0305 (a blob has another digest than its name), LK030x and LK06xx.
    """
    return _name_all(bring(source, store), store, name)


def read_folder(folder: Path, store: Store, name: str = "") -> tuple[Imported, ...]:
    """As :func:`read`, from an OCI layout in a folder.  Raises LK0102 too."""
    return _name_all(bring_folder(folder, store), store, name)


def bring(source: Source, store: Store) -> tuple[Imported, ...]:
    """Bring the images of an archive into the store, without names.  Raises as :func:`read`."""
    with _unpacked(source, store) as files:
        if "index.json" in files:
            found = list(_layout_images(_document(files, "index.json")))
        elif "manifest.json" in files:
            found = list(_saved_images(files, store))
        else:
            raise _not_an_archive("it has neither an index.json nor a manifest.json")
    return _all_whole(found, store)


def bring_folder(folder: Path, store: Store) -> tuple[Imported, ...]:
    """Bring the images of an OCI layout in a folder, without names.  Raises as :func:`read`."""
    found = listed(folder)
    for each in found:
        _bring_parts(folder, each.descriptor, store)
    return _all_whole(found, store)


def bring_artifact(folder: Path, store: Store) -> Descriptor | None:
    """Bring the only entry of a layout, which need be no image; None when there are others.

    Raises LK0303 when a part of it is missing, and as :func:`read_folder`.
    """
    found = listed(folder)
    if len(found) != 1:
        return None
    root = found[0].descriptor
    _bring_parts(folder, root, store)
    for blob in image.closure(store, root):
        store.open(blob.digest, blob.size).close()
    return root


def listed(folder: Path) -> tuple[Imported, ...]:
    """What an OCI layout in a folder lists.  Raises LK0327, LK030x, LK0102."""
    try:
        with (folder / "index.json").open("rb") as file:
            data = file.read(model.MANIFEST_LIMIT + 1)
    except FileNotFoundError:
        raise _not_an_archive(f"{folder} has no index.json") from None
    except OSError as error:
        raise os_error(error, "read", folder / "index.json") from error
    if len(data) > model.MANIFEST_LIMIT:
        raise Error("LK0308", f"{folder / 'index.json'} has more than {model.MANIFEST_LIMIT} bytes")
    return tuple(_layout_images(_parsed(data, "index.json")))


def _bring_parts(folder: Path, root: Descriptor, store: Store) -> None:
    """Copy a blob and what it leads to, as far as it is there; each blob once."""
    todo = [(root, 1)]
    seen: set[tuple[Digest, str]] = set()
    while todo:
        blob, depth = todo.pop()
        if (blob.digest, blob.media_type) not in seen:
            seen.add((blob.digest, blob.media_type))
            if _copied(folder, blob, store):
                todo += [(part, depth + 1) for part in _listed_in(blob, store, depth)]


def _copied(folder: Path, blob: Descriptor, store: Store) -> bool:
    """Copy one blob into the store; False when the folder does not have it."""
    if store.has(blob.digest, blob.size):
        return True
    path = folder / BLOBS / digests.hex_of(blob.digest)
    try:
        with path.open("rb") as file, store.writer(blob.digest, blob.size) as out:
            while chunk := file.read(1 << 20):
                out.write(chunk)
    except FileNotFoundError:
        return False  # of a platform that was left out, or the whole image is refused later
    except OSError as error:
        raise os_error(error, "read", path) from error
    return True


def _listed_in(blob: Descriptor, store: Store, depth: int) -> Sequence[Descriptor]:
    """What an index or manifest at this depth below an index lists; nothing of other blobs."""
    if blob.media_type in model.INDEXES and depth <= model.INDEX_DEPTH_LIMIT:
        return model.decode_index(store.read(blob.digest, model.MANIFEST_LIMIT), blob).manifests
    if blob.media_type in model.MANIFESTS and depth <= model.INDEX_DEPTH_LIMIT + 1:
        manifest = model.decode_manifest(store.read(blob.digest, model.MANIFEST_LIMIT), blob)
        return (manifest.config, *manifest.layers)
    return ()


def choose(found: Sequence[Imported], label: str, where: str) -> Imported:
    """The image that is called ``label`` in ``where``, or the only one.  Raises LK0354."""
    fits = [each for each in found if label in (each.label, each.name, "")]
    if len({each.descriptor.digest for each in fits}) == 1:
        return fits[0]
    names = ", ".join(printable(each.label) for each in found[:10] if each.label)
    raise Error(
        "LK0354",
        f'{where} has no image called "{printable(label)}"'
        if label
        else f"{where} has {len(found)} images, and none is chosen",
        hint=f"it has: {names}" if names else "its images have no names: leave the name out",
    )


def _all_whole(found: Sequence[Imported], store: Store) -> tuple[Imported, ...]:
    if not found:
        raise _not_an_archive("it lists no image")
    for each in found:
        _require_whole(store, each.descriptor)
    return tuple(found)


def _name_all(found: Sequence[Imported], store: Store, name: str) -> tuple[Imported, ...]:
    named = _named(found, name)
    for each in named:
        store.set_name(each.name, each.descriptor)
    return named


def read_entries(source: Source, store: Store) -> tuple[Descriptor, ...]:
    """Store the blobs of an OCI layout; what its index lists, which nobody has looked at yet.

    Raises as :func:`read`.
    """
    with _unpacked(source, store) as files:
        return tuple(_entries(_document(files, "index.json")))


@contextlib.contextmanager
def _unpacked(source: Source, store: Store) -> Iterator[Mapping[str, Entry]]:
    """The files of an archive by path, its blobs stored."""
    with store.temporary() as scratch:
        compress.spool(source, scratch)
        scratch.flush()
        files = {e.path: e for e in tar.read(scratch.fileno()) if e.kind is Kind.FILE}
        for path, entry in files.items():
            if path.startswith(BLOBS):
                _store_blob(store, digests.parse("sha256:" + path.removeprefix(BLOBS)), entry)
        yield files


def _store_blob(store: Store, digest: Digest, entry: Entry) -> None:
    if not store.has(digest, entry.content.size):
        with store.writer(digest, entry.content.size) as out:
            for chunk in entry.content.chunks():
                out.write(chunk)


def _layout_images(doc: object) -> Iterator[Imported]:
    """What index.json lists (image-spec, image-layout.md), with "" for what has no full name."""
    for found in _entries(doc):
        notes = dict(found.annotations)
        text = notes.get(CONTAINERD_NAME) or notes.get(REF_NAME, "")
        # Many tools write only a tag there, which says too little.
        full = "/" in text or ":" in text
        label = notes.get(REF_NAME) or text
        yield Imported(text if full else "", found._replace(annotations=()), label)


def _entries(doc: object) -> Iterator[Descriptor]:
    if not isinstance(doc, dict) or not isinstance(doc.get("manifests"), list):
        raise _not_an_archive("its index.json is no index")
    _require_few(len(doc["manifests"]))
    for n, value in enumerate(doc["manifests"]):
        yield model.decode_descriptor(value, f"index.json: manifests[{n}]")


def _saved_images(files: Mapping[str, Entry], store: Store) -> Iterator[Imported]:
    """What manifest.json lists, as ``docker save`` has written it before its version 25."""
    doc = _document(files, "manifest.json")
    if not isinstance(doc, list):
        raise _not_an_archive("its manifest.json is no list")
    _require_few(len(doc))
    # Images share layers, and each is to be read once.
    stored = functools.cache(functools.partial(_saved_layer, files, store))
    for value in doc:
        item: dict[str, Any] = value if isinstance(value, dict) else {}
        config, layers, tags = (item.get(key) for key in ("Config", "Layers", "RepoTags"))
        if not isinstance(config, str) or not _is_texts(layers):
            raise _not_an_archive("its manifest.json lists something else than images")
        _require_few(len(layers), model.LAYER_COUNT_LIMIT, "layers in an image")
        data = b"".join(_file(files, config, model.CONFIG_LIMIT).content.chunks())
        manifest = Manifest(
            Descriptor(model.OCI_CONFIG, store.put(data), len(data)),
            tuple(stored(layer) for layer in layers),
        )
        parsed = model.decode_config(data, manifest.config)
        data = model.encode_manifest(manifest)
        found = Descriptor(
            model.OCI_MANIFEST, store.put(data), len(data), platform=parsed.platform
        )
        names = tags if isinstance(tags, list) and tags else [""]
        _require_few(len(names), what="names of an image")
        for tag in names:
            yield Imported(str(tag), found, str(tag))


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _require_few(count: int, most: int = _COUNT_LIMIT, what: str = "images") -> None:
    if count > most:
        raise Error("LK0308", f"the archive lists {count} {what}; {most} are allowed")


def _saved_layer(files: Mapping[str, Entry], store: Store, path: str) -> Descriptor:
    kind = ""
    with store.writer() as out:
        for n, chunk in enumerate(_file(files, path).content.chunks()):
            if n == 0:
                kind = "+gzip" if chunk.startswith(_GZIP) else ""
                kind = "+zstd" if chunk.startswith(_ZSTD) else kind
            out.write(chunk)
    return Descriptor(model.OCI_LAYER + kind, out.digest, out.size)


def _document(files: Mapping[str, Entry], name: str) -> object:
    return _parsed(b"".join(_file(files, name, model.MANIFEST_LIMIT).content.chunks()), name)


def _parsed(data: bytes, name: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise _not_an_archive(f"its {name} is not JSON") from None


def _file(files: Mapping[str, Entry], name: object, limit: int = model.BLOB_LIMIT) -> Entry:
    found = files.get(name) if isinstance(name, str) else None
    if found is None:
        raise _not_an_archive(f"it has no {printable(str(name))}")
    if found.content.size > limit:
        raise Error("LK0308", f"{printable(found.path)} has more than {limit} bytes")
    return found


def _named(found: Sequence[Imported], name: str) -> tuple[Imported, ...]:
    if name:
        if len({each.descriptor.digest for each in found}) > 1:
            raise Error("LK0327", f"the archive has {len(found)} images, but one name was given")
        return (found[0]._replace(name=str(ref.parse(name))),)
    if not all(each.name for each in found):
        raise Error(
            "LK0327",
            "the archive does not tell the full name of its image",
            hint="give it one: linuxkit cache import --name NAME FILE",
        )
    return tuple(each._replace(name=str(ref.parse(each.name))) for each in found)


def _require_whole(store: Store, root: Descriptor) -> None:
    """At least one platform must be there whole; an index may list more."""
    offered = image.offered(store, root)
    if not any(image.is_whole(store, root, platform) for platform in offered):
        raise Error(
            "LK0303", f"the archive does not have all parts of {root.digest}", hint="export it anew"
        )


def _not_an_archive(why: str) -> Error:
    return Error(
        "LK0327",
        f"this is not an archive of images: {why}",
        hint="it has to be an OCI layout in a tar, or what `docker save` writes",
    )
