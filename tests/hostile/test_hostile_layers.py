"""Layers that deceived other programs: each gives its verdict in bounded time and memory."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import threading
import time

import pytest
from backports import zstd

from linuxkit.base.errors import Error
from linuxkit.oci import model
from linuxkit.oci.flatten import flatten
from linuxkit.oci.model import Descriptor
from linuxkit.tree import cpio, dump, tar
from linuxkit.tree.entry import Entry, Kind
from linuxkit.tree.merge import Tree
from support import bombs, cost, hostile
from support.archives import END, block, file, hardlink, member, opened, symlink


def put(store, data, media_type=model.OCI_LAYER):
    return Descriptor(media_type, store.put(data), len(data))


def shown(entry: Entry) -> str:
    """An entry as the verdicts have it: what matters of it and no more."""
    path = "".join(c if c.isprintable() else repr(c)[1:-1] for c in entry.path)
    data = b"".join(entry.content.chunks())
    if entry.kind is Kind.DIR and entry.mode == 0o755:
        return path
    if entry.kind is Kind.SYMLINK:
        return f"{path} -> {entry.link}"
    if entry.kind is Kind.HARDLINK:
        return f"{path} => {entry.link}"
    if entry.kind is Kind.CHAR:
        return f"{path} {entry.major}:{entry.minor}"
    if entry.xattrs:
        return f"{path} {' '.join(entry.xattrs)}"
    return f"{path} = {data.decode()!r}" if data in {b"new", b"old"} else f"{path} {entry.mode:o}"


@pytest.mark.parametrize("case", hostile.LAYERS, ids=lambda case: case.id)
def test_layers(case, store):
    layers = [put(store, data) for data in case.archives()]
    if isinstance(case.verdict, str):
        with pytest.raises(Error) as caught, flatten(store, layers):
            pass
        assert caught.value.code == case.verdict, caught.value
        assert caught.value.message.isprintable()
        assert any(layer.digest in caught.value.message for layer in layers)
    else:
        with flatten(store, layers) as tree:
            assert tuple(shown(entry) for entry in tree.entries()) == case.verdict
            assert dump.dump(tree.entries()).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "case", [c for c in hostile.LAYERS if len(c.layers) == 1], ids=lambda case: case.id
)
def test_gnu_tar_sees_the_same_names(case, tmp_path, need):
    """Nothing that we take is read as something else by others (cases 2 to 12)."""
    need("tar")
    (data,) = case.archives()
    try:
        with opened(data) as handle:
            ours = [os.fsencode(e.path) + b"\n" for e in tar.read(handle)]
    except Error:
        return
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    done = subprocess.run(
        ["tar", "-tPf", path, "--quoting-style=literal", "--show-transformed-names"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.replace(b"/\n", b"\n") == b"".join(ours)


def test_case_15_nothing_to_swap_while_layers_are_unpacked(store, tmp_path):
    """A folder that is exchanged for a link while an unpacker works in it."""
    layer = put(store, b"".join(member(b"d/f%d" % n, b"x" * 2000) for n in range(3000)) + END)
    victim = tmp_path / "victim"
    victim.mkdir()
    stop = threading.Event()

    def swap() -> None:
        """Put a link in the place of everything that appears in the store."""
        while not stop.is_set():
            for folder, _, names in os.walk(store.root / "linuxkit"):
                for name in names:
                    path = os.path.join(folder, name)
                    with contextlib.suppress(OSError):
                        os.rename(path, path + ".gone")
                        os.symlink(victim, path)

    (store.root / "linuxkit" / "tmp").mkdir(parents=True, exist_ok=True)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        with flatten(store, [layer]) as tree:
            assert len(tree) == 3001
            assert all(b"".join(e.content.chunks()) == b"x" * 2000 for e in tree.entries() if e.kind is Kind.FILE)
            stop.set()
            thread.join()  # it has folders of the store open
            for name in os.listdir("/proc/self/fd"):
                with contextlib.suppress(FileNotFoundError):  # the listing's own
                    if "/linuxkit/tmp" in os.readlink(f"/proc/self/fd/{name}"):
                        assert os.stat(f"/proc/self/fd/{name}").st_nlink == 0
    finally:
        stop.set()
        thread.join()
    assert os.listdir(victim) == []


BOMBS = {
    "case-18 gzip": (bombs.gzip_bomb, "+gzip", "LK0616"),
    "case-18 zstd": (bombs.zstd_bomb, "+zstd", "LK0616"),
    "case-18 xz": (bombs.xz_bomb, "+gzip", "LK0616"),
    "trick attributes": (bombs.attribute_bomb, "+gzip", "LK0605"),
    "trick names": (bombs.name_bomb, "+gzip", "LK0605"),
}
REFUSE = """
import sys
from pathlib import Path
from linuxkit.base.errors import Error
from linuxkit.oci.flatten import flatten
from linuxkit.oci.model import Descriptor
from linuxkit.oci.store import Store
root, media_type, digest, size = sys.argv[1:]
try:
    with flatten(Store(Path(root)), [Descriptor(media_type, digest, int(size))]) as tree:
        print(len(tree))
except Error as error:
    print(error.code)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name, store):
    """What is small on the way in and large in memory or on disk."""
    make, suffix, code = BOMBS[name]
    layer = put(store, make(), model.OCI_LAYER + suffix)
    peak, seconds, said = cost.measured(REFUSE, str(store.root), *map(str, layer[:3]))
    assert said == code
    assert peak < cost.MEMORY_KIB
    assert seconds < cost.SECONDS


PACKED = {
    # one stream of two members is one archive, for gzip and zstd alike
    "two gzip members": ("+gzip", lambda tar: gzip.compress(tar[:700]) + gzip.compress(tar[700:]), None),
    "two zstd frames": ("+zstd", lambda tar: zstd.compress(tar[:700]) + zstd.compress(tar[700:]), None),
    "skippable zstd frame": ("+zstd", lambda tar: SKIPPABLE + zstd.compress(tar) + SKIPPABLE, None),
    "another compression than announced": ("+zstd", gzip.compress, None),
    "checksum": ("+gzip", lambda tar: gzip.compress(tar)[:-8] + bytes(8), "LK0615"),
    "length": ("+gzip", lambda tar: gzip.compress(tar)[:-4] + bytes(4), "LK0615"),
    "cut short": ("+gzip", lambda tar: gzip.compress(tar)[:-9], "LK0615"),
    "garbage behind": ("+gzip", lambda tar: gzip.compress(tar) + b"garbage", "LK0615"),
    "zeros behind": ("+gzip", lambda tar: gzip.compress(tar) + bytes(512), "LK0615"),
    "garbage behind zstd": ("+zstd", lambda tar: zstd.compress(tar) + b"garbage", "LK0615"),
    "packed twice": ("+gzip", lambda tar: gzip.compress(gzip.compress(tar)), "LK0602"),
    "window of 2 GiB": ("+zstd", lambda _: WIDE, "LK0615"),
}
SKIPPABLE = b"\x50\x2a\x4d\x18" + (1000).to_bytes(4, "little") + b"x" * 1000
WIDE = b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00"  # windowLog 31, an empty last block


@pytest.mark.parametrize("name", PACKED)
def test_compression(name, store):
    """What differs between readers of compressed data (tricks of no number)."""
    suffix, pack, code = PACKED[name]
    layer = put(store, pack(member(b"f", b"x" * 600) + END), model.OCI_LAYER + suffix)
    if code is None:
        with flatten(store, [layer]) as tree:
            assert [e.path for e in tree.entries()] == ["f"]
    else:
        with pytest.raises(Error) as caught, flatten(store, [layer]):
            pass
        assert caught.value.code == code


def test_expansion_is_limited_in_all(store):
    """A bomb that keeps to the ratio meets the limit in bytes (case 18)."""
    from linuxkit.tree.compress import ExpansionLimit

    data = b"".join(member(b"f%d" % n, b"x" * 512) for n in range(100)) + END
    layer = put(store, data)
    with flatten(store, [layer], limit=ExpansionLimit(total=len(data))):
        pass
    with pytest.raises(Error) as caught, flatten(store, [layer], limit=ExpansionLimit(total=len(data) - 1)):
        pass
    assert caught.value.code == "LK0616"


def test_case_27_whiteouts_take_linear_time(store):
    """Whole folders are walked again for every mark in them."""

    def seconds(count: int) -> float:
        layers = [put(store, data + END) for data in hostile.whiteouts(count)]
        started = time.process_time()
        with flatten(store, layers) as tree:
            assert {e.kind for e in tree.entries()} == {Kind.DIR}
        return time.process_time() - started

    seconds(1000)
    small = min(seconds(2000) for _ in range(3))
    assert seconds(20_000) < 10 * small * 2


def newc(name: bytes = b"f", **fields: int) -> bytes:
    """One cpio member whose numbers may lie, and the end mark."""

    def written(name: bytes, **fields: int) -> bytes:
        values = dict.fromkeys(
            ("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize", "major", "minor", "rmajor",
             "rminor", "namesize", "check"), 0,
        )  # fmt: skip
        values |= {"nlink": 1, "namesize": len(name) + 1, **fields}
        head = b"070701" + b"".join(b"%08X" % value for value in values.values()) + name + b"\0"
        return head + bytes(-len(head) % 4)

    return written(name, **{"mode": 0o100644, **fields}) + written(b"TRAILER!!!")


CPIO_READ = {
    "size beyond the end": (newc(filesize=0xFFFFFFFF), "LK0612"),
    "name beyond the end": (newc(namesize=0xFFFFFFFF), "LK0612"),
    "name of size 0": (newc(namesize=0), "LK0612"),
    "a name longer than it is": (newc(namesize=5), "LK0612"),
    "size of a device": (newc(mode=0o020644, filesize=4), "LK0612"),
    "no kind": (newc(mode=0o644), "LK0612"),
    "climbing name": (newc(name=b"../f"), "LK0601"),
    "absolute name": (newc(name=b"/f"), "LK0601"),
    "root is a link": (newc(name=b".", mode=0o120777), "LK0601"),
    "cut short": (newc()[:120], "LK0612"),
    "no digits": (newc().replace(b"00000002", b"+0000002", 1), "LK0612"),
}


@pytest.mark.parametrize("name", CPIO_READ)
def test_case_43_cpio_read(name):
    """Names and sizes that overflow a reader of cpio archives."""
    data, code = CPIO_READ[name]
    with opened(data) as handle, pytest.raises(Error) as caught:
        list(cpio.read(handle))
    assert caught.value.code == code, caught.value


class Huge:
    """A content that only says how large it is."""

    size = 1 << 32

    def chunks(self):
        raise AssertionError("nothing of it may be written")


class Nowhere:
    def write(self, data):
        return len(data)


CPIO_WRITE = {
    "4 GiB": [Entry("f", Kind.FILE, content=Huge())],
    "long name": [file("/".join(["x" * 200] * 20 + ["y" * 76]))],
    "end mark": [file("TRAILER!!!")],
    "end mark as a link": [file("a"), hardlink("TRAILER!!!", "a")],
    "owner": [file("f", uid=1 << 32)],
    "time": [file("f", mtime=1 << 32)],
    "negative time": [file("f", mtime=-1)],
    "device": [Entry("f", Kind.CHAR, major=1 << 32)],
    "long target": [symlink("l", "x" * 4096)],
}


@pytest.mark.parametrize("name", CPIO_WRITE)
def test_case_43_cpio_write(name):
    """A writer of cpio archives that cuts what does not fit."""
    with pytest.raises(Error) as caught:
        cpio.write(CPIO_WRITE[name], Nowhere())
    assert caught.value.code == "LK0611"


def test_case_43_inodes_do_not_wrap(monkeypatch):
    """Two files with one number would become one file."""
    monkeypatch.setattr(cpio, "_FIRST_INODE", (1 << 32) - 2)
    cpio.write([file("a"), file("b")], Nowhere())
    with pytest.raises(Error) as caught:
        cpio.write([file("a"), file("b"), file("c")], Nowhere())
    assert caught.value.code == "LK0611"


def test_metadata_text_of_a_tree_is_limited():
    tree = Tree(text=1000)
    tree.add(file("a" * 100, xattrs={"user.x": b"v" * 800}))
    with pytest.raises(Error) as caught:
        tree.add(file("b" * 100))
    assert caught.value.code == "LK0605"
    tree = Tree(text=1000)
    for _ in range(10):  # what was replaced or removed does not count
        tree.add(file("d/" + "a" * 200, xattrs={"user.x": b"v" * 300}))
        tree.add(Entry("d", Kind.DIR, 0o755, xattrs={"user.x": b"v" * 300}))
        tree.remove("d")
    assert len(tree) == 0


def test_unpacked_blocks_are_counted_by_entry():
    """Every name of a bare archive costs time and memory: they are counted too."""
    with pytest.raises(Error) as caught, opened(block() * 11 + END) as handle:
        list(tar.read(handle, limits=tar.Limits(entries=10)))
    assert caught.value.code == "LK0605"
