"""Where the .debs of a locked package come from, and what is believed of them."""

from __future__ import annotations

import pytest

from linuxkit.oci.store import Store
from linuxkit.recipes.debian.mirror import Mirrors
from support.bench import refused
from support.debian_archive import deb


def test_second_build_needs_no_archive(bench):
    bench.lock()
    first = bench.build()
    (bench.root / "debian").rename(bench.root / "gone")
    assert bench.build() == first
    # Nor does one after the image is lost: the .debs are kept.
    bench.store.remove_name(bench.shelf().reference("web", "amd64"))
    assert bench.build() == first


def test_a_damaged_deb_in_the_store(bench):
    bench.lock()
    (web,) = [d for d in bench.shelf().debs("web", "amd64") if d.package == "web"]
    path = bench.store.path(web.sha256)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    error = refused(bench.build)
    assert error.code == "LK0305"
    assert "web 1.2-3" in error.message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data[:-1] + b"x", "LK0528"),
        (lambda data: data + b"x", "LK0528"),
        (lambda data: data[:-1], "LK0528"),
        (lambda data: b"", "LK0528"),
        (None, "LK0527"),
    ],
)
def test_a_mirror_with_another_deb(bench, change, expected):
    bench.lock()
    path = bench.archive.root / "pool/main/w/web_1.2-3_amd64.deb"
    data = path.read_bytes()
    path.write_bytes(change(data)) if change else path.unlink()
    fresh = Store(bench.root / "fresh", sync=False)
    error = refused(lambda: bench.build(store=fresh))
    assert error.code == expected
    assert "web 1.2-3" in error.message
    assert not fresh.has(bench.shelf().lock.debs["web_1.2-3_amd64"].sha256)


def test_snapshot_service_has_what_the_mirror_lost(bench):
    bench.lock()
    web = bench.shelf().lock.debs["web_1.2-3_amd64"]
    place = bench.root / "snap" / "archive" / "debian" / web.seen / web.pool
    place.parent.mkdir(parents=True)
    (bench.archive.root / web.pool).rename(place)
    fresh = Store(bench.root / "fresh", sync=False)
    mirrors = Mirrors((bench.archive.url,), (), ((bench.root / "snap").as_uri(),))
    made = bench.shelf().image("web", "amd64", fresh, bench.pool(fresh, mirrors))
    assert made.digest == bench.build().digest


def test_the_fixture_is_a_real_deb():
    assert deb([]).startswith(b"!<arch>\n")
