from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.build.root import Root, listing
from linuxkit.tree.entry import Entry, Kind


def root(*entries: Entry) -> Root:
    made = Root()
    made.add_listing(listing(entries), "test")
    return made


USR_MERGED = (
    Entry("bin", Kind.SYMLINK, link="usr/bin"),
    Entry("etc", Kind.DIR),
    Entry("etc/passwd", Kind.FILE),
    Entry("loop", Kind.SYMLINK, link="pool"),
    Entry("pool", Kind.SYMLINK, link="loop"),
    Entry("top", Kind.SYMLINK, link="/etc"),
    Entry("out", Kind.SYMLINK, link="../../../etc"),
    Entry("usr", Kind.DIR),
    Entry("usr/bin", Kind.DIR),
)


@pytest.mark.parametrize(
    ("path", "lands"),
    [
        ("etc/new", "etc/new"),
        ("bin/tool", "usr/bin/tool"),
        ("top/motd", "etc/motd"),
        ("out/motd", "etc/motd"),
        ("bin", "bin"),  # the last part is replaced, not followed
        ("no/such/dir", "no/such/dir"),
    ],
)
def test_resolve_follows_links_inside_the_root(path, lands):
    assert root(*USR_MERGED).resolve(path) == lands


@pytest.mark.parametrize("path", ["loop/x", "etc/passwd/x"])
def test_resolve_refuses(path):
    with pytest.raises(Error) as error:
        root(*USR_MERGED).resolve(path)
    assert error.value.code == "LK0705"


def test_a_link_may_not_replace_a_directory():
    made = root(Entry("lib", Kind.DIR), Entry("lib/modules", Kind.DIR))
    with pytest.raises(Error) as error:
        made.add_listing(listing([Entry("lib", Kind.SYMLINK, link="usr/lib")]), "init[1]")
    assert error.value.code == "LK0704"
    assert "init[1] has a link at /lib" in error.value.message
