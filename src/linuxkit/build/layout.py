"""The system's layout, upstream's on disk: which segments there are, where, and of what.

Pure but for ``files``, whose sources are read.  How a container's configuration is made is the
business of :mod:`linuxkit.build.runtime`, where it goes that of :mod:`linuxkit.build.placement`,
and how PID 1 is told of it that of :mod:`linuxkit.build.units`.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, raise_all
from linuxkit.build import fileset, placement, rewrite, sbom, secrets, units
from linuxkit.build.ids import id_table
from linuxkit.build.plan import (
    Confinement,
    DataSegment,
    Grant,
    ImageSegment,
    Item,
    Kernel,
    Layers,
    MachineSegment,
    Origin,
    Parents,
    Plan,
    Target,
)
from linuxkit.build.sandbox import profile, program, strict
from linuxkit.build.volume import layout_segment
from linuxkit.build.wanted import opened
from linuxkit.spec import isolation, metadata
from linuxkit.tree import path as paths

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from linuxkit.build.placement import Images, Placed
    from linuxkit.build.plan import Segment
    from linuxkit.oci.image import Image
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.spec.model import Spec

    Roots = Mapping[Ref, Descriptor]


def lay_out(
    spec: Spec,
    images: Images,
    roots: Roots,
    *,
    store: Store,
    arch: str,
    bill: sbom.Options,
    decompress_kernel: bool = False,
    learn: bool = False,
    quiet: bool = False,
) -> Plan:
    """The plan for ``spec`` with its ``images`` open; ``roots`` are those of volumes to copy whole.

    With ``learn`` the system calls of strict containers are counted; ``quiet`` as in
    :func:`linuxkit.build.boot.compile_table`.  Raises LK02xx for what labels, ids and sources have
    wrong, all at once.
    """
    containers = tuple(placement.placed(spec, images, arch, learn=learn))
    volumes = tuple(_volume_segments(spec, images, roots, store))
    machines = tuple(_machines(spec, images, store, arch))
    data = fileset.items(spec, id_table(spec), store, lambda kind: metadata.render(spec, kind))
    table = units.table(spec, images, containers, data, quiet=quiet)
    segments: list[Segment] = [_root_segment(spec)]
    segments += _init_segments(spec, images)
    segments.append(DataSegment("containers", tuple(_bundles(spec, containers))))
    segments.append(DataSegment("confine", tuple(_programs(containers, arch, store))))
    segments += volumes
    segments += machines
    segments += _rootfs_segments(spec, images, containers)
    bills = _bill(images, roots, arch, bill)
    segments.append(DataSegment("files", (*data, *table, *bills)))
    used = {**{ref: image.descriptor for ref, image in images.items()}, **roots}
    return Plan(
        arch,
        _kernel(spec, images, decompress=decompress_kernel),
        tuple(s for s in segments if not isinstance(s, DataSegment) or s.items),
        init="/init" if table else "",
        images=tuple(sorted((str(ref), root.digest) for ref, root in used.items())),
        grants=tuple(_grants(containers)),
        confinement=tuple(_confinement(spec, containers)),
    )


def _programs(containers: Sequence[Placed], arch: str, store: Store) -> Iterator[Item]:
    """The programs of the root that containers are started with."""
    sandboxes = [placed.confined.sandbox for placed in containers]
    wanted = {
        strict.HELPER: any(sandboxes),
        strict.LEARNER: any(sandbox and sandbox.learns for sandbox in sandboxes),
        secrets.HELPER: any(placed.entry.secrets for placed in containers),
    }
    yield from (program.item(path, arch, store) for path, needed in wanted.items() if needed)


def _kernel(spec: Spec, images: Images, *, decompress: bool) -> Kernel | None:
    kernel = spec.kernel
    if kernel is None or kernel.image is None:
        return None
    return Kernel(
        Origin(str(kernel.image), "kernel"),
        _layers(images[kernel.image]),
        kernel.cmdline or "",
        "kernel" if kernel.binary is None else kernel.binary,
        "kernel.tar" if kernel.tar is None else kernel.tar,
        kernel.ucode or "",
        decompress,
    )


def _layers(image: Image) -> Layers:
    return Layers(image.manifest.layers, image.config.diff_ids)


def _root_segment(spec: Spec) -> DataSegment:
    items: list[Item] = []
    if spec.kernel and spec.kernel.image:
        items.append(Item("boot", "dir", 0o755, Origin(str(spec.kernel.image), "kernel")))
    if spec.init:
        # They come first, so that images can override them, yet upstream has them of the last one.
        last = len(spec.init) - 1
        items += rewrite.base_items(Origin(str(spec.init[last]), f"init[{last}]"))
    return DataSegment("root", tuple(items))


def _init_segments(spec: Spec, images: Images) -> Iterator[ImageSegment]:
    for index, ref in enumerate(spec.init):
        origin = Origin(str(ref), f"init[{index}]")
        yield ImageSegment(f"init[{index}]", origin, _layers(images[ref]), "", resolv_link=True)


def _volume_segments(spec: Spec, images: Images, roots: Roots, store: Store) -> Iterator[Segment]:
    errors: list[Error] = []
    for index, volume in enumerate(spec.volumes):
        if volume.image is None:
            continue
        origin = Origin(str(volume.image), f"volume[{index}]")
        if volume.format == "oci":
            try:
                yield layout_segment(volume, origin, roots[volume.image], store)
            except Error as error:
                error.where = error.where or spec.where(("volumes", index, "image"))
                errors.append(error)
            continue
        yield ImageSegment(
            f"volumes/{volume.name}",
            origin,
            _layers(images[volume.image]),
            f"containers/volumes/{volume.name}/lower",
            resolv_link=True,
        )
    raise_all(errors)


def _machines(spec: Spec, images: Images, store: Store, arch: str) -> Iterator[MachineSegment]:
    """The systems that run in machines of their own in this one; what they are made of is ours."""
    errors: list[Error] = []
    for index, entry in enumerate(spec.services):
        if entry.inner is None or entry.machine is None:
            continue
        own = {want.ref: images[want.ref] for want in opened(entry.inner)}
        try:
            plan = lay_out(
                entry.inner, own, {}, store=store, arch=arch, bill=sbom.Options(path=""), quiet=True
            )  # fmt: skip
        except Error as error:
            for single in error.all():
                single.where = single.where or spec.where(("services", index))
                errors.append(single)
            continue
        origin = Origin(str(entry.inner.services[0].image), f"services[{index}]")
        name, place = f"services/{entry.name} (machine)", isolation.folder(entry.name)
        yield MachineSegment(name, origin, place, entry.machine.memory or 0, plan)
    raise_all(errors)


def _bundles(spec: Spec, containers: Iterable[Placed]) -> Iterator[Item]:
    """All that lies around the images' files: folders, configurations, mount points."""
    for index, volume in enumerate(spec.volumes):
        folder = f"containers/volumes/{volume.name}"
        origin = Origin(str(volume.image) if volume.image else "empty", f"volume[{index}]")
        yield from _folders(f"{folder}/lower", origin)
        mounted = Origin("linuxkit.volumes", origin.location)
        # Upstream's init makes a volume with a folder for a writable layer writable.
        for name in ("merged",) if volume.readonly else ("tmp", "merged"):
            yield Item(f"{folder}/{name}", "dir", 0o755, mounted)
    for placed in containers:
        origin, bundle, made = placed.origin, placed.bundle, placed.configuration
        sandbox = placed.confined.sandbox
        owner = sandbox.first_id if sandbox else 0
        yield from _folders(bundle, origin)
        if not placed.shared:
            yield Item(placed.root, "dir", 0o755, origin, uid=owner, gid=owner)
        yield Item(f"{bundle}/config.json", "file", 0o644, origin, made.config_json)
        if sandbox:
            record = sandbox.record.encode()
            yield Item(f"{bundle}/{strict.RECORD}", "file", 0o644, origin, record)
        if placed.entry.secrets:
            yield Item(f"{bundle}/{secrets.FOLDER}", "dir", 0o755, origin)
        if not made.readonly:
            yield Item(f"{bundle}/tmp", "dir", 0o755, origin)  # noqa: S108 - in the bundle
        yield Item(f"{bundle}/rootfs", "dir", 0o755, origin, uid=owner, gid=owner)
        yield Item(f"{bundle}/runtime.json", "file", 0o644, origin, made.runtime_json)


def _folders(path: str, origin: Origin) -> Iterator[Item]:
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        yield Item("/".join(parts[:end]), "dir", 0o755, origin)


def _rootfs_segments(
    spec: Spec, images: Images, containers: Sequence[Placed]
) -> Iterator[ImageSegment]:
    files = {f"/{file.path.strip('/')}" for file in spec.files if not file.directory}
    targets: dict[str, dict[str, Target]] = {}
    for placed in containers:
        if placed.entry.secrets:
            place = secrets.INSIDE.lstrip("/")
            targets.setdefault(placed.root, {})[place] = Target(place, "dir")
        if placed.confined.sandbox:
            wanted = targets.setdefault(placed.root, {})
            wanted.update((target.path, target) for target in _targets(placed, files))
    for placed in containers:
        if not placed.shared:
            image = _layers(images[placed.entry.image])
            name = placed.bundle.removeprefix("containers/")
            sandbox = placed.confined.sandbox
            yield ImageSegment(
                name, placed.origin, image, placed.root, resolv_link=False,
                first_id=sandbox.first_id if sandbox else 0,
                targets=tuple(sorted(targets.get(placed.root, {}).values())),
            )  # fmt: skip


def _targets(placed: Placed, files: Collection[str]) -> Iterator[Target]:
    """Where something is mounted in a container whose root nobody can write to."""
    settings = placed.confined.settings
    sources = {bind.destination: bind.source for bind in settings.binds or ()}
    sources |= {m.target: m.source or "" for m in settings.mounts or () if m.target}
    sources |= {tmpfs.destination: "" for tmpfs in settings.tmpfs or ()}
    for destination, source in sources.items():
        path = posixpath.normpath("/" + destination).lstrip("/")
        if path and path.split("/")[0] not in {"dev", "proc"}:
            yield Target(paths.clean(path), "file" if source in files else "dir")


def _grants(containers: Iterable[Placed]) -> Iterator[Grant]:
    for placed in containers:
        if placed.granted:
            name = placed.bundle.removeprefix("containers/")
            yield Grant(name, str(placed.entry.image), placed.granted)


def _confinement(spec: Spec, containers: Iterable[Placed]) -> Iterator[Confinement]:
    for placed in containers:
        name = placed.bundle.removeprefix("containers/")
        held = placed.confined.privileges
        yield Confinement(name, profile.of(placed.entry, spec), held)


def _bill(images: Images, roots: Roots, arch: str, bill: sbom.Options) -> tuple[Item, ...]:
    if not bill.path:
        return ()
    used = [
        sbom.Component(str(ref), image.descriptor.digest, image.config.labels.get(sbom.LABEL, ""))
        for ref, image in images.items()
    ]
    used += [sbom.Component(str(ref), root.digest, "") for ref, root in roots.items()]
    text = sbom.document(arch, used, created=bill.created)
    return (Item(bill.path, "file", 0o644, None, text, parents=Parents(0o755, 0, 0)),)
