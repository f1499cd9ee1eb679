"""From a plan to a system: every segment that the store lacks is made, and only those."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build import apk, drivers, machines, rewrite
from linuxkit.build import kernel as kernels
from linuxkit.build.plan import (
    EPOCH,
    REWRITER,
    DataSegment,
    ImageSegment,
    Item,
    MachineSegment,
    Origin,
)
from linuxkit.build.root import Root, listed, listing
from linuxkit.build.system import Built, System
from linuxkit.oci.flatten import flatten
from linuxkit.oci.store import Blob
from linuxkit.tree import path as paths
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Content, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.build.plan import Kernel, Layers, Plan
    from linuxkit.oci.store import Store
    from linuxkit.tree.merge import Tree

_LISTING_LIMIT = 1 << 28


def assemble(plan: Plan, *, store: Store) -> System:
    """Make what is missing of every segment; reads the store only, never the network.

    Raises LK07xx for images that cannot be what the plan wants of them, LK03xx and LK06xx for
    damaged or hostile layers.
    """
    root = Root()
    built: list[Built] = []
    databases: list[Built] = []
    inits = [s for s in plan.segments if isinstance(s, ImageSegment) and not s.prefix]
    for segment in plan.segments:
        if isinstance(segment, MachineSegment):
            inner = assemble(segment.plan, store=store)
            built.append(_data(machines.files(segment, inner), store, root))
        elif isinstance(segment, DataSegment):
            clashes = root.clashes(item.path for item in segment.items)
            built += [*_parted(clashes, store), _data(segment, store, root)]
        else:
            done, names = _image(segment, store)
            if names is not None:
                built += _parted(root.clashes(listed(names)), store)
                if apk.PATH in root.add_listing(names, segment.name):
                    databases.append(done)
            built.append(done)
        if segment.name == "root" and plan.kernel:
            built.append(_modules(plan.kernel, store, root))
        if segment in inits[-1:] and len(databases) > 1:
            built.append(_databases(databases, store))
    if plan.kernel and not root.has("init"):
        events.note(
            "no init image brings /init: the kernel will find nothing to start",
            level="warning",
            code="LK0708",
        )
    parts = kernels.load(plan.kernel, store) if plan.kernel else None
    return System(plan, store, parts, tuple(built))


def _modules(kernel: Kernel, store: Store, root: Root) -> Built:
    who = f"kernel {kernel.origin.source}"
    done = store.derived(kernel.key, "tar")
    names = store.derived(kernel.key, "listing")
    if done is None or names is None or kernels.load(kernel, store) is None:
        with _tree(kernel.image, store, who) as tree, store.temporary() as scratch:
            kernels.extract(kernel, tree, store)
            entries = list(kernels.modules(kernel, tree, scratch))
            done = _store_tar(kernel.key, entries, kernel.origin, store)
            names = _store_listing(kernel.key, entries, store)
    root.add_listing(store.read(names.digest, _LISTING_LIMIT), who)
    return Built(drivers.SEGMENT, kernel.key, done)


def _image(segment: ImageSegment, store: Store) -> tuple[Built, bytes | None]:
    """The segment, and the listing of one that lies at the root."""
    at_root = not segment.prefix
    done = store.derived(segment.key, "tar")
    names = store.derived(segment.key, "listing") if at_root else None
    if done is None or (at_root and names is None):
        with _tree(segment.image, store, segment.name) as tree:
            rewrite.rewrite(tree, resolv_link=segment.resolv_link, complete=not at_root)
            rewrite.add_targets(tree, segment.targets)
            entries = rewrite.place(tree, segment.prefix, segment.first_id)
            done = _store_tar(segment.key, entries, segment.origin, store)
            if at_root:
                names = _store_listing(segment.key, tree.entries(), store)
    listed = None if names is None else store.read(names.digest, _LISTING_LIMIT)
    return Built(segment.name, segment.key, done), listed


def _parted(clashes: Sequence[str], store: Store) -> tuple[Built, ...]:
    """A segment that parts names from the files they share with others, before they are replaced.

    It puts a symbolic link at each: the kernel removes a name whose kind changes.
    """
    if not clashes:
        return ()
    key = digests.of_value(["parted", REWRITER, list(clashes)])
    done = store.derived(key, "tar")
    if done is None:
        entries = (Entry(path, Kind.SYMLINK, 0o777, mtime=EPOCH, link="/") for path in clashes)
        done = _store_tar(key, entries, Origin("linuxkit.parted", "init"), store)
    return (Built("replaced links", key, done),)


def _databases(brought: Sequence[Built], store: Store) -> Built:
    """The package databases of all init images as one, over those that they brought."""
    key = digests.of_value(["apk", REWRITER, [each.key for each in brought]])
    done = store.derived(key, "tar")
    if done is None:
        entry = apk.merged((each.tar for each in brought), store)
        done = _store_tar(key, (entry,), apk.ORIGIN, store)
    return Built("apk database", key, done)


def _data(segment: DataSegment, store: Store, root: Root) -> Built:
    items = tuple(_placed(segment.items, root))
    key = digests.of_value(["data", REWRITER, [item.to_json() for item in items]])
    done = store.derived(key, "tar")
    if done is None:
        with contextlib.ExitStack() as stack, store.writer() as out:
            writer = tar.Writer(out)
            for item in items:
                pax = _pax(item.origin) if item.origin else {}
                writer.add(_entry(item, store, stack), pax)
        done = _remember(store, key, "tar", Blob(out.digest, out.size))
    return Built(segment.name, key, done)


def _placed(items: Iterable[Item], root: Root) -> Iterator[Item]:
    """The items where they belong, each after the parents that no segment before has."""
    for item in items:
        path = root.resolve(item.path)
        if item.parents:
            for parent in paths.parents(path):
                if not root.is_directory(parent):
                    rule = item.parents
                    made = Item(parent, "dir", rule.mode, item.origin, uid=rule.uid, gid=rule.gid)
                    root.add_item(made)
                    yield made
        if item.kind != "dir" and root.is_directory(path):
            raise Error("LK0704", f"/{item.path} would replace a directory")
        placed = item if path == item.path else item._replace(path=path)
        root.add_item(placed)
        yield placed


def _entry(item: Item, store: Store, stack: contextlib.ExitStack) -> Entry:
    content: Content = Bytes(item.data)
    if item.blob:
        source = stack.enter_context(store.open(item.blob.digest, item.blob.size))
        content = _Checked(source.fileno(), item.blob)
    return Entry(
        item.path, Kind(item.kind), item.mode, item.uid, item.gid, item.mtime, content, item.link
    )


class _Checked(Slice):
    """A blob of the store as content, whose digest is checked while it is read."""

    __slots__ = ("_digest",)

    def __init__(self, handle: int, blob: Blob) -> None:
        super().__init__(handle, 0, blob.size)
        self._digest = blob.digest

    def chunks(self) -> Iterator[bytes]:
        """As those of a slice.  Raises LK0305 after the last one when they are damaged."""
        checksum = hashlib.sha256()
        for chunk in super().chunks():
            checksum.update(chunk)
            yield chunk
        if "sha256:" + checksum.hexdigest() != self._digest:
            raise Error(
                "LK0305",
                f"{self._digest}: its bytes in the store are damaged",
                hint="remove the blob from the cache; it is then fetched or built again",
            )


@contextlib.contextmanager
def _tree(image: Layers, store: Store, who: str) -> Iterator[Tree]:
    """The image's tree; errors inside are told with the name of what is being made."""
    total = sum(layer.size for layer in image.layers)
    with events.task("assemble", who, total):
        try:
            with flatten(store, image.layers, image.diff_ids) as tree:
                yield tree
        except Error as error:
            error.message = f"{who}: {error.message}"
            raise


def _store_tar(key: Digest, entries: Iterable[Entry], origin: Origin, store: Store) -> Blob:
    pax = _pax(origin)
    with store.writer() as out:
        writer = tar.Writer(out)
        for entry in entries:
            writer.add(entry, pax)
    return _remember(store, key, "tar", Blob(out.digest, out.size))


def _store_listing(key: Digest, entries: Iterable[Entry], store: Store) -> Blob:
    data = listing(entries)
    return _remember(store, key, "listing", Blob(store.put(data), len(data)))


def _remember(store: Store, key: Digest, form: str, blob: Blob) -> Blob:
    store.set_derived(key, form, blob.digest, blob.size)
    return blob


def _pax(origin: Origin) -> Mapping[str, str]:
    return {"LINUXKIT.location": origin.location, "LINUXKIT.source": origin.source}
