from __future__ import annotations

from linuxkit.tree.dump import dump
from linuxkit.tree.entry import Entry, Kind
from support.archives import file, folder, hardlink, symlink


def test_dump():
    entries = [
        folder("etc", mode=0o1777, mtime=9),
        file("etc/hosts", b"hello", uid=1, gid=2, xattrs={"user.b": b"", "user.a": b"x"}),
        file("etc/empty"),
        symlink("etc/l", "../a b"),
        hardlink("etc/h", "etc/hosts"),
        Entry("null", Kind.CHAR, 0o666, major=1, minor=3),
        Entry("fifo", Kind.FIFO),
        file("a b\\\n\x1b\udcff\u2028ä"),
    ]
    assert dump(entries) == (
        "etc dir 1777 0:0 @9\n"
        "etc/hosts file 0644 1:2 @0 5 2cf24dba user.a=2d711642 user.b=e3b0c442\n"
        "etc/empty file 0644 0:0 @0 0 e3b0c442\n"
        "etc/l symlink 0777 0:0 @0 -> ../a\\x20b\n"
        "etc/h hardlink 0644 0:0 @0 => etc/hosts\n"
        "null char 0666 0:0 @0 1:3\n"
        "fifo fifo 0644 0:0 @0\n"
        "a\\x20b\\x5c\\x0a\\x1b\\udcff\\u2028ä file 0644 0:0 @0 0 e3b0c442\n"
    )
