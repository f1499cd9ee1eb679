"""Trees written to folders of ours and read back: nothing leads out, whatever lies there."""

from __future__ import annotations

import os
import stat

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes import unpack
from linuxkit.recipes.outputs import Outputs
from linuxkit.recipes.recipe import Output
from linuxkit.tree.entry import Bytes, Entry, Kind


def file(path, data=b"x", mode=0o644):
    return Entry(path, Kind.FILE, mode, mtime=5, content=Bytes(data))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "root"
    made.mkdir()
    return made


def test_what_is_kept_and_what_is_not(folder):
    old = os.umask(0o077)
    try:
        unpack.write([
            Entry("a", Kind.DIR, 0o1777), file("a/prog", mode=0o4755), file("a-b"),
            Entry("a/link", Kind.SYMLINK, link="/etc/passwd"), Entry("twin", Kind.HARDLINK, link="a/prog"),
        ], folder)  # fmt: skip
    finally:
        os.umask(old)
    modes = {p.relative_to(folder).as_posix(): stat.S_IMODE(p.lstat().st_mode) for p in folder.rglob("*")}
    assert modes == {"a": 0o755, "a/prog": 0o755, "a-b": 0o644, "a/link": 0o777, "twin": 0o755}
    assert os.readlink(folder / "a/link") == "/etc/passwd"
    assert (folder / "twin").stat().st_ino == (folder / "a/prog").stat().st_ino
    assert (folder / "a-b").stat().st_mtime == 5


@pytest.mark.parametrize("entries", [
    [Entry("a", Kind.SYMLINK, link="/tmp"), file("a/x")],
    [Entry("a", Kind.SYMLINK, link=".."), file("a/x")],
    [file("a"), file("a/x")],
    [Entry("a", Kind.CHAR, major=1, minor=3)],
    [Entry("a", Kind.SYMLINK, link=".."), Entry("b", Kind.HARDLINK, link="a/x")],
])  # fmt: skip
def test_nothing_goes_through_a_link(folder, entries):
    with pytest.raises(Error) as caught:
        unpack.write(entries, folder)
    assert caught.value.code == "LK0535"
    assert sorted(p.name for p in folder.parent.iterdir()) == ["root"]


def test_a_link_is_not_overwritten_through(folder):
    outside = folder.parent / "outside"
    outside.write_text("mine")
    (folder / "x").symlink_to(outside)
    with pytest.raises(FileExistsError):
        unpack.write([file("x")], folder)
    assert outside.read_text() == "mine"


def taken(folder, source, path=""):
    found = Outputs(folder, 7)
    try:
        found.add(Output(source=source, path=path))
        return {e.path: (e.kind, e.mode, e.link, b"".join(e.content.chunks())) for e in found.entries()}
    finally:
        found.close()


def test_outputs_are_read_without_following(folder):
    secret = folder.parent / "secret"
    secret.write_text("secret")
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "tree/sub/f").write_bytes(b"f")
    (folder / "tree/sub/f").chmod(0o4711)
    (folder / "tree/away").symlink_to(secret)
    (folder / "up").symlink_to("..")
    assert taken(folder, "tree", "opt/x") == {
        "opt": (Kind.DIR, 0o755, "", b""), "opt/x": (Kind.DIR, 0o755, "", b""),
        "opt/x/away": (Kind.SYMLINK, 0o777, str(secret), b""),
        "opt/x/sub": (Kind.DIR, 0o755, "", b""), "opt/x/sub/f": (Kind.FILE, 0o755, "", b"f"),
    }  # fmt: skip
    assert list(taken(folder, "tree")) == ["away", "sub", "sub/f"]
    for source in ("up/secret", "tree/away/x", "none"):
        with pytest.raises(Error) as caught:
            taken(folder, source, "x")
        assert caught.value.code == "LK0563"


def test_a_file_that_was_exchanged_for_a_link_is_not_read(folder):
    (folder / "f").write_text("f")
    found = Outputs(folder, 7)
    found.add(Output(source="f", path="f"))
    (folder / "f").unlink()
    (folder / "f").symlink_to("/etc/passwd")
    (entry,) = found.entries()
    with pytest.raises(OSError, match="symbolic links"):
        list(entry.content.chunks())
    found.close()
