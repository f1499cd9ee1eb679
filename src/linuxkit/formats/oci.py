"""The parts of a bootable system as an OCI artifact, which registries keep as they keep images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.formats import payload
from linuxkit.oci import export, image, model
from linuxkit.oci.model import Descriptor, Manifest, Platform

if TYPE_CHECKING:
    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output
    from linuxkit.oci.store import Store
    from linuxkit.tree.entry import Content

TYPE = "application/vnd.linuxkit.system.v1"
_PART = "application/vnd.linuxkit.system.{}.v1"
_TITLE = "org.opencontainers.image.title"
_EMPTY = "application/vnd.oci.empty.v1+json"


class Oci:
    """``NAME.oci.tar``: an OCI layout with an index, for `cache import` and `cache push`."""

    def emit(self, system: System, out: Output, options: Options) -> None:
        """Write the file.  Raises LK0745."""
        store = system.store
        found = payload.whole(system, options)
        kernel = payload.kernel_of(system).binary.blob
        parts = (
            _part("kernel", Descriptor("", kernel.digest, kernel.size)),
            _part("initrd", _stored(found.initrd, store)),
            _part("cmdline", _put(found.cmdline.encode(), store)),
        )
        config = _put(b"{}", store)._replace(media_type=_EMPTY)
        manifest = model.encode_manifest(Manifest(config, parts, artifact_type=TYPE))
        platform = Platform("linux", system.plan.arch)
        descriptor = Descriptor(
            model.OCI_MANIFEST, store.put(manifest), len(manifest), platform=platform,
            artifact_type=TYPE,
        )  # fmt: skip
        index = image.write_index(store, [descriptor])
        name = f"localhost/{out.name.lower()}:latest"
        export.write_layout(store, index, name, [platform], out.file("oci", ".oci.tar"))


def _part(name: str, blob: Descriptor) -> Descriptor:
    return blob._replace(media_type=_PART.format(name), annotations=((_TITLE, name),))


def _put(data: bytes, store: Store) -> Descriptor:
    return Descriptor("", store.put(data), len(data))


def _stored(content: Content, store: Store) -> Descriptor:
    with store.writer() as blob:
        for chunk in content.chunks():
            blob.write(chunk)
    return Descriptor("", blob.digest, blob.size)
