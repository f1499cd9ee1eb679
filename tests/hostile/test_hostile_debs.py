"""Debian packages that deceived other programs; nothing in them is run, and nothing escapes."""

from __future__ import annotations

import io
import lzma
import tempfile

import pytest
from backports import zstd

from linuxkit.base.errors import Error
from linuxkit.recipes.debian import deb as debs
from linuxkit.recipes.debian.files import Files
from support import bombs, hostile
from support.archives import END, block
from support.debian_archive import ar, member


def packed(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


CONTROL = ("control.tar.xz", packed(END))
BINARY = ("debian-binary", b"2.0\n")


def a_deb(data: bytes) -> bytes:
    return ar(BINARY, CONTROL, ("data.tar.xz", packed(data + END)))


def unpacked(data: bytes) -> list[str]:
    """The paths that a package gives to the union that images are made of."""
    with tempfile.TemporaryFile() as scratch:
        files = Files()
        files.add("evil", debs.unpack(io.BytesIO(data), scratch), 0)
        return sorted(files.entries)


def size(data: bytes, field: bytes) -> bytes:
    """The same archive with another size for its first part."""
    return data.replace(b"4         `", field.ljust(10) + b"`", 1)


GOOD = a_deb(hostile.folder(b"usr") + hostile.tar_file(b"usr/x", b"new"))

DEBS = {
    # Names and links (of CVE-2022-1664 and its kin: dpkg-deb followed links of the archive).
    "climbing name": (a_deb(hostile.tar_file(b"../../etc/x")), "LK0601"),
    "absolute name": (a_deb(hostile.tar_file(b"/etc/x")), "LK0601"),
    "root is a link": (a_deb(hostile.link(b".", b"/tmp")), "LK0601"),
    "hard link to the host": (a_deb(hostile.hard(b"x", b"../../../etc/shadow")), "LK0601"),
    "a bad entry behind a good one": (a_deb(hostile.tar_file(b"x") + block(off_by=1)), "LK0602"),
    # The outer archive.
    "not an archive": (b"x" + GOOD, "LK0521"),
    "cut short": (GOOD[:-100], "LK0521"),
    "negative size": (size(GOOD, b"-4"), "LK0521"),
    "size beyond the end": (size(GOOD, b"9999999999"), "LK0521"),
    "size of base 16": (size(GOOD, b"0x4"), "LK0521"),
    "two trees": (ar(BINARY, CONTROL, ("data.tar.xz", packed(END)), ("data.tar.xz", packed(END))), "LK0521"),
    "tree before control": (ar(BINARY, ("data.tar.xz", packed(END)), CONTROL), "LK0521"),
    "another tree behind the format": (ar(BINARY, ("_x", b""), CONTROL, ("data.tar.bz2", b"")), "LK0521"),
    "a part's name climbs": (ar(BINARY, CONTROL, ("../data.tar", END)), "LK0521"),
    "a part's name writes on terminals": (ar(BINARY, CONTROL, ("\x1b[2J", END)), "LK0521"),
    "another version": (ar(("debian-binary", b"3.0\n"), CONTROL), "LK0521"),
    "parts without end": (ar(BINARY) + member("x", b"") * 200_000, "LK0521"),
    # The compression inside.
    "a bomb": (ar(BINARY, CONTROL, ("data.tar.xz", bombs.xz_bomb())), "LK0616"),
    "a zstd bomb": (ar(BINARY, CONTROL, ("data.tar.zst", bombs.zstd_bomb())), "LK0616"),
    "garbage behind the tree": (ar(BINARY, CONTROL, ("data.tar.xz", packed(END) + b"garbage")), "LK0615"),
    "tree cut short": (ar(BINARY, CONTROL, ("data.tar.xz", packed(END)[:-10])), "LK0615"),
}


@pytest.mark.parametrize("name", DEBS)
def test_debs(name):
    data, code = DEBS[name]
    with pytest.raises(Error) as caught:
        unpacked(data)
    assert caught.value.code == code, caught.value
    assert caught.value.message.isprintable()


def test_the_good_one():
    assert unpacked(GOOD) == ["usr", "usr/x"]
    assert unpacked(GOOD + member("_extra", b"x")) == ["usr", "usr/x"]


# What is decided when entries meet each other, links among their parents too, is another matter:
# packages are merged by name, and links to what another package brings are fine.
MERGING = {"LK0607", "LK0608", "LK0609"}
TREES = [
    case
    for case in hostile.LAYERS
    if len(case.layers) == 1
    and isinstance(case.verdict, str)
    and case.verdict not in MERGING
    and case.number != 3  # a link is followed
]


@pytest.mark.parametrize("case", TREES, ids=lambda case: case.id.replace("case-", "as-"))
def test_what_layers_may_not_hold_packages_may_not(case):
    (data,) = case.archives()
    with pytest.raises(Error) as caught:
        unpacked(ar(BINARY, CONTROL, ("data.tar.xz", packed(data))))
    assert caught.value.code == case.verdict


def frame(window_log: int) -> bytes:
    options = {zstd.CompressionParameter.compression_level: 1, zstd.CompressionParameter.window_log: window_log}
    packer = zstd.ZstdCompressor(options=options)
    return packer.compress(END * 8) + packer.flush()


def test_windows_of_zstd():
    """A window is memory: 128 MiB are allowed, more are refused (a trick of no number)."""
    for log, fine in ((27, True), (28, False)):
        data = ar(BINARY, CONTROL, ("data.tar.zst", frame(log)))
        if fine:
            assert unpacked(data) == []
        else:
            with pytest.raises(Error) as caught:
                unpacked(data)
            assert caught.value.code == "LK0615"
