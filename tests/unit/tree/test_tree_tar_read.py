"""What the tar reader accepts, and that it understands it right; hostile ones are elsewhere."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from linuxkit.base.errors import Error
from linuxkit.tree import tar
from linuxkit.tree.entry import Entry, Kind
from support.archives import (
    END,
    base256,
    block,
    long_name,
    member,
    opened,
    pax,
    plain,
    read_tar,
)

V7 = bytes(8)
GNU = b"ustar  \0"


def only(data: bytes) -> Entry:
    (entry,) = read_tar(data)
    return entry


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar\0\0\0", GNU, V7])
def test_formats(magic):
    entry = only(member(b"a/b", b"hello", magic=magic) + END)
    assert plain([entry]) == [("a/b", "file", 0o644, 0, 0, 0, b"hello", "", 0, 0, {})]


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (b"0", Kind.FILE),
        (b"\0", Kind.FILE),
        (b"7", Kind.FILE),
        (b"5", Kind.DIR),
        (b"6", Kind.FIFO),
    ],
)
def test_kinds(flag, kind):
    assert only(block(b"x", flag) + END).kind is kind


def test_links():
    data = block(b"s", b"2", link=b"../../any thing") + block(b"h", b"1", link=b"./a//b") + END
    assert [(e.kind, e.link) for e in read_tar(data)] == [
        (Kind.SYMLINK, "../../any thing"),
        (Kind.HARDLINK, "a/b"),
    ]


def test_devices_have_numbers_and_nothing_else_has():
    numbers = {"major": b"0000010\0", "minor": b"0000203\0"}
    data = block(b"c", b"3", **numbers) + block(b"b", b"4", **numbers) + block(b"f", **numbers)
    assert [(e.kind, e.major, e.minor) for e in read_tar(data + END)] == [
        (Kind.CHAR, 8, 131),
        (Kind.BLOCK, 8, 131),
        (Kind.FILE, 0, 0),
    ]


def test_old_directory_is_told_by_its_slash():
    assert only(block(b"d/", b"\0", magic=V7) + END).kind is Kind.DIR


def test_prefix_is_for_ustar_only():
    assert only(block(b"b", prefix=b"a") + END).path == "a/b"
    # GNU has times there, old star a shorter prefix and then times.
    assert only(block(b"b", magic=GNU, prefix=b"00000000000\0") + END).path == "b"
    star = b"p" * 131 + b"12345670123\0" + b"12345670123\0"
    assert only(block(b"b", prefix=star, tail=b"tar\0") + END).path == "p" * 131 + "/b"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000755\0", 0o755),
        (b"    755\0", 0o755),
        (b"   755 \0", 0o755),
        (b"755\0\0\0\0\0", 0o755),
        (b"00000755", 0o755),
        (b"\0" * 8, 0),
        (b" " * 8, 0),
        (base256(0o755, 8), 0o755),
        (b"0100755\0", 0o755),  # with the kind of file, as ancient writers have it
        (b"0007777\0", 0o7777),
    ],
)
def test_numbers(field, value):
    assert only(block(mode=field) + END).mode == value


def test_large_owners_and_times():
    entry = only(block(uid=base256(2**32 - 2, 8), mtime=base256(2**40)) + END)
    assert (entry.uid, entry.mtime) == (2**32 - 2, 2**40)


def test_times_before_1970_become_0():
    assert only(block(mtime=base256(-1)) + END).mtime == 0
    assert only(pax((b"mtime", b"-62135596800")) + block() + END).mtime == 0


def test_gnu_long_names():
    name, target = b"n/" * 300 + b"x", b"t" * 200
    data = (
        long_name(target, b"K") + long_name(name) + block(b"short", b"2", link=b"cut") + block(b"y")
    )
    first, second = read_tar(data + END)
    assert (first.path, first.link) == (name.decode(), target.decode())
    assert second.path == "y"


def test_pax_records():
    data = pax(
        (b"path", "ä/\n=x".encode()),
        (b"uid", b"3000000"),
        (b"gid", b"4000000"),
        (b"mtime", b"1700000000.999999999"),
        (b"size", b"5"),
        (b"SCHILY.xattr.security.capability", b"\x01\0\n=\xff"),
        (b"SCHILY.xattr.user.empty", b""),
        (b"LIBARCHIVE.xattr.user.empty", b""),
        (b"uname", b"nobody"),
        (b"comment", b""),
    )
    entry = only(data + block(b"cut", size=0) + b"hello".ljust(512, b"\0") + END)
    xattrs = {"security.capability": b"\x01\0\n=\xff", "user.empty": b""}
    assert plain([entry]) == [
        ("ä/\n=x", "file", 0o644, 3000000, 4000000, 1700000000, b"hello", "", 0, 0, xattrs)
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"0", 0), (b"1.5", 1), (b"1.", 1), (b"-0.5", 0), (b"007", 7), (b"1700000000", 1700000000)],
)
def test_pax_times(text, seconds):
    assert only(pax((b"mtime", text)) + block() + END).mtime == seconds


def test_pax_link_path():
    data = pax((b"linkpath", b"y" * 300)) + block(b"s", b"2", link=b"cut") + END
    assert only(data).link == "y" * 300


def test_pax_header_counts_for_one_entry_only():
    data = pax((b"path", b"long"), (b"uid", b"7")) + block(b"a") + block(b"b") + END
    assert [(e.path, e.uid) for e in read_tar(data)] == [("long", 7), ("b", 0)]


def test_the_same_pax_header_again():
    one = pax((b"uid", b"7"))
    other = pax((b"uid", b"8"))
    data = one + block(b"a") + one + block(b"b") + other + block(b"c") + one + block(b"d") + END
    assert [e.uid for e in read_tar(data)] == [7, 7, 8, 7]


def test_global_header_counts_until_the_next():
    def globals_(*records: tuple[bytes, bytes]) -> bytes:
        return pax(*records, flag=b"g")

    data = (
        globals_((b"comment", b"of git archive"), (b"uid", b"5"), (b"mtime", b"9"))
        + block(b"a")
        + pax((b"uid", b"6"))
        + block(b"b")
        + globals_((b"uid", b"7"))
        + block(b"c")
        + END
    )
    assert [(e.uid, e.mtime) for e in read_tar(data)] == [(5, 9), (6, 9), (7, 9)]


def test_pax_size_equal_to_the_header():
    entry = only(pax((b"size", b"5")) + member(b"f", b"hello") + END)
    assert entry.content.size == 5


def test_names_that_are_not_utf8_survive():
    (entry,) = read_tar(block(b"\xff\xe4") + END)
    assert entry.path == "\udcff\udce4"


@pytest.mark.parametrize("name", [b".", b"./", b"/"])
def test_root_directory_is_skipped(name):
    assert [e.path for e in read_tar(block(name, b"5") + block(b"a") + END)] == ["a"]


@pytest.mark.parametrize(
    "end",
    [b"", END, bytes(512), bytes(10240), bytes(1000), bytes(1)],
    ids=["none", "two", "one", "gnu", "odd", "byte"],
)
def test_ends(end):
    data = member(b"a", b"hello") + end
    if end == bytes(1):
        with pytest.raises(Error, match="cut short"):
            read_tar(data)
    else:
        assert [e.path for e in read_tar(data)] == ["a"]


def test_last_content_may_lack_its_padding():
    whole = member(b"a", b"hello")
    assert read_tar(whole[: 512 + 5])[0].content.size == 5
    for cut in (512 + 4, 512 + 6, len(whole) - 1):
        with pytest.raises(Error, match="cut short"):
            read_tar(whole[:cut])


def test_empty_archives():
    assert read_tar(b"") == []
    assert read_tar(END) == []


def test_contents_are_slices_that_can_be_read_again():
    data = member(b"a", b"x" * 70_000) + member(b"b", b"y" * 3) + END
    with opened(data) as handle:
        os.lseek(handle, 5, os.SEEK_SET)
        first, second = tar.read(handle)
        for _ in range(2):
            assert b"".join(first.content.chunks()) == b"x" * 70_000
            assert b"".join(second.content.chunks()) == b"yyy"
        assert os.lseek(handle, 0, os.SEEK_CUR) == 5


def test_name_and_offset_stand_in_the_message():
    data = member(b"a", b"x" * 600) + block(b"bad\x1bname", uid=b"zzzzzzz\0") + END
    with pytest.raises(Error) as caught:
        read_tar(data)
    assert caught.value.message.startswith("tar entry at byte 1536: ")
    data = block(b"bad\x1bname", b"Q") + END
    with pytest.raises(Error) as caught:
        read_tar(data)
    assert caught.value.message.startswith('tar entry "bad\\x1bname" at byte 0: ')


@pytest.mark.parametrize(
    "form",
    [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT],
    ids=["ustar", "gnu", "pax"],
)
def test_what_python_writes(form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, link in [
            ("d", tarfile.DIRTYPE, ""),
            ("d/" + "n" * 90 + "/" + "m" * 50, tarfile.REGTYPE, ""),
            ("l", tarfile.SYMTYPE, "t" * 90),
            ("h", tarfile.LNKTYPE, "l"),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mtime, info.uid = kind, link, 1_700_000_000, 70_000
            info.uname = info.gname = "someone"
            info.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"data"))
    got = [(e.path, e.kind.value, e.link, e.uid, e.content.size) for e in read_tar(out.getvalue())]
    assert got == [
        ("d", "dir", "", 70_000, 0),
        ("d/" + "n" * 90 + "/" + "m" * 50, "file", "", 70_000, 4),
        ("l", "symlink", "t" * 90, 70_000, 0),
        ("h", "hardlink", "l", 70_000, 0),
    ]
