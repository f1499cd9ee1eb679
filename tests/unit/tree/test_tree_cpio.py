"""newc archives: bytes, hard links, foreign readers, and what the format cannot hold."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.tree import cpio
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.archives import file, folder, hardlink, kept, opened, plain, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = [
    folder("bin", mtime=1_492_533_000),
    file("bin/busybox", b"\x7fELF" + b"x" * 101, mode=0o4755, mtime=2**32 - 1),
    hardlink("bin/cat", "bin/busybox"),
    hardlink("bin/sh", "bin/cat"),
    symlink("bin/vi", "../usr/bin/vim"),
    folder("dev", mode=0o1777),
    Entry("dev/null", Kind.CHAR, 0o666, major=1, minor=3),
    Entry("dev/sda", Kind.BLOCK, 0o660, gid=6, major=8, minor=16),
    Entry("dev/log", Kind.FIFO, 0o600, uid=2**32 - 2),
    file("empty"),
    file("näme\n", b"abc"),
    file("b\udcffd", b"abcd"),
]


def written(entries) -> bytes:
    out = io.BytesIO()
    result = cpio.write(entries, out)
    assert result.written == len(out.getvalue())
    assert result.written % 512 == 0
    return out.getvalue()


def read(data: bytes) -> list[Entry]:
    with opened(data) as handle:
        return [kept(entry) for entry in cpio.read(handle)]


class Member:
    """A member of an archive, taken apart as the kernel does (init/initramfs.c)."""

    def __init__(self, data: bytes, at: int) -> None:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        self.ino, self.mode, self.uid, self.gid, self.nlink, self.mtime, self.size = fields[:7]
        self.device, self.rdev, name_size, self.check = fields[7:9], fields[9:11], *fields[11:]
        name_at = at + 110
        self.name = data[name_at : name_at + name_size - 1].decode("utf-8", "surrogateescape")
        assert data[name_at + name_size - 1] == 0
        body = (name_at + name_size + 3) & ~3
        self.body = data[body : body + self.size]
        self.next = (body + self.size + 3) & ~3


def members(data: bytes) -> list[Member]:
    found, at = [], 0
    while True:
        found.append(Member(data, at))
        at = found[-1].next
        if found[-1].name == "TRAILER!!!":
            assert data[at:] == bytes(-at % 512)
            return found


def test_fields():
    got = [
        (m.name, m.ino, m.mode, m.nlink, m.size, m.rdev, m.device, m.check)
        for m in members(written(TREE))
    ]
    assert got == [
        ("bin", 721, 0o40755, 2, 0, [0, 0], [3, 1], 0),
        ("bin/busybox", 722, 0o104755, 3, 105, [0, 0], [3, 1], 0),
        ("bin/cat", 722, 0o104755, 3, 0, [0, 0], [3, 1], 0),
        ("bin/sh", 722, 0o104755, 3, 0, [0, 0], [3, 1], 0),
        ("bin/vi", 723, 0o120777, 1, 14, [0, 0], [3, 1], 0),
        ("dev", 724, 0o41777, 2, 0, [0, 0], [3, 1], 0),
        ("dev/null", 725, 0o20666, 1, 0, [1, 3], [3, 1], 0),
        ("dev/sda", 726, 0o60660, 1, 0, [8, 16], [3, 1], 0),
        ("dev/log", 727, 0o10600, 1, 0, [0, 0], [3, 1], 0),
        ("empty", 728, 0o100644, 1, 0, [0, 0], [3, 1], 0),
        ("näme\n", 729, 0o100644, 1, 3, [0, 0], [3, 1], 0),
        ("b\udcffd", 730, 0o100644, 1, 4, [0, 0], [3, 1], 0),
        ("TRAILER!!!", 0, 0, 1, 0, [0, 0], [0, 0], 0),
    ]


def test_bytes_are_fixed():
    assert digests.of_bytes(written(TREE)) == (
        "sha256:c919447678b51dbf078a66c29d9148bc81c40bf28e38a3efc1f2a4e6366195e3"
    )


def test_empty_archive():
    (trailer,) = members(written([]))
    assert trailer.name == "TRAILER!!!"
    assert read(written([])) == []


def test_round_trip():
    expected = [e for e in TREE if e.kind is not Kind.HARDLINK]
    got = read(written(TREE))
    assert plain(e for e in got if e.kind is not Kind.HARDLINK) == plain(expected)
    links = [(e.path, e.link, e.mode) for e in got if e.kind is Kind.HARDLINK]
    assert links == [("bin/cat", "bin/busybox", 0o4755), ("bin/sh", "bin/busybox", 0o4755)]


def test_several_archives():
    one, two = written(TREE), written([file("a", b"1"), hardlink("b", "a")])
    got = read(one + two + bytes(8) + two)
    assert [e.path for e in got] == [*(e.path for e in TREE), "a", "b", "a", "b"]
    # Inodes start afresh, and so do links.
    assert [e.link for e in got[-4:]] == ["", "a", "", "a"]


def test_all_names_of_an_object_have_its_metadata():
    data = written(
        [
            file("a", b"data", mode=0o600, uid=7, gid=8, mtime=9),
            Entry("b", Kind.HARDLINK, 0o777, 1, 2, 3, link="a"),
        ]
    )
    first, second, _ = members(data)
    for name in ("mode", "uid", "gid", "mtime", "ino", "nlink"):
        assert getattr(first, name) == getattr(second, name)


def test_hard_links_to_other_kinds():
    data = written([
        symlink("s", "t"), hardlink("s2", "s"),
        Entry("p", Kind.FIFO), hardlink("p2", "p"),
        Entry("c", Kind.CHAR, major=5, minor=1), hardlink("c2", "c"),
    ])  # fmt: skip
    got = [(m.name, m.ino, m.nlink, m.body, m.rdev) for m in members(data)[:-1]]
    assert got == [
        # The kernel has no hard links to symbolic links: they are written apart.
        ("s", 721, 1, b"t", [0, 0]), ("s2", 722, 1, b"t", [0, 0]),
        ("p", 723, 2, b"", [0, 0]), ("p2", 723, 2, b"", [0, 0]),
        ("c", 724, 2, b"", [5, 1]), ("c2", 724, 2, b"", [5, 1]),
    ]  # fmt: skip


def test_a_name_that_comes_again_leaves_other_names_alone():
    data = written([
        folder("d", mode=0o700), file("d/a", b"old"), hardlink("d/b", "d/a"), file("d/a", b"new"),
        hardlink("d/c", "d/a"), folder("d", mode=0o755),
    ])  # fmt: skip
    got = [(m.name, m.mode & 0o777, m.nlink, m.body) for m in members(data)[:-1]]
    assert got == [
        ("d", 0o755, 2, b""), ("d/b", 0o644, 1, b"old"), ("d/a", 0o644, 2, b"new"),
        ("d/c", 0o644, 2, b""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "entries",
    [
        [hardlink("a", "b")],
        [hardlink("a", "b"), file("b")],
        [folder("d"), hardlink("a", "d")],
        [file("a"), hardlink("a", "a")],
    ],
)
def test_hard_links_without_target(entries):
    with pytest.raises(Error) as caught:
        written(entries)
    assert caught.value.code == "LK0608"


def test_xattrs_are_counted():
    capable = file("a", xattrs={"security.capability": b"\1", "user.x": b""})
    assert cpio.write([capable, hardlink("b", "a"), file("c")], io.BytesIO()).dropped_xattrs == 2


class Huge:
    def __init__(self, size: int) -> None:
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        zeros = bytes(1 << 24)
        left = self.size
        while left:
            yield zeros[:left]
            left -= min(left, len(zeros))


class Counting:
    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)


@pytest.mark.parametrize(
    "entry",
    [
        file("TRAILER!!!"),
        folder("TRAILER!!!"),
        Entry("x", Kind.FILE, content=Huge(1 << 32)),
        file("x", mtime=1 << 32),
        file("x", mtime=-1),
        file("x", uid=1 << 32),
        Entry("x", Kind.CHAR, major=1 << 32),
        file("/".join(["x" * 255] * 16)),  # 4095 bytes and a NUL fit, 4096 do not
        symlink("x", "y" * 4096),
    ],
    ids=["trailer", "trailer dir", "size", "time", "before 1970", "uid", "device", "name", "link"],
)
def test_what_does_not_fit(entry):
    """CVE-2021-38185 and its like: an error, never a wrapped number or a cut name."""
    if entry.path.startswith("xx"):
        assert len(members(written([entry]))) == 2
        entry = file(entry.path + "x")
    with pytest.raises(Error) as caught:
        cpio.write([entry], Counting())
    assert caught.value.code == "LK0611"


def test_the_largest_that_fits():
    out = Counting()
    size = (1 << 32) - 1
    cpio.write([Entry("x", Kind.FILE, mtime=size, uid=size, content=Huge(size))], out)
    assert out.size > size
    assert [m.name for m in members(written([file("a/TRAILER!!!"), symlink("l", "y" * 4095)]))]


def test_content_of_another_size():
    class Wrong(Huge):
        def chunks(self) -> Iterator[bytes]:
            yield bytes(self.size + 1)

    with pytest.raises(Error) as caught:
        written([Entry("x", Kind.FILE, content=Wrong(5))])
    assert caught.value.code == "LK0610"


ONE = written([file("a", b"hello")])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"x" * 512, "LK0612"),
        (b"070707" + ONE[6:], "LK0612"),
        (b"070702" + ONE[6:], "LK0612"),
        (ONE[:100], "LK0612"),
        (ONE[:114], "LK0612"),
        (ONE[:120], "LK0612"),  # without the end mark
        (ONE[:6] + b"0x0002D1" + ONE[14:], "LK0612"),
        (ONE[:6] + b" 00002D1" + ONE[14:], "LK0612"),
        (ONE[:54] + b"FFFFFFFF" + ONE[62:], "LK0612"),  # size
        (ONE[:94] + b"00000000" + ONE[102:], "LK0612"),  # name size
        (ONE[:94] + b"00000001" + ONE[102:], "LK0612"),
        (ONE[:94] + b"00000003" + ONE[102:], "LK0612"),
        (ONE[:94] + b"00001001" + ONE[102:], "LK0612"),
        (ONE[:102] + b"00000001" + ONE[110:], "LK0612"),  # check sum, which this format lacks
        (ONE[:14] + b"0000C1A4" + ONE[22:], "LK0612"),  # a socket
        (ONE[:14] + b"000041ED" + ONE[22:], "LK0612"),  # a directory with content
        (ONE[:110] + b"\0" + ONE[111:], "LK0612"),
        (ONE[:110] + b"/" + ONE[111:], "LK0601"),
        (ONE[:110] + b"." + ONE[111:], "LK0601"),
        (ONE + b"garbage!", "LK0612"),
        (written([file("..")]), "LK0601"),
        (written([file("/x")]), "LK0601"),
        (written([symlink("x", "a\0b")]), "LK0601"),
    ],
)
def test_reader_is_strict(data, code):
    with pytest.raises(Error) as caught:
        read(data)
    assert caught.value.code == code
    assert "cpio member at byte" in caught.value.message or "no end mark" in caught.value.message


def test_reader_refuses_content_at_a_second_name():
    data = written([file("a", b"1234"), hardlink("b", "a")])
    at = data.index(b"070701", 6)
    changed = data[: at + 54] + b"00000004" + data[at + 62 : at + 112] + b"5678" + data[at + 112 :]
    with pytest.raises(Error) as caught:
        read(changed)
    assert caught.value.code == "LK0612"


def test_root_directory_is_skipped():
    data = written([folder("d"), file("e")]).replace(b"d\0", b".\0", 1)
    assert [e.path for e in read(data)] == ["e"]


def gnu_cpio(*args: str, data: bytes, cwd=None) -> list[str]:
    done = subprocess.run(
        ["cpio", "--quiet", *args], input=data, capture_output=True, check=True, cwd=cwd,
        env={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )  # fmt: skip
    assert done.stderr == b""
    return done.stdout.decode("utf-8", "surrogateescape").splitlines()


def test_gnu_cpio_lists_the_same():
    entries = [e for e in TREE if "\n" not in e.path]
    assert gnu_cpio("-it", data=written(entries)) == [e.path for e in entries]
    got = {}
    for line in gnu_cpio("-itv", "--numeric-uid-gid", data=written(entries)):
        mode, links, uid, gid, *_, name = line.split(" -> ")[0].split()
        got[name] = (mode, int(links), int(uid), int(gid))
    assert got["bin/sh"] == ("-rwsr-xr-x", 3, 0, 0)
    assert got["bin"] == ("drwxr-xr-x", 2, 0, 0)
    assert got["dev/sda"][:2] == ("brw-rw----", 1)
    assert got["dev/log"] == ("prw-------", 1, 2**32 - 2, 0)


def test_gnu_cpio_extracts_the_same(tmp_path):
    entries = [e for e in TREE if not e.path.startswith("dev/")]
    gnu_cpio("-idm", "--no-preserve-owner", data=written(entries), cwd=tmp_path)
    for entry in entries:
        place = tmp_path / entry.path
        if entry.kind is Kind.SYMLINK:
            assert place.readlink().as_posix() == entry.link
        elif entry.kind is Kind.HARDLINK:
            assert place.samefile(tmp_path / "bin/busybox")
            assert place.stat().st_nlink == 3
        elif entry.kind is Kind.FILE:
            assert place.read_bytes() == b"".join(entry.content.chunks())
        else:
            assert place.is_dir()


def test_we_read_what_gnu_cpio_writes(tmp_path):
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d/f").write_bytes(b"hello")
    (tmp_path / "l").symlink_to("d/f")
    names = b"d\0d/f\0l\0"
    done = subprocess.run(
        ["cpio", "--quiet", "-o", "-0", "-H", "newc"], input=names, capture_output=True, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    got = [(e.path, e.kind.value, e.link, e.content.size) for e in read(done.stdout)]
    assert got == [("d", "dir", "", 0), ("d/f", "file", "", 5), ("l", "symlink", "d/f", 0)]


def test_entries_may_come_from_anywhere():
    assert written(iter(TREE)) == written(TREE)
    assert written([Entry("x", Kind.FILE, content=Bytes(b"1"))]).count(b"x\0") == 1
