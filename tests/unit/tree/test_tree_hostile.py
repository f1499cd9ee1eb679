"""Archives that deceived other programs: each is refused with its code, or read in the one right
way.  The numbers name the flaws they were made from."""

from __future__ import annotations

import time

import pytest

from linuxkit.base.errors import Error
from linuxkit.tree import tar
from support.archives import (
    END,
    base256,
    block,
    long_name,
    member,
    padded,
    pax,
    read_tar,
    record,
)

INNER = member(b"smuggled", b"evil")
V7 = bytes(8)
REFUSED = {
    # CVE-2021-29136 (umoci): a link takes the place of the root
    "root is a symlink": (block(b".", b"2", link=b"/tmp"), "LK0601"),
    "root is a symlink, slash": (block(b"/", b"2", link=b"/tmp"), "LK0601"),
    "root is a file": (member(b"./", b"", b"7"), "LK0604"),
    "root is a fifo": (block(b"./.", b"6"), "LK0601"),
    # CVE-2007-4559 (CPython): names that lead outside
    "name climbs": (member(b"../../etc/x"), "LK0601"),
    "name climbs in the middle": (member(b"a/../../x"), "LK0601"),
    "name is absolute": (member(b"/etc/x"), "LK0601"),
    "name climbs by prefix": (block(b"x", prefix=b"../.."), "LK0601"),
    "pax name climbs": (pax((b"path", b"../x")) + block(), "LK0601"),
    "long name climbs": (long_name(b"../" * 50 + b"x") + block(), "LK0601"),
    "pax name is empty": (pax((b"path", b"")) + block(), "LK0601"),
    "long name is empty": (long_name(b"") + block(), "LK0601"),
    "name is empty": (block(b""), "LK0601"),
    "pax name with NUL": (pax((b"path", b"a\0b")) + block(), "LK0601"),
    "long name with NUL": (long_name(b"a\0b") + block(), "LK0601"),
    "name too long": (pax((b"path", b"x/" * 2048 + b"y")) + block(), "LK0601"),
    "component too long": (pax((b"path", b"x" * 256)) + block(), "LK0601"),
    # GHSA-5g94-c2wx-8pxw (apko): each operation alone
    **{
        f"name climbs, kind {flag.decode()}": (block(b"../x", flag, link=b"y"), "LK0601")
        for flag in (b"1", b"2", b"3", b"4", b"5", b"6", b"7")
    },
    # CVE-2025-4330, CVE-2014-6407: links to the host
    "hard link climbs": (block(b"a/b", b"1", link=b"c/../../../etc/shadow"), "LK0601"),
    "hard link is absolute": (block(b"b", b"1", link=b"/etc/shadow"), "LK0601"),
    "hard link to nothing": (block(b"b", b"1"), "LK0601"),
    "hard link to the root": (block(b"b", b"1", link=b"./"), "LK0601"),
    "symlink to nothing": (block(b"b", b"2"), "LK0601"),
    "symlink with NUL": (pax((b"linkpath", b"a\0b")) + block(b"b", b"2"), "LK0601"),
    "symlink too long": (pax((b"linkpath", b"x" * 4097)) + block(b"b", b"2"), "LK0601"),
    # CVE-2025-8194 (CPython): negative sizes and offsets
    "size is negative": (block(size=base256(-1)), "LK0602"),
    "size is very negative": (block(size=base256(-(2**80))), "LK0602"),
    "size is negative, octal": (block(size=b"-0000000001\0"), "LK0602"),
    "size of long name is negative": (block(b"L", b"L", size=base256(-512)), "LK0602"),
    "pax size is negative": (pax((b"size", b"-1")) + block(), "LK0602"),
    # CVE-2019-20907 (CPython): a record that does not move on
    "pax length 0": (member(b"x", b"0 a=b\n", b"x") + block(), "LK0602"),
    "pax length 0 and more": (member(b"x", b"0 \n=\n=\n", b"x") + block(), "LK0602"),
    "pax length too small": (member(b"x", b"2 a=b\n", b"x") + block(), "LK0602"),
    "pax length too large": (member(b"x", b"7 a=b\n", b"x") + block(), "LK0602"),
    "pax length negative": (member(b"x", b"-6 a=b\n", b"x") + block(), "LK0602"),
    "pax length with plus": (member(b"x", b"+7 a=b\n", b"x") + block(), "LK0602"),
    "pax length missing": (member(b"x", b" a=b\n", b"x") + block(), "LK0602"),
    "pax without newline": (member(b"x", b"6 a=bc", b"x") + block(), "LK0602"),
    "pax without equals sign": (member(b"x", b"6 abc\n", b"x") + block(), "LK0602"),
    "pax without key": (member(b"x", b"5 =b\n", b"x") + block(), "LK0602"),
    "pax with NULs behind": (member(b"x", b"6 a=b\n\0\0", b"x") + block(), "LK0602"),
    "pax key with NUL": (pax((b"SCHILY.xattr.user.a\0b", b"v")) + block(), "LK0602"),
    "pax truncated": (block(b"x", b"x", 100) + b"30 path=aaaa", "LK0602"),
    # CVE-2024-6232 (CPython): digits without end
    "a mebibyte of digits": (member(b"x", b"1" * (1 << 20), b"x") + block(), "LK0602"),
    "a number of 100000 digits": (pax((b"uid", b"1" * 100_000)) + block(), "LK0602"),
    # CVE-2026-33055 (tar-rs), CVE-2025-62518 (astral-tokio-tar): two sizes
    "two sizes": (pax((b"size", b"1024")) + member(b"a", padded(b"x")) + INNER, "LK0604"),
    "two sizes, one 0": (pax((b"size", b"0")) + member(b"a", INNER), "LK0604"),
    "pax size twice": (pax((b"size", b"0"), (b"size", b"1024")) + block() + INNER, "LK0604"),
    # GHSA-3cv2-h65g-fgmm (tar-rs, node-tar): the size meets GNU's long name
    "pax, long name, file": (
        pax((b"size", b"2048")) + long_name(b"longname.txt") + block(b"cut") + INNER * 2,
        "LK0604",
    ),
    "long name, pax, file": (
        long_name(b"longname.txt") + pax((b"size", b"1024")) + block(b"cut") + INNER,
        "LK0604",
    ),
    "pax, long link, link": (
        pax((b"path", b"p")) + long_name(b"t", b"K") + block(b"l", b"2"),
        "LK0604",
    ),
    "two long names": (long_name(b"a") + long_name(b"b") + block(), "LK0604"),
    "two long targets": (long_name(b"a", b"K") + long_name(b"b", b"K") + block(), "LK0604"),
    "two pax headers": (pax((b"uid", b"1")) + pax((b"gid", b"1")) + block(), "LK0604"),
    "global header between": (pax((b"uid", b"1")) + pax(flag=b"g") + block(), "LK0604"),
    "global size": (pax((b"size", b"1024"), flag=b"g") + block() + INNER, "LK0604"),
    "global path": (pax((b"path", b"x"), flag=b"g") + block(), "LK0604"),
    "global attribute": (pax((b"SCHILY.xattr.user.a", b"x"), flag=b"g") + block(), "LK0604"),
    **{
        f"size of kind {flag.decode()}": (block(b"a", flag, 1024, link=b"x") + INNER, "LK0604")
        for flag in (b"1", b"2", b"3", b"4", b"5", b"6")
    },
    "pax size of a directory": (pax((b"size", b"1024")) + block(b"a", b"5") + INNER, "LK0604"),
    "file with a directory's name": (member(b"a/", b"x"), "LK0604"),
    "old directory with content": (member(b"a/", b"x", b"\0", magic=V7), "LK0604"),
    # sparse files, in all their forms, and what else we do not know
    "gnu sparse": (block(b"a", b"S", 512) + bytes(512), "LK0603"),
    "sparse 0.0": (
        pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.offset", b"0")) + block(),
        "LK0603",
    ),
    "sparse 0.1": (pax((b"GNU.sparse.map", b"0,1")) + block(), "LK0603"),
    "sparse 1.0": (
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"x")) + block(),
        "LK0603",
    ),
    "sparse of star": (pax((b"SCHILY.realsize", b"9")) + block(), "LK0603"),
    "sparse for all": (pax((b"GNU.sparse.major", b"1"), flag=b"g") + block(), "LK0603"),
    **{
        f"kind {flag.decode()}": (block(b"a", flag), "LK0603")
        for flag in (b"V", b"M", b"D", b"N", b"X", b"A", b"8", b"9", b" ")
    },
    "kind is not ASCII": (block(b"a", b"\xff"), "LK0603"),
    # checksums, numbers, formats
    "checksum one too large": (block(off_by=1), "LK0602"),
    "checksum one too small": (block(off_by=-1), "LK0602"),
    "checksum 0": (block(checksum=b"\0" * 8), "LK0602"),
    "checksum is no number": (block(checksum=b"what?\0 "[:7] + b" "), "LK0602"),
    "number with underscore": (block(mode=b"0_00644\0"), "LK0602"),
    "number with prefix": (block(mode=b"0o00644\0"), "LK0602"),
    "number with 8": (block(mode=b"0000648\0"), "LK0602"),
    "number with a gap": (block(mode=b"06 0644\0"), "LK0602"),
    "number behind NUL": (block(mode=b"0006\x0044\0"), "LK0602"),
    "number after NUL": (block(mode=b"\x00000644\0"), "LK0602"),
    "number of a strange base": (block(mode=b"\xc0000644\0"), "LK0602"),
    "format unknown": (block(magic=b"custar\x0000"[:8]), "LK0602"),
    "owner is -1": (block(uid=base256(-1, 8)), "LK0602"),
    "owner means no change": (block(uid=base256(2**32 - 1, 8)), "LK0606"),
    "group is 2^32": (block(gid=base256(2**32, 8)), "LK0606"),
    "pax owner is 2^32": (pax((b"uid", b"4294967296")) + block(), "LK0606"),
    "pax owner is -1": (pax((b"uid", b"-1")) + block(), "LK0602"),
    "pax owner is a name": (pax((b"uid", b"root")) + block(), "LK0602"),
    "pax owner is empty": (pax((b"uid", b"")) + block(), "LK0602"),
    "pax owner in another script": (pax((b"uid", "٣".encode())) + block(), "LK0602"),
    "pax time is a word": (pax((b"mtime", b"now")) + block(), "LK0602"),
    "pax time with two points": (pax((b"mtime", b"1.2.3")) + block(), "LK0602"),
    "pax time with exponent": (pax((b"mtime", b"1e9")) + block(), "LK0602"),
    "time beyond all": (block(mtime=base256(2**63)), "LK0606"),
    "device number": (block(b"a", b"3", major=base256(2**40, 8)), "LK0606"),
    "attribute without name": (pax((b"SCHILY.xattr.", b"v")) + block(), "LK0602"),
    "attribute name too long": (pax((b"SCHILY.xattr." + b"x" * 256, b"")) + block(), "LK0605"),
    # ends
    "content cut short": (block(size=600) + bytes(100), "LK0602"),
    "content beyond all": (block(size=base256(2**80)), "LK0605"),
    "header cut short": (block()[:511], "LK0602"),
    "extended header at the end": (pax((b"uid", b"1")) + END, "LK0602"),
    "extended header and nothing": (pax((b"uid", b"1")), "LK0602"),
    "long name at the end": (long_name(b"x") + END, "LK0602"),
    "entry behind the end": (block() + END + INNER, "LK0602"),
    "entry behind one block of zeros": (block() + bytes(512) + INNER, "LK0602"),
    "garbage behind the end": (block() + END + b"garbage", "LK0602"),
    "late garbage behind the end": (block() + bytes(1 << 20) + b"\1", "LK0602"),
    "not an archive": (b"\x7fELF".ljust(4096, b"x"), "LK0602"),
    "text": (b"hello\n", "LK0602"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    data, code = REFUSED[name]
    started = time.process_time()
    with pytest.raises(Error) as caught:
        read_tar(data if data.endswith(END) else data + END if len(data) % 512 == 0 else data)
    assert caught.value.code == code, caught.value
    assert caught.value.message.isprintable()
    assert time.process_time() - started < 1


def test_nothing_comes_after_a_refusal():
    """CVE-2025-4435: what is behind a refused entry must not be used either."""
    seen = []
    with pytest.raises(Error):
        seen += read_tar(member(b"a") + member(b"../b") + member(b"c") + END)
    assert seen == []


def test_size_only_in_pax_is_honoured():
    """CVE-2025-62518: the nested archive is content, not entries."""
    data = pax((b"size", b"%d" % len(INNER))) + block(b"outer.tar") + INNER + member(b"next") + END
    entries = read_tar(data)
    assert [(e.path, e.content.size) for e in entries] == [("outer.tar", len(INNER)), ("next", 0)]


LIMITS = tar.Limits(entries=3, extended=1000, xattr=100, xattrs=250, content=1000)


@pytest.mark.parametrize(
    ("at", "beyond"),
    [
        (block() * 3, block() * 4),
        (block(b".", b"5") + block() * 2, block(b".", b"5") + block() * 3),
        (member(b"a", b"x" * 1000), member(b"a", b"x" * 1001)),
        (member(b"a", b"x" * 500) * 2, member(b"a", b"x" * 500) + member(b"a", b"x" * 501)),
        (
            pax((b"comment", b"x" * (1000 - 14))) + block(),
            pax((b"comment", b"x" * (1001 - 14))) + block(),
        ),
        (long_name(b"x/" * 499 + b"x") + block(), long_name(b"x/" * 499 + b"xx") + block()),
        (
            pax((b"SCHILY.xattr.user.a", b"x" * 100)) + block(),
            pax((b"SCHILY.xattr.user.a", b"x" * 101)) + block(),
        ),
        (
            pax(
                *(
                    (b"SCHILY.xattr.%c" % k, b"x" * v)
                    for k, v in zip(b"abc", (82, 82, 83), strict=True)
                )
            )
            + block(),
            pax(
                *(
                    (b"SCHILY.xattr.%c" % k, b"x" * v)
                    for k, v in zip(b"abc", (82, 83, 83), strict=True)
                )
            )
            + block(),
        ),
    ],
    ids=["entries", "root too", "content", "contents", "pax", "long name", "value", "values"],
)
def test_limits(at, beyond):
    assert read_tar(at + END, LIMITS)
    with pytest.raises(Error) as caught:
        read_tar(beyond + END, LIMITS)
    assert caught.value.code == "LK0605"


def test_default_limits_are_those_promised():
    assert tar.LIMITS == (2_000_000, 1 << 20, 64 << 10, 1 << 20, 16 << 30, 128 << 20)


def test_many_records_take_linear_time():
    def seconds(count: int) -> float:
        body = b"".join(record(b"k%d" % n, b"v") for n in range(count))
        data = member(b"x", body, b"x") + block() + END
        started = time.process_time()
        read_tar(data)
        return time.process_time() - started

    seconds(1000)
    small = min(seconds(10_000) for _ in range(3))
    assert seconds(80_000) < 8 * small * 2.5 + 0.02


def test_global_headers_do_not_pile_up():
    body = b"".join(record(b"k%d" % n, b"v") for n in range(3000))
    data = member(b"g", body, b"g") + b"".join(pax((b"uid", b"1")) + block() for _ in range(3000))
    started = time.process_time()
    assert len(read_tar(data + END)) == 3000
    assert time.process_time() - started < 1
