"""Images that lie in files: their paths start from the YAML file that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.spec.inputs import Input
from linuxkit.spec.record import replace

if TYPE_CHECKING:
    from linuxkit.oci.ref import Ref
    from linuxkit.spec.model import Spec

_SECTIONS = ("onboot", "onshutdown", "services", "volumes")


def placed(spec: Spec) -> Spec:
    """``spec`` with the folder of their file in all references to local images."""

    def at(ref: Ref, *path: str | int) -> Ref:
        where = spec.where(path)
        if not ref.is_local or where is None:
            return ref
        return ref._replace(folder=str(Input(where.file).folder))

    changes: dict[str, object] = {}
    if spec.kernel and spec.kernel.image:
        image = at(spec.kernel.image, "kernel", "image")
        changes["kernel"] = replace(spec.kernel, image=image)
    changes["init"] = tuple(at(ref, "init", n) for n, ref in enumerate(spec.init))
    for section in _SECTIONS:
        changes[section] = tuple(
            replace(entry, image=at(entry.image, section, n, "image")) if entry.image else entry
            for n, entry in enumerate(getattr(spec, section))
        )
    return replace(spec, **changes)


def has_any(spec: Spec) -> bool:
    """Whether an image of ``spec`` lies in a file."""
    entries = [entry for section in _SECTIONS for entry in getattr(spec, section)]
    refs = [spec.kernel and spec.kernel.image, *spec.init, *(entry.image for entry in entries)]
    return any(ref is not None and ref.is_local for ref in refs)
