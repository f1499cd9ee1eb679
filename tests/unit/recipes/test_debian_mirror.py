"""Which archives are asked."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian.mirror import choose
from support.nobody import NUMBER

SOURCES = """\
Types: deb
# a comment: inside
URIs: http://mirror.example/debian
 https://other.example/pub/debian/
Suites: bookworm

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security

Types: deb
Enabled: no
URIs: http://off.example/debian

Types: deb-src
URIs: http://source.example/debian

Types: deb
URIs: http://repo.example/thing
"""
LIST = """\
# deb http://no.example/debian trixie main
deb [arch=amd64 signed-by=/x] http://list.example/debian trixie main
deb-src http://src.example/debian trixie main
deb cdrom:[x]/debian trixie main
deb http://list.example/debian-security trixie-security main # why
"""


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("environ", "config", "main", "security"),
    [
        ({"LINUXKIT_DEBIAN_MIRROR": "http://a/debian/"}, {}, ["http://a/debian"],
         ["http://a/debian-security"]),
        ({"LINUXKIT_DEBIAN_MIRROR": "http://a/x, file:///b/debian"}, {"mirror": "http://c/debian"},
         ["http://a/x", "file:///b/debian"], ["file:///b/debian-security"]),
        ({"LINUXKIT_DEBIAN_MIRROR": "http://a/x,http://s/debian-security"}, {}, ["http://a/x"],
         ["http://s/debian-security"]),
        ({}, {"mirror": "https://c/debian"}, ["https://c/debian"], ["https://c/debian-security"]),
    ],
)  # fmt: skip
def test_what_the_user_says(environ, config, main, security, etc):
    found = choose(environ, config, etc)
    assert found == (tuple(main), tuple(security), ())


def test_the_hosts_own_sources(etc):
    (etc / "sources.list.d" / "debian.sources").write_text(SOURCES)
    (etc / "sources.list").write_text(LIST)
    found = choose({}, {}, etc)
    assert found.main == (
        "http://list.example/debian", "http://mirror.example/debian", "https://other.example/pub/debian",
    )  # fmt: skip
    assert found.security[:2] == (
        "http://list.example/debian-security", "http://mirror.example/debian-security",
    )  # fmt: skip


def test_nothing_known(etc):
    with pytest.raises(Error) as caught:
        choose({}, {}, etc)
    assert caught.value.code == "LK0506"
    assert "LINUXKIT_DEBIAN_MIRROR" in caught.value.hint


def test_sources_for_root_alone():
    """As those with passwords are: others go on with what they may read."""
    with tempfile.TemporaryDirectory() as folder:
        etc = Path(folder)
        etc.chmod(0o755)
        (etc / "sources.list.d").mkdir()
        secret, other = etc / "sources.list.d" / "a.list", etc / "sources.list"
        secret.write_text(LIST)
        secret.chmod(0)
        with _nobody():
            with pytest.raises(Error) as caught:
                choose({}, {}, etc)
            assert (caught.value.code, caught.value.detail) == ("LK0506", f"{secret} may not be read\n")
        other.write_text(LIST.replace("list.example", "other.example"))
        other.chmod(0o644)
        with _nobody():
            assert choose({}, {}, etc).main == ("http://other.example/debian",)


@contextlib.contextmanager
def _nobody():
    """Root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NUMBER)
    try:
        yield
    finally:
        os.seteuid(before)


def test_snapshots_alone_will_do(etc):
    found = choose({"LINUXKIT_DEBIAN_SNAPSHOT": "https://snap.example"}, {}, etc)
    assert found.files("trixie-security", "pool/a.deb", "20260102T030405Z") == (
        "https://snap.example/archive/debian-security/20260102T030405Z/pool/a.deb",
    )


def test_order_of_files(etc):
    found = choose({"LINUXKIT_DEBIAN_MIRROR": "http://a/debian"}, {"snapshot": "https://s"}, etc)
    assert found.files("trixie", "pool/a.deb", "T") == (
        "http://a/debian/pool/a.deb", "https://s/archive/debian/T/pool/a.deb",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["mirror.example/debian", "ftp://a/debian", "http://a/debian?x=1"])
def test_no_mirror(text, etc):
    with pytest.raises(Error) as caught:
        choose({"LINUXKIT_DEBIAN_MIRROR": text}, {}, etc)
    assert caught.value.code == "LK0507"
