"""The fully resolved build as a pure value: what is in the system, and from which bytes.

A plan has a JSON form; the digest of that form is the build's identity.  Each segment has a key
of its own, computed from everything its bytes depend on, under which the store keeps the result.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests

if TYPE_CHECKING:
    from linuxkit.base.digest import Digest
    from linuxkit.build.sandbox.grants import Privilege
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Blob

EPOCH = 1492533000
"""The time of everything we make ourselves, 2017-04-18T16:30:00Z, as upstream has it."""

REWRITER = 3
"""Part of every segment key: raise it when assembly makes other bytes of the same inputs."""


class Origin(NamedTuple):
    """Provenance of an entry: the PAX records LINUXKIT.source and LINUXKIT.location."""

    source: str
    location: str


class Layers(NamedTuple):
    """The layers of one image for one platform, bottom first, with their uncompressed digests."""

    layers: tuple[Descriptor, ...]
    diff_ids: tuple[Digest, ...]

    def to_json(self) -> object:
        """What identifies the layers' content."""
        return [layer.digest for layer in self.layers]


class Kernel(NamedTuple):
    """The kernel image, and which of its files are what."""

    origin: Origin
    image: Layers
    cmdline: str
    binary: str
    tar: str
    ucode: str
    decompress: bool = False

    @property
    def key(self) -> Digest:
        """The identity of what is taken out of the image; the command line is no part of it."""
        return digests.of_value(
            ["kernel", REWRITER, self._origin(), self.image.to_json(), self.binary, self.tar,
             self.ucode, self.decompress]
        )  # fmt: skip

    def _origin(self) -> object:
        return [self.origin.source, self.origin.location]

    def to_json(self) -> object:
        """The JSON form."""
        return {
            "origin": self._origin(),
            "layers": self.image.to_json(),
            "cmdline": self.cmdline,
            "binary": self.binary,
            "tar": self.tar,
            "ucode": self.ucode,
            "decompress": self.decompress,
        }


class Target(NamedTuple):
    """Where something is mounted in a container; ``kind`` is "file" or "dir"."""

    path: str
    kind: str


class ImageSegment(NamedTuple):
    """An image's flattened tree, rewritten and placed under ``prefix`` ("" is the root)."""

    name: str
    origin: Origin
    image: Layers
    prefix: str
    resolv_link: bool  # /etc/resolv.conf becomes the link into /run, as init and volumes need
    first_id: int = 0  # added to every owner: the files of a container with ids of its own
    targets: tuple[Target, ...] = ()  # made where the image has nothing there

    @property
    def key(self) -> Digest:
        """The identity of the segment's bytes."""
        return digests.of_value(["image", REWRITER, self.to_json()])

    def to_json(self) -> object:
        """The JSON form."""
        row: dict[str, object] = {
            "origin": [self.origin.source, self.origin.location],
            "layers": self.image.to_json(),
            "prefix": self.prefix,
            "resolvLink": self.resolv_link,
        }
        if self.first_id:
            row["firstId"] = self.first_id
        if self.targets:
            row["targets"] = [list(target) for target in self.targets]
        return row


class Parents(NamedTuple):
    """How directories above an item are made where no segment before it has them."""

    mode: int
    uid: int
    gid: int


class Item(NamedTuple):
    """One object that we make ourselves.  ``kind``: "file", "dir" or "symlink".

    A file's bytes are ``data``, or ``blob`` in the store where they are many.
    """

    path: str
    kind: str
    mode: int
    origin: Origin | None
    data: bytes = b""
    blob: Blob | None = None
    link: str = ""
    uid: int = 0
    gid: int = 0
    parents: Parents | None = None
    mtime: int = EPOCH

    def to_json(self) -> object:
        """The JSON form; content is text where it is UTF-8."""
        row: dict[str, object] = {"path": self.path, "kind": self.kind, "mode": f"{self.mode:04o}"}
        if self.origin:
            row["origin"] = [self.origin.source, self.origin.location]
        if self.mtime != EPOCH:
            row["mtime"] = self.mtime
        if self.uid or self.gid:
            row["owner"] = [self.uid, self.gid]
        if self.parents:
            row["parents"] = [f"{self.parents.mode:04o}", self.parents.uid, self.parents.gid]
        if self.kind == "symlink":
            row["link"] = self.link
        if self.kind == "file":
            row.update(_content(self.data, self.blob))
        return row


def _content(data: bytes, blob: Blob | None) -> dict[str, object]:
    if blob is not None:
        return {"size": blob.size, "digest": blob.digest}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


class DataSegment(NamedTuple):
    """Objects that we make ourselves; later ones win."""

    name: str
    items: tuple[Item, ...]

    def to_json(self) -> object:
        """The JSON form."""
        return [item.to_json() for item in self.items]


class MachineSegment(NamedTuple):
    """A whole system that a container runs: its kernel and its initramfs, as files in ``folder``.

    ``memory`` is what its machine has, in MiB.
    """

    name: str
    origin: Origin
    folder: str
    memory: int
    plan: Plan

    def to_json(self) -> object:
        """The JSON form."""
        return {"folder": self.folder, "memory": self.memory, "plan": self.plan.to_json()}


Segment = ImageSegment | DataSegment | MachineSegment


class Grant(NamedTuple):
    """What an image's own label lets ``container`` do beyond what the YAML says."""

    container: str  # "services/web"
    image: str
    privileges: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "container": self.container,
            "image": self.image,
            "privileges": list(self.privileges),
        }


class Confinement(NamedTuple):
    """How ``container`` is confined, and what it may do beyond its profile."""

    container: str  # "services/web"
    profile: str
    privileges: tuple[Privilege, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "container": self.container,
            "profile": self.profile,
            "privileges": [str(each) for each in self.privileges],
        }


class Plan(NamedTuple):
    """The whole build.  ``init`` is the path of the first program, "" when there is none."""

    arch: str
    kernel: Kernel | None
    segments: tuple[Segment, ...]
    init: str = ""
    images: tuple[tuple[str, Digest], ...] = ()  # reference → manifest, as resolved
    grants: tuple[Grant, ...] = ()
    confinement: tuple[Confinement, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "version": 1,
            "arch": self.arch,
            "init": self.init,
            "images": dict(self.images),
            "grants": [grant.to_json() for grant in self.grants],
            "confinement": [each.to_json() for each in self.confinement],
            "kernel": self.kernel.to_json() if self.kernel else None,
            "segments": [{"name": s.name, "content": s.to_json()} for s in self.segments],
        }

    @property
    def digest(self) -> Digest:
        """The build's identity."""
        return digests.of_value(self.to_json())

    def layers(self) -> tuple[Descriptor, ...]:
        """Every layer the build reads, each once."""
        images = [s.image for s in self.segments if isinstance(s, ImageSegment)]
        if self.kernel:
            images.append(self.kernel.image)
        images += [Layers(inner.layers(), ()) for inner in self._inner()]
        found = {layer.digest: layer for image in images for layer in image.layers}
        return tuple(found.values())

    def blobs(self) -> tuple[Blob, ...]:
        """Every blob that goes into the system as it is, each once."""
        data = [s for s in self.segments if isinstance(s, DataSegment)]
        found = [item.blob for s in data for item in s.items if item.blob]
        found += [blob for inner in self._inner() for blob in inner.blobs()]
        return tuple(dict.fromkeys(found))

    def _inner(self) -> tuple[Plan, ...]:
        """The systems of machines that run in this one."""
        return tuple(s.plan for s in self.segments if isinstance(s, MachineSegment))
