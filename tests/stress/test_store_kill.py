"""Writers killed at every point: nothing stored is lost, and the next writer gets on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci import model
from linuxkit.oci.model import Descriptor
from linuxkit.oci.store import Blob, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 150


def in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the parent must hear of it
        os.write(2, f"child: {error!r}\n".encode())
    os._exit(1)


def data(n: int) -> bytes:
    return random.Random(n).randbytes(1000 + n * 997 % 100_000)


def store_one(store: Store, n: int) -> None:
    with store.writer() as blob:
        for _ in range(2):
            blob.write(data(n))
    store.set_derived(digests.of_bytes(b"key%d" % n), "tar", blob.digest, blob.size)
    store.set_name(f"name/{n}", Descriptor(model.OCI_MANIFEST, blob.digest, blob.size))


def check(store: Store, stored: list[int]) -> None:
    """What was said to be stored is there and right; so is everything else that can be seen."""
    names = dict(store.names())
    assert names.keys() >= {f"name/{n}" for n in stored}
    for descriptor in names.values():
        assert len(store.read(descriptor.digest, 1 << 20)) == descriptor.size
    for n in stored:
        digest = digests.of_bytes(data(n) * 2)
        assert store.derived(digests.of_bytes(b"key%d" % n), "tar") == Blob(
            digest, 2 * len(data(n))
        )
    for path in (store.root / "blobs" / "sha256").iterdir():
        assert digests.of_bytes(path.read_bytes())[7:] == path.name


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL lands anywhere, inside system calls too, among two writers at once."""
    chance = random.Random(1)
    stored: list[int] = []
    for turn in range(ROUNDS):
        tell, told = os.pipe()[::-1]

        def work(first: int, tell: int = tell) -> None:
            store = Store(tmp_path)
            for n in range(first, first + 100):
                store_one(store, n)
                os.write(tell, b"%d\n" % n)

        children = [
            in_child(lambda first=first: work(first)) for first in (turn * 1000, turn * 1000 + 500)
        ]  # type: ignore[misc]
        os.close(tell)
        with os.fdopen(told, "rb") as heard:
            if turn % 2:  # however busy the machine is, half of the pairs get some work done
                stored.append(int(heard.readline()))
            for child in children:
                time.sleep(chance.uniform(0, 0.02))
                os.kill(child, signal.SIGKILL)
            for child in children:
                assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
            stored += [int(line) for line in heard]
        if turn % 10 == 9:
            check(Store(tmp_path), stored)
    store_one(Store(tmp_path), 10**6)
    check(Store(tmp_path), [*stored, 10**6])


def killed_before_call(n: int, work: Callable[[], None]) -> bool:
    """Run ``work`` and die just before its ``n``-th call into C; False when it ends before."""

    def run() -> None:
        left = n

        def count(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal left
            if event == "c_call":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)

    status = os.waitpid(in_child(run), 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize("start", ["an empty folder", "a store"])
def test_killed_at_each_step(tmp_path: Path, start: str) -> None:
    """Exhaustive: before each single call into C of one whole put, record and naming."""
    before = tmp_path / "before"
    before.mkdir()
    stored = []
    if start == "a store":
        store_one(Store(before, sync=False), 1)
        stored.append(1)
    root = tmp_path / "root"
    for step in range(10_000):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(before, root)
        if not killed_before_call(step, lambda: store_one(Store(root), 2)):
            break
        store_one(Store(root, sync=False), 3)  # no lock is left held, no rubbish in the way
        check(Store(root), [*stored, 3])
    assert step > 50
    check(Store(root), [*stored, 2])


def test_what_the_dead_leave_is_swept_up(tmp_path: Path) -> None:
    def die() -> None:
        with Store(tmp_path).writer() as blob:
            blob.write(b"x" * 1_000_000)
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_child(die), 0)
    (left,) = (tmp_path / "linuxkit" / "tmp").iterdir()
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    Store(tmp_path).put(b"y")
    assert list((tmp_path / "linuxkit" / "tmp").iterdir()) == []
