"""Opening .debs: good ones, and those made to do harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import shutil
import subprocess
import tempfile

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian import deb as debs
from linuxkit.recipes.debian.files import Files
from linuxkit.tree.entry import Kind
from support.debian_archive import SOURCE_EPOCH, File, ar, deb, member, tar

TREE = [
    File("./"), File("./usr/"), File("./usr/bin/"), File("./usr/bin/tool", b"#!", 0o755),
    File("./usr/bin/other", link="tool"), File("./usr/bin/same", link="./usr/bin/tool", hard=True),
    File("./usr/share/" + "long/" * 30 + "name", b"x" * 1000),
]  # fmt: skip


def entries(data: bytes):
    with tempfile.TemporaryFile() as scratch:
        return [
            (e.path, e.kind, e.mode, e.link, b"".join(e.content.chunks()))
            for e in debs.unpack(io.BytesIO(data), scratch)
        ]


def code(data: bytes) -> str:
    with pytest.raises(Error) as caught:
        entries(data)
    return caught.value.code


def with_data(name: str, data: bytes) -> bytes:
    return ar(("debian-binary", b"2.0\n"), ("control.tar", tar([])), (name, data))


def test_good():
    found = {path: rest for path, *rest in entries(deb(TREE))}
    assert found["usr/bin/tool"] == [Kind.FILE, 0o755, "", b"#!"]
    assert found["usr/bin/other"][0::2] == [Kind.SYMLINK, "tool"]
    assert found["usr/bin/same"][0::2] == [Kind.HARDLINK, "usr/bin/tool"]
    assert len(found) == 6  # no entry for the root itself
    assert debs.epoch(io.BytesIO(deb(TREE))) == SOURCE_EPOCH


@pytest.mark.parametrize(
    ("name", "pack"),
    [("data.tar.xz", lzma.compress), ("data.tar.gz", gzip.compress), ("data.tar", bytes), ("data.tar/", bytes)],
)
def test_compressions(name, pack):
    assert entries(with_data(name, pack(tar(TREE)))) == entries(deb(TREE))


def test_as_dpkg_deb(tmp_path):
    if not shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb")
    path = tmp_path / "a.deb"
    path.write_bytes(deb(TREE))
    listed = subprocess.run(["dpkg-deb", "-c", path], capture_output=True, text=True, check=True)
    theirs = {line.split()[5].removeprefix("./").rstrip("/") for line in listed.stdout.splitlines()}
    assert {path for path, *_ in entries(deb(TREE))} == theirs - {""}


def test_further_parts_that_dpkg_skips():
    whole = deb(TREE)
    assert entries(whole + member("_gpgorigin", b"x")) == entries(deb(TREE))


GOOD = deb(TREE)
CONTROL = ("control.tar.xz", lzma.compress(tar([])))
DATA = ("data.tar.xz", lzma.compress(tar([])))
BINARY = ("debian-binary", b"2.0\n")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"!<arch>", b"!<arch>\n", b"x" + GOOD, GOOD[:-1], GOOD + b"x", GOOD[:40],
        ar(BINARY, DATA, CONTROL), ar(CONTROL, BINARY, DATA), ar(BINARY, CONTROL), ar(BINARY, CONTROL, DATA, DATA),
        ar(("debian-binary", b"3.0\n"), CONTROL, DATA), ar(("debian-binary", b"2.0"), CONTROL, DATA),
        ar(BINARY, CONTROL, ("data.tar.bz2", b"x")), ar(BINARY, ("_x", b""), CONTROL, ("../data.tar", b"")),
        GOOD.replace(b"`\n", b"  ", 1), GOOD.replace(b"debian-binary   ", b"debian-binary\0\0\0", 1),
        GOOD.replace(b"4         `", b"-4        `", 1), GOOD.replace(b"4         `", b"9999999999`", 1),
        GOOD.replace(b"4         `", b"0x4       `", 1),
    ],
)  # fmt: skip
def test_damaged_archives(data):
    assert code(data) == "LK0521"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (File("./../../etc/passwd", b"x"), "LK0601"),
        (File("/etc/passwd", b"x"), "LK0601"),
        (File("./a/../../b", b"x"), "LK0601"),
        (File("./a", link="../../../etc/shadow", hard=True), "LK0601"),
    ],
)
def test_names_that_lead_outside(file, expected):
    assert code(deb([file])) == expected


@pytest.mark.parametrize(
    "data", [b"", lzma.compress(tar(TREE))[:-20], b"\xfd7zXZ\0 nonsense", b"x" * 2000]
)
def test_damaged_data(data):
    try:
        found = entries(with_data("data.tar.xz", data))
    except Error as error:
        assert error.code.startswith("LK06")  # noqa: PT017
    else:
        assert found == []  # an empty archive is one without entries


def test_a_bomb():
    zeros = lzma.compress(bytes(256 << 20), preset=0)
    assert code(with_data("data.tar.xz", zeros)) == "LK0616"


@pytest.fixture
def union():
    with contextlib.ExitStack() as stack:

        def make(*packages):
            made = Files()
            for name, content, epoch in packages:
                scratch = stack.enter_context(tempfile.TemporaryFile())
                made.add(name, debs.unpack(io.BytesIO(deb(content)), scratch), epoch)
            return made

        yield make


def test_aliases_of_usr_come_home(union):
    made = union(
        ("a", [File("./lib/x/y", b"1"), File("./bin/s", link="/lib/x/y"), File("./lib64/"),
               File("./usr/lib/h", link="./lib/x/y", hard=True)], 5),
        ("base", [File("./bin", link="usr/bin"), File("./usr/lib/z", b"2")], 9),
    )  # fmt: skip
    assert sorted(made.entries) == ["usr/bin/s", "usr/lib/h", "usr/lib/x/y", "usr/lib/z", "usr/lib64"]
    assert made.entries["usr/bin/s"].link == "/usr/lib/x/y"
    assert made.entries["usr/lib/h"].link == "usr/lib/x/y"
    assert made.epoch == 9
    assert made.entries["usr/lib/x/y"].mtime == 5  # no newer than its package
    assert b"".join(made.file("usr/lib/h").content.chunks()) == b"1"


@pytest.mark.parametrize(
    ("one", "other", "fine"),
    [
        (File("./a", b"1"), File("./a", b"1"), True),
        (File("./a", b"1"), File("./a", b"2"), False),
        (File("./a", b"1"), File("./a", b"1", 0o755), False),
        (File("./a", b"1"), File("./a"), False),
        (File("./a"), File("./a"), True),
        (File("./a", link="b"), File("./a", link="c"), False),
        (File("./lib/a", b"1"), File("./usr/lib/a", b"2"), False),
    ],
)
def test_two_packages_with_one_name(union, one, other, fine):
    if fine:
        assert union(("p", [one], 1), ("q", [other], 1)).owner["a"] == "p"
        return
    with pytest.raises(Error) as caught:
        union(("p", [one], 1), ("q", [other], 1))
    assert caught.value.code == "LK0523"
    assert "p and q" in caught.value.message


@pytest.mark.parametrize(
    ("path", "expected", "links"),
    [
        ("usr/lib/real", "usr/lib/real", 0),
        ("lib/real", "usr/lib/real", 0),
        ("usr/lib/one", "usr/lib/real", 1),
        ("usr/lib/two", "usr/lib/real", 2),
        ("usr/dir/real", "usr/lib/real", 1),
        ("usr/lib/loop", None, 41),
        ("usr/lib/none", None, 0),
        ("usr/lib/up", None, 1),
    ],
)
def test_resolve(union, path, expected, links):
    made = union(("p", [
        File("./usr/lib/real", b"1"), File("./usr/lib/one", link="real"), File("./usr/lib/two", link="/lib/one"),
        File("./usr/dir", link="lib"), File("./usr/lib/loop", link="loop"), File("./usr/lib/up", link="../../../../etc/passwd"),
    ], 1))  # fmt: skip
    entry, found = made.resolve(path)
    assert (entry.path if entry else None, len(found)) == (expected, links)
