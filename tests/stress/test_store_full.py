"""A store that cannot grow: one clear error, nothing left, nothing lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import model
from linuxkit.oci import store as module
from linuxkit.oci.model import Descriptor
from linuxkit.oci.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = digests.of_bytes(b"a key")


def files_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def changes(store: Store) -> dict[str, Callable[[], object]]:
    blob = digests.of_bytes(b"kept")
    return {
        "put": lambda: store.put(b"n" * 5000),
        "name": lambda: store.set_name("n" * 5000, Descriptor(model.OCI_MANIFEST, blob, 4)),
        "remove": lambda: store.remove_name("kept"),
        "derived": lambda: store.set_derived(KEY, "more", blob, 4),
    }


def outcome(change: Callable[[], object]) -> Error | None:
    try:
        change()
    except Error as error:
        return error
    return None


def fill(root: Path, leave: int, limit: str) -> None:
    """Use the file system up, but for some pages or some files; done by removing ballast again."""
    ballast = root / "ballast"
    ballast.mkdir(exist_ok=True)
    for old in ballast.iterdir():
        old.unlink()
    for n in range(10_000):
        try:
            (ballast / str(n)).write_bytes(b"b" * (4096 if limit == "pages" else 0))
        except OSError:
            break
    made = sorted(ballast.iterdir(), key=lambda path: path.stat().st_size)
    for path in made[:leave]:
        path.unlink()


def on_a_small_disk(mount: Path, limit: str) -> None:
    """What runs inside: each change on a disk with less and less left."""
    failures = successes = 0
    for leave in range(12, -1, -1):
        for what in ("put", "name", "remove", "derived"):
            root = mount / "cache"
            subprocess.run(["rm", "-rf", root, mount / "ballast"], check=True)
            store = Store(root)
            kept = Descriptor(model.OCI_MANIFEST, store.put(b"kept"), 4)
            store.set_name("kept", kept)
            before = files_in(root)
            names = store.names()
            fill(mount, leave, limit)
            error = outcome(changes(store)[what])
            if error:
                failures += 1
                assert error.code == "LK0102", error
                assert "No space left" in error.message, error
                assert "free some space" in error.hint, error.hint
                assert files_in(root) == before
                assert Store(root).names() == names
            else:
                successes += 1
            assert store.read(kept.digest, 4) == b"kept"
            fill(mount, 10_000, limit)
            changes(store)[what]()
    print(failures, successes)  # noqa: T201


@pytest.mark.root
@pytest.mark.parametrize(("limit", "options"), [("pages", "size=400k"), ("files", "nr_inodes=100")])
def test_disk_full_at_every_point(tmp_path: Path, limit: str, options: str) -> None:
    if os.geteuid():
        pytest.skip("only root may mount")
    source = Path(module.__file__).parents[2]
    run = [sys.executable, __file__, str(tmp_path), limit]
    mount = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, str(tmp_path), *run],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    failures, successes = map(int, done.stdout.split())
    assert failures > 4
    assert successes > 4


def in_limits(what: int, soft: int, work: Callable[[], None]) -> None:
    """Run ``work`` in a child that the system holds to a limit."""
    child = os.fork()
    if not child:
        status = 1
        try:
            os.closerange(3, 4096)  # what tests before this one left open is not to count
            resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))
            work()
            status = 0
        except BaseException as error:  # noqa: BLE001 - the parent must hear of it
            os.write(2, f"child: {error!r}\n".encode())
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_file_too_large(tmp_path: Path) -> None:
    def work() -> None:
        store = Store(tmp_path)
        with pytest.raises(Error, match="File too large"), store.writer() as blob:  # noqa: PT012
            for _ in range(100):
                blob.write(b"x" * 10_000)
        with pytest.raises(Error, match="File too large"):
            store.put(b"x" * 300_000)

    in_limits(resource.RLIMIT_FSIZE, 100_000, work)
    assert files_in(tmp_path) == {
        ".lock", "index.json", "linuxkit/leases/0", "oci-layout"
    }  # fmt: skip


def test_too_many_open_files(tmp_path: Path) -> None:
    def work() -> None:
        store = Store(tmp_path)
        kept = Descriptor(model.OCI_MANIFEST, store.put(b"kept"), 4)
        store.set_name("kept", kept)
        handles = []
        try:
            while True:
                handles.append(os.open("/", os.O_RDONLY))
        except OSError:
            pass
        for spare in range(4):
            for change in changes(store).values():
                error = outcome(change)
                if error:
                    assert error.code == "LK0102", error
                    assert "Too many open files" in error.message, error
                else:
                    assert spare > 0
            os.close(handles.pop())
        assert store.read(kept.digest, 4) == b"kept"

    in_limits(resource.RLIMIT_NOFILE, 64, work)


if __name__ == "__main__":
    on_a_small_disk(Path(sys.argv[1]), sys.argv[2])
