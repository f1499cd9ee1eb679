"""Building packages on the machines of a Dask cluster, with the registry as what they share.

A package travels as bytes of ours: facts as JSON, then the folder as a tar, which the worker reads
with the reader that is made for archives of strangers.  No object of ours is pickled.  What is
built lies in the registry afterwards, so nothing comes back but words.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linuxkit.base.errors import Error, printable
from linuxkit.oci import registry
from linuxkit.oci.store import Store, default_root
from linuxkit.recipes import making, publish, recipe, tag, unpack
from linuxkit.recipes.gittag import Asked, Identity, Revision
from linuxkit.recipes.package import Package, Wishes
from linuxkit.spec.record import replace
from linuxkit.tree import path as paths
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_BYTES = 256 << 20
_WAIT_S = 30
_LIMITS = tar.LIMITS._replace(entries=100_000, content=_MAX_BYTES)


def pack(package: Package, arches: Sequence[str], *, sbom: bool) -> bytes:
    """All that a worker needs of a package.  Raises LK0587 (too much), and as tag.contents."""
    facts = {
        "name": package.folder.name, "arches": list(arches), "sbom": sbom,
        "identity": list(package.identity), "revision": list(package.revision),
        "arguments": package.arguments(), "dockerfile": package.wishes.dockerfile,
        "build_yml": package.wishes.asked.build_yml, "network": package.wishes.network,
        "disable_cache": package.wishes.disable_cache,
    }  # fmt: skip
    files = {path: (mode, data) for path, mode, data in tag.contents(package.folder)}
    folders = {above for path in files for above in paths.parents(path)}
    out = BytesIO()
    writer = tar.Writer(out)
    for path in sorted({*files, *folders}):
        mode, data = files.get(path, (0o755, b""))
        kind = Kind.FILE if path in files else Kind.DIR
        writer.add(Entry(path, kind, mode, content=Bytes(data)))
    writer.close()
    packed = json.dumps(facts).encode() + b"\n" + out.getvalue()
    if len(packed) > _MAX_BYTES:
        raise Error("LK0587", f"{package.reference} has more than {_MAX_BYTES >> 20} MiB of files")
    return packed


def build(packed: bytes) -> str:
    """What a worker does: build the package and send it to its registry; JSON of what came of it.

    ``{"lines": [...]}``, or ``{"error": {...}}``, for errors do not travel well as objects.
    """
    try:
        return json.dumps({"lines": _build(packed)})
    except Error as error:
        first = error.all()[0]
        told = {key: getattr(first, key) for key in ("code", "message", "hint", "detail")}
        return json.dumps({"error": told})


def _build(packed: bytes) -> list[str]:
    from linuxkit.sources.folders import bench_of
    from linuxkit.sources.packages import StockPackages
    from linuxkit.sources.registry import Registries
    from linuxkit.sources.store import Stored

    head, _, body = packed.partition(b"\n")
    facts = json.loads(head)
    store = Store(default_root())
    with tempfile.TemporaryDirectory() as above, store.temporary() as scratch:
        scratch.write(body)
        scratch.flush()
        folder = Path(above) / paths.clean(facts["name"])
        folder.mkdir()
        unpack.write(tar.read(scratch.fileno(), limits=_LIMITS), folder)
        package = _package(folder, facts)
        registries = Registries(store)
        bench = bench_of(store, registries, (Stored(store), StockPackages(store), registries))
        options = making.Options(pull=True, sbom=facts["sbom"])
        made = making.make(package, facts["arches"], options, bench)
        publish.publish(package, made, registry.Client(registry.options()), store)
        return [f"{package.name_for(one.arch)}  {one.choice}" for one in made]


def _package(folder: Path, facts: dict[str, Any]) -> Package:
    read = recipe.load(folder, facts["build_yml"])
    # They lie in the folder already.
    read = read._replace(says=replace(read.says, extra_sources=()))
    wishes = Wishes(
        Asked(build_yml=facts["build_yml"]), facts["dockerfile"], (), facts["network"],
        facts["disable_cache"],
    )  # fmt: skip
    identity, revision = Identity(*facts["identity"]), Revision(*facts["revision"])
    return Package(folder, read, identity, revision, wishes, facts["arguments"])


class Farm:
    """A Dask cluster that is there already; somebody else starts and ends it."""

    def __init__(self, address: str) -> None:
        """Raises LK0588 where there is no scheduler, LK0589 without the library."""
        try:
            import distributed
        except ImportError:
            raise Error(
                "LK0589", "the library for Dask clusters is not installed",
                hint="pip install 'linuxkit[dask]'",
            ) from None  # fmt: skip
        try:
            self._client = distributed.Client(address, timeout=_WAIT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise Error(
                "LK0588", f"there is no scheduler at {printable(address)}: {printable(str(error))}",
                hint="write it as tcp://HOST:PORT",
            ) from error  # fmt: skip

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()

    def begin(
        self, package: Package, arches: Sequence[str], *, sbom: bool
    ) -> Future[tuple[str, ...]]:
        """Have a package built; a worker that dies is replaced by another."""
        done: Future[tuple[str, ...]] = Future()
        task = self._client.submit(
            build, pack(package, arches, sbom=sbom), pure=False, retries=1,
            resources=self._resources(package, arches),
        )  # fmt: skip
        task.add_done_callback(lambda ended: _finish(ended, done))
        return done

    def _resources(self, package: Package, arches: Sequence[str]) -> dict[str, float]:
        """A worker that says it is of the right kind, if any says so."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        offered = {name for worker in workers for name in worker.get("resources", {})}
        wanted = {f"linux/{arch}" for arch in arches if package.recipe.runs_programs}
        return dict.fromkeys(wanted & offered, 1.0)


def _finish(ended: Any, done: Future[tuple[str, ...]]) -> None:  # noqa: ANN401 - Dask's future
    try:
        found = json.loads(ended.result())
    except Exception as error:  # noqa: BLE001 - whatever ended the task, the package is not built
        done.set_exception(Error("LK0587", f"no worker could build it: {printable(str(error))}"))
        return
    if "error" in found:
        told = found["error"]
        done.set_exception(
            Error(told["code"], told["message"], hint=told["hint"], detail=told["detail"])
        )
    else:
        done.set_result(tuple(found["lines"]))
