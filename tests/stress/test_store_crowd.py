"""Many processes use one store at once."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.oci import model
from linuxkit.oci.model import Descriptor
from linuxkit.oci.store import Blob, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROCESSES = 8
ROUNDS = 25
KEY = digests.of_bytes(b"a key")


def crowd(works: list[Callable[[], None]]) -> None:
    children = []
    for work in works:
        child = os.fork()
        if not child:
            status = 1
            try:
                work()
                status = 0
            except BaseException as error:  # noqa: BLE001 - the parent must hear of it
                os.write(2, f"child: {error!r}\n".encode())
            os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(works)


def common(n: int) -> bytes:
    return bytes([n]) * (40_000 * n + 1)


def named(store: Store, name: str, data: bytes) -> None:
    with store.writer(digests.of_bytes(data), len(data)) as blob:
        for at in range(0, len(data), 65_536):
            blob.write(data[at : at + 65_536])
    store.set_name(name, Descriptor(model.OCI_MANIFEST, blob.digest, blob.size))


def writer(root: Path, who: int) -> None:
    store = Store(root)
    for n in range(ROUNDS):
        named(store, f"common/{n}", common(n))
        named(store, f"own/{who}/{n}", b"%d %d" % (who, n))
        named(store, "contested", b"%d" % who)
        store.put(b"the same")
        store.set_derived(KEY, f"tar.{n}", digests.of_bytes(common(n)), len(common(n)))
        if n % 2:
            assert store.remove_name(f"own/{who}/{n}")
        for name in (f"common/{n}", "contested"):
            found = store.find(name)
            assert found is not None, name
            assert store.has(found.digest, found.size)


def reader(root: Path) -> None:
    """Sees whole files only, and no name vanish that nobody removed."""
    store = Store(root)
    seen: set[str] = set()
    until = time.monotonic() + 60
    while f"common/{ROUNDS - 1}" not in seen and time.monotonic() < until:
        names = dict(store.names())
        assert names.keys() >= {name for name in seen if not name.startswith("own")}
        seen.update(names)
        for name in ("contested", f"common/{len(seen) % ROUNDS}"):
            if name in names:
                found = names[name]
                assert len(store.read(found.digest, 1 << 21)) == found.size
        time.sleep(0.005)


def test_eight_writers_and_a_reader(tmp_path: Path) -> None:
    crowd(
        [lambda: reader(tmp_path)]
        + [lambda who=who: writer(tmp_path, who) for who in range(PROCESSES)]  # type: ignore[misc]
    )
    store = Store(tmp_path)
    own = {f"own/{who}/{n}" for who in range(PROCESSES) for n in range(0, ROUNDS, 2)}
    shared = {f"common/{n}" for n in range(ROUNDS)}
    assert dict(store.names()).keys() == {"contested", *own, *shared}
    for _, found in store.names():
        assert len(store.read(found.digest, 1 << 21)) == found.size
    for n in range(ROUNDS):
        digest = digests.of_bytes(common(n))
        assert store.derived(KEY, f"tar.{n}") == Blob(digest, len(common(n)))
    assert list((tmp_path / "linuxkit" / "tmp").iterdir()) == []
    assert len(list((tmp_path / "blobs" / "sha256").iterdir())) == (
        ROUNDS + PROCESSES * ROUNDS + PROCESSES + 1
    )


def test_eight_processes_make_the_store(tmp_path: Path) -> None:
    """Nobody's first name is lost while the others make index.json too."""
    for n in range(20):
        root = tmp_path / str(n)
        crowd(
            [
                lambda who=who, root=root: named(Store(root), f"own/{who}", b"x")  # type: ignore[misc]
                for who in range(PROCESSES)
            ]
        )
        assert dict(Store(root).names()).keys() == {f"own/{who}" for who in range(PROCESSES)}
