"""What the tar writer writes, in the eyes of its own reader, GNU tar and Python."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice
from support.archives import file, folder, hardlink, plain, read_tar, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = [
    folder("etc"),
    file("etc/hosts", b"127.0.0.1 localhost\n", mtime=1_492_533_000),
    file("etc/empty", mode=0o600, uid=1, gid=2),
    folder("etc/" + "d" * 200, mode=0o1777),
    file("etc/" + "d" * 200 + "/" + "f" * 120, b"x" * 1000),
    symlink("etc/link", "../usr/share/" + "t" * 120),
    symlink("etc/short", "hosts"),
    hardlink("etc/same", "etc/hosts"),
    hardlink("etc/deep", "etc/" + "d" * 200 + "/" + "f" * 120),
    Entry("dev-null", Kind.CHAR, 0o666, major=1, minor=3),
    Entry("dev-sda", Kind.BLOCK, 0o660, major=8, minor=0),
    Entry("fifo", Kind.FIFO, 0o644),
    file("näme\nwith\ttabs", b"\0" * 512, mode=0o4755),
    file("b\udcffd"),
    file("big-owner", uid=3_000_000, gid=2**32 - 2, mtime=2**33),
    file("capable", b"#!", xattrs={"security.capability": b"\1\0\n=", "user.b": b""}),
]


def written(entries, pax=None) -> bytes:
    out = io.BytesIO()
    tar.write(entries, out, **({"pax": pax} if pax else {}))
    return out.getvalue()


def test_round_trip():
    assert plain(read_tar(written(TREE))) == plain(TREE)


def test_round_trip_with_records():
    more = {"LINUXKIT.source": "docker.io/x/y:z", "LINUXKIT.location": "init[0]"}
    assert plain(read_tar(written(TREE, more))) == plain(TREE)


def test_bytes_are_fixed():
    assert digests.of_bytes(written(TREE)) == (
        "sha256:7e69c2d389032d0eb90301d8ab9301331df0fe90e0610fd43de61162523bea64"
    )
    assert digests.of_bytes(written(TREE, {"b": "2", "a": "1"})) == (
        "sha256:888ab8cab2f643ab638043875192cb486992cb925916078afa6c79e9316da806"
    )


def test_plain_header():
    entry = file("a/b", b"hi", mode=0o640, uid=5, gid=6, mtime=1_492_533_000)
    data = written([entry])
    assert len(data) == 512 + 512 + 1024
    fields = [
        data[0:100].rstrip(b"\0"), data[100:108], data[108:116], data[116:124], data[124:136],
        data[136:148], data[156:157], data[257:265], data[265:329], data[329:345], data[345:512],
    ]  # fmt: skip
    assert fields == [
        b"a/b", b"0000640\0", b"0000005\0", b"0000006\0", b"00000000002\0", b"%011o\0" % 1_492_533_000, b"0",
        b"ustar\x0000", bytes(64), b"0000000\x000000000\0", bytes(167),
    ]  # fmt: skip
    assert data[148:156] == b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 256)
    assert data[512:1024] == b"hi" + bytes(510)


def test_extended_header_is_written_only_when_needed():
    assert len(written([file("x" * 100)])) == 512 + 1024
    assert len(written([file("x" * 101)])) == 3 * 512 + 1024
    assert len(written([file("x", uid=0o7777777, mtime=0o77777777777)])) == 512 + 1024
    assert len(written([file("x", uid=0o7777777 + 1)])) == 3 * 512 + 1024
    assert len(written([file("x", mtime=0o77777777777 + 1)])) == 3 * 512 + 1024
    assert len(written([symlink("x", "y" * 101)])) == 3 * 512 + 1024


def test_records_are_sorted_and_measured():
    data = written([file("x" * 101)], {"z": "1", "a": "ä", "n": "v" * 91, "m": "v" * 92})
    body = data[512:1024].rstrip(b"\0")
    assert data[156:157] == b"x"
    assert data[:12] == b"PaxHeaders.0"
    assert body == (
        b"7 a=\xc3\xa4\n"
         b"98 m=" + b"v" * 92 + b"\n"
        + b"97 n=" + b"v" * 91 + b"\n"
        + b"111 path=" + b"x" * 101 + b"\n"
        + b"6 z=1\n"
    )  # fmt: skip


@pytest.mark.parametrize("size", range(85, 105))
def test_record_lengths_around_a_new_digit(size):
    data = written([file("x")], {"k": "v" * size})
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.next().pax_headers == {"k": "v" * size}


def test_records_may_change_from_entry_to_entry():
    out = io.BytesIO()
    writer = tar.Writer(out)
    changing = {"k": "1"}
    writer.add(file("a"), changing)
    changing["k"] = "2"
    writer.add(file("b"), changing)
    writer.add(file("c"))
    writer.add(file("d" * 101), {"path": "evil", "k": "3"})
    writer.close()
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        got = list(archive)
    assert [(e.name, e.pax_headers.get("k")) for e in got] == [
        ("a", "1"), ("b", "2"), ("c", None), ("d" * 101, "3"),
    ]  # fmt: skip


class Sparse:
    """Nine gibibytes that nobody has to hold."""

    size = 9 << 30

    def chunks(self) -> Iterator[bytes]:
        zeros = bytes(1 << 24)
        for _ in range(self.size // len(zeros)):
            yield zeros


class Counting:
    def __init__(self) -> None:
        self.size = 0
        self.head = b""

    def write(self, data: bytes) -> int:
        if self.size < 4096:
            self.head += data
        self.size += len(data)
        return len(data)


def test_more_than_eight_gibibytes():
    out = Counting()
    tar.Writer(out).add(Entry("big", Kind.FILE, content=Sparse()))
    assert out.size == 3 * 512 + (9 << 30)
    assert out.head[512:1024].rstrip(b"\0") == b"19 size=9663676416\n"
    assert out.head[1024 + 124 : 1024 + 136] == b"00000000000\0"


class Wrong:
    def __init__(self, size: int, *chunks: bytes) -> None:
        self.size = size
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        yield from self._chunks


@pytest.mark.parametrize("size", [0, 1, 4, 6, 511, 512, 513])
def test_content_of_another_size(size, tmp_path):
    contents = [Wrong(size, b"hel", b"lo")] if size else []
    path = tmp_path / "f"
    path.write_bytes(b"hello")
    with path.open("rb") as shrunk:
        if size > 5:
            contents.append(Slice(shrunk.fileno(), 0, size))
        for content in contents:
            with pytest.raises(Error) as caught:
                written([Entry("x", Kind.FILE, content=content)])
            assert caught.value.code == "LK0610"


@pytest.mark.parametrize("path", ["../x", "/x", "", "a/../b", "a\0b", "a/", "./a", "a//b"])
def test_paths_are_checked_again(path):
    with pytest.raises(Error) as caught:
        written([file(path)])
    assert caught.value.code == "LK0601"


@pytest.mark.parametrize(
    "entry",
    [
        file("x", xattrs={"user.a=b": b""}),
        file("x", xattrs={"user.a\0b": b""}),
        file("x", xattrs={"": b""}),
        file("x", mtime=-1),
        file("x", uid=-1),
        Entry("x", Kind.CHAR, major=0o7777777 + 1),
    ],
)
def test_what_does_not_fit(entry):
    with pytest.raises(Error) as caught:
        written([entry])
    assert caught.value.code == "LK0617"


def test_no_reader_sees_the_name_of_a_cut_header_climb():
    for length in range(90, 110):
        name = "x" * length + "/..yy" + "z" * 20
        data = written([file(name)])
        cut = data[1024:1124].rstrip(b"\0")
        assert b".." not in cut.split(b"/")


def gnu_tar(*args: str, data: bytes) -> list[str]:
    done = subprocess.run(
        ["tar", *args],
        input=data,
        capture_output=True,
        check=True,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    assert done.stderr == b""
    return done.stdout.decode("utf-8", "surrogateescape").splitlines()


TYPES = {
    Kind.FILE: "-", Kind.DIR: "d", Kind.SYMLINK: "l", Kind.HARDLINK: "h", Kind.CHAR: "c",
    Kind.BLOCK: "b", Kind.FIFO: "p",
}  # fmt: skip


def listed(entry: Entry) -> tuple[str, ...]:
    size = str(entry.content.size)
    if entry.kind in {Kind.CHAR, Kind.BLOCK}:
        size = f"{entry.major},{entry.minor}"
    name = entry.path
    if entry.kind is Kind.SYMLINK:
        name += f" -> {entry.link}"
    elif entry.kind is Kind.HARDLINK:
        name += f" link to {entry.link}"
    return TYPES[entry.kind], f"{entry.uid}/{entry.gid}", size, name


def test_gnu_tar_lists_the_same():
    entries = [e for e in TREE if e.path.isascii() and e.path.isprintable()]
    assert len(entries) == len(TREE) - 2
    lines = gnu_tar("--numeric-owner", "-tvf", "-", data=written(entries))
    got = []
    for line in lines:
        mode, owner, size, _date, _time, name = line.split(maxsplit=5)
        got.append((mode[0], owner, size, name))
    assert got == [listed(entry) for entry in entries]


def test_gnu_tar_extracts_the_same(tmp_path):
    entries = [e for e in TREE if e.kind not in {Kind.CHAR, Kind.BLOCK}]
    data = written(entries, {"LINUXKIT.source": "x"})
    done = subprocess.run(
        ["tar", "-xpf", "-", "--no-same-owner", "--warning=no-unknown-keyword",
         "--warning=no-timestamp", "-C", str(tmp_path)],
        input=data, capture_output=True, check=True, env={"LC_ALL": "C"},
    )  # fmt: skip
    assert done.stderr == b""
    for entry in entries:
        place = tmp_path / entry.path
        if entry.kind is Kind.SYMLINK:
            assert place.readlink().as_posix() == entry.link
        elif entry.kind is Kind.DIR:
            assert place.is_dir()
        elif entry.kind is Kind.HARDLINK:
            assert place.samefile(tmp_path / entry.link)
        elif entry.kind is Kind.FILE:
            assert place.read_bytes() == b"".join(entry.content.chunks())
            assert place.stat().st_mode & 0o7777 == entry.mode
            assert place.stat().st_mtime == entry.mtime


def test_python_reads_the_same():
    with tarfile.open(fileobj=io.BytesIO(written(TREE))) as archive:
        for info, entry in zip(archive, TREE, strict=True):
            assert info.name == entry.path
            assert (info.mode, info.uid, info.gid, info.mtime) == (
                entry.mode, entry.uid, entry.gid, entry.mtime,
            )  # fmt: skip
            assert info.linkname == entry.link
            assert (info.devmajor, info.devminor) == (entry.major, entry.minor)
            assert (info.uname, info.gname) == ("", "")
            if entry.kind is Kind.FILE:
                assert archive.extractfile(info).read() == b"".join(entry.content.chunks())


def test_entries_of_every_kind_can_follow_one_another_unpadded():
    """Segments are written without an end and joined: each add leaves a multiple of 512."""
    out = io.BytesIO()
    writer = tar.Writer(out)
    for entry in TREE:
        writer.add(entry)
        assert out.tell() % 512 == 0
    joined = out.getvalue() + written([Entry("last", Kind.FILE, content=Bytes(b"!"))])
    assert [e.path for e in read_tar(joined)] == [*(e.path for e in TREE), "last"]
