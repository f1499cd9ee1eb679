from __future__ import annotations

import hashlib
import io
import os
import resource
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.oci import model
from linuxkit.oci.flatten import flatten
from linuxkit.oci.model import Descriptor
from linuxkit.oci.store import Store
from linuxkit.tree import compress
from linuxkit.tree.compress import ExpansionLimit
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from linuxkit.base.digest import Digest

GZIP = model.OCI_LAYER + "+gzip"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", sync=False)


def a_tar(*entries: str) -> bytes:
    """``path/`` a folder, ``path=text`` a file, ``path>target`` a symlink, ``path+path`` a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry in entries:
            at = next((n for n, c in enumerate(entry) if c in "=>+"), len(entry))
            info = tarfile.TarInfo(entry[:at].rstrip("/"))
            rest = entry[at + 1 :].encode()
            info.type = {"=": b"0", ">": b"2", "+": b"1", "": b"5"}[entry[at : at + 1]]
            if info.type in b"12":
                info.linkname = rest.decode()
            elif info.type == b"0":
                info.size = len(rest)
            archive.addfile(info, io.BytesIO(rest))
    return out.getvalue()


def layer(store: Store, data: bytes, media_type: str = GZIP) -> Descriptor:
    how = next((name for name in ("gzip", "zstd") if media_type.endswith(name)), "none")
    packed = io.BytesIO()
    writer = compress.open_writer(how, None, packed)
    writer.write(data)
    writer.close()
    return Descriptor(media_type, store.put(packed.getvalue()), len(packed.getvalue()))


def listing(
    store: Store, layers: list[Descriptor], diff_ids: list[Digest] | None = None
) -> dict[str, str]:
    with flatten(store, layers, diff_ids or []) as tree:
        return {
            entry.path: (
                b"".join(entry.content.chunks()).decode()
                if entry.kind is Kind.FILE
                else entry.kind + entry.link
            )
            for entry in tree.entries()
        }


CASES: dict[str, tuple[list[list[str]], dict[str, str]]] = {
    "no layers": ([], {}),
    "an empty layer": ([[]], {}),
    "the last wins": ([["a=1", "b=1"], ["a=2"]], {"a": "2", "b": "1"}),
    "a whiteout": ([["d/", "d/a=1", "d/b=1"], ["d/.wh.a="]], {"d": "dir", "d/b": "1"}),
    "an opaque folder": (
        [["d/", "d/lower=1"], ["d/", "d/upper=2", "d/.wh..wh..opq="]],
        {"d": "dir", "d/upper": "2"},
    ),
    "a whiteout hides lower layers only": (
        [["a=1"], [".wh.a=", "a=2"], ["b=3"]],
        {"a": "2", "b": "3"},
    ),
    "a hard link whose target a later layer replaces": (
        [["a=1", "b+a"], ["a=2"]],
        {"a": "2", "b": "1"},
    ),
    "a folder replaced by a file": ([["d/", "d/a=1"], ["d=2"]], {"d": "2"}),
    "a symlink that leads out stays inside": (
        [["x>../../etc"], ["x/passwd=p"]],
        {"x": "symlink../../etc", "etc": "dir", "etc/passwd": "p"},
    ),
}


@pytest.mark.parametrize(("layers", "tree"), CASES.values(), ids=list(CASES))
def test_merges(store: Store, layers: list[list[str]], tree: dict[str, str]) -> None:
    tars = [a_tar(*entries) for entries in layers]
    descriptors = [layer(store, data) for data in tars]
    diff_ids = [digests.of_bytes(data) for data in tars]
    assert listing(store, descriptors, diff_ids) == tree
    assert listing(store, descriptors) == tree


@pytest.mark.parametrize("media_type", sorted(model.LAYERS))
def test_every_kind_of_layer(store: Store, media_type: str) -> None:
    assert listing(store, [layer(store, a_tar("a=1"), media_type)]) == {"a": "1"}


def test_a_repeated_layer_is_unpacked_once(store: Store) -> None:
    data = a_tar(".wh.a=", "b=1")
    again = layer(store, data)
    layers = [again, layer(store, a_tar("a=1")), *[again] * 300]
    before = open_files()
    with flatten(store, layers) as tree:
        assert open_files() == before + 2
        assert [entry.path for entry in tree.entries()] == ["b"]
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left(store: Store) -> None:
    descriptor = layer(store, a_tar("a=" + "x" * 100_000))
    with flatten(store, [descriptor]):
        assert list((store.root / "linuxkit" / "tmp").iterdir()) == []
    with pytest.raises(RuntimeError), flatten(store, [descriptor]):
        raise RuntimeError
    assert sorted(path.name for path in store.root.iterdir()) == [
        ".lock", "blobs", "index.json", "linuxkit", "oci-layout",
    ]  # fmt: skip


def refusal(code: str, work: Callable[[], object], about: Descriptor, says: str = "") -> Error:
    with pytest.raises(Error) as caught:
        work()
    error = caught.value
    assert error.code == code, error
    assert about.digest in error.message
    assert says in error.message
    return error


@pytest.mark.parametrize("place", [0, 5, 40, -1])
def test_a_flipped_bit_is_found(store: Store, place: int) -> None:
    good, bad = layer(store, a_tar("a=1")), layer(store, a_tar("b=" + "2" * 5000))
    path = store.path(bad.digest)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    error = refusal("LK0305", lambda: listing(store, [good, bad]), bad, "damaged")
    assert good.digest not in error.message
    assert error.hint


def test_a_flipped_bit_in_a_plain_layer_is_found(store: Store) -> None:
    bad = layer(store, a_tar("b=2222"), model.OCI_LAYER)
    path = store.path(bad.digest)
    path.write_bytes(path.read_bytes().replace(b"2222", b"2322"))
    refusal("LK0305", lambda: listing(store, [bad]), bad)


def test_a_short_or_missing_layer(store: Store) -> None:
    bad = layer(store, a_tar("b=2"))
    path = store.path(bad.digest)
    path.write_bytes(path.read_bytes()[:-1])
    refusal("LK0304", lambda: listing(store, [bad]), bad)
    path.unlink()
    refusal("LK0303", lambda: listing(store, [bad]), bad)


def test_size_in_the_descriptor_counts(store: Store) -> None:
    bad = layer(store, a_tar("b=2"))
    refusal("LK0304", lambda: listing(store, [bad._replace(size=bad.size + 1)]), bad)


def test_other_contents_than_the_image_says(store: Store) -> None:
    good, bad = layer(store, a_tar("a=1")), layer(store, a_tar("b=2"))
    claimed = [digests.of_bytes(a_tar("a=1")), digests.of_bytes(b"")]
    refusal("LK0307", lambda: listing(store, [good, bad], claimed), bad, claimed[1])
    # the same layer twice, with the second claim false
    refusal("LK0307", lambda: listing(store, [good, good], claimed), good, claimed[1])
    with pytest.raises(Error, match="2 layers, but 1 digests"):
        listing(store, [good, bad], claimed[:1])


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x1f\x8b rubbish", "LK0615"), (b"no archive at all".ljust(512), "LK0602")],
)
def test_refusals_name_the_layer(store: Store, data: bytes, code: str) -> None:
    bad = layer(store, data, model.OCI_LAYER)
    refusal(code, lambda: listing(store, [bad]), bad)


def test_hostile_names_name_the_layer(store: Store) -> None:
    bad = layer(store, a_tar("../../etc/x=1"))
    refusal("LK0601", lambda: listing(store, [bad]), bad, "../../etc/x")


def test_something_else_than_a_layer(store: Store) -> None:
    bad = layer(store, a_tar("a=1"), "application/vnd.in-toto+json")
    refusal("LK0309", lambda: listing(store, [bad]), bad, "in-toto")


def test_expansion_is_limited(store: Store) -> None:
    bad = layer(store, a_tar("a=" + "0" * 5_000_000))

    def work() -> None:
        with flatten(store, [bad], limit=ExpansionLimit(total=1_000_000)):
            pass

    refusal("LK0616", work, bad)
    assert list((store.root / "linuxkit" / "tmp").iterdir()) == []


def test_no_room_for_the_scratch_file(store: Store) -> None:
    bad = layer(store, a_tar("a=" + "0" * 5_000_000))
    child = os.fork()
    if not child:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, -1))
            refusal("LK0102", lambda: listing(store, [bad]), bad, "File too large")
            status = 0
        except BaseException as error:  # noqa: BLE001 - the parent must hear of it
            os.write(2, repr(error).encode())
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_contents_are_read_in_pieces(store: Store) -> None:
    """A large file never lies in memory as a whole."""
    big = layer(store, a_tar("a=" + "x" * 20_000_000))
    with flatten(store, [big]) as tree:
        (entry,) = tree.entries()
        total = hashlib.sha256()
        for chunk in entry.content.chunks():
            assert len(chunk) <= 1 << 20
            total.update(chunk)
    assert total.digest() == hashlib.sha256(b"x" * 20_000_000).digest()
