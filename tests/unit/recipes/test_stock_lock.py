"""What locking records of an archive, and what depends on it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from linuxkit.recipes import relock
from linuxkit.recipes.debian import archive as archives
from linuxkit.recipes.debian import lock as locks
from support.bench import PACKAGES, WEB, refused
from support.debian_archive import NOW, File, Pkg


def test_lock_names_only_what_is_used(bench):
    old, refreshed = bench.lock()
    assert refreshed.failures == ()
    lock = locks.load(bench.root / "debian.lock")
    assert lock.of("web", "amd64").debs == (
        "libc_2.41-1_amd64", "libx1_1:2.0-1_amd64", "tools_1_all", "web_1.2-3_amd64",
    )  # fmt: skip
    assert lock.debs["web_1.2-3_amd64"].seen == "20261124T120000Z"
    assert lock.suites["trixie"]["date"] == "2026-11-23T12:00:00Z"
    assert relock.differences(old, lock) == [
        "web (amd64): +libc 2.41-1, +libx1 1:2.0-1, +tools 1, +web 1.2-3"
    ]


def test_a_recipe_of_another_component(bench):
    bench.archive.publish("trixie", [], others={"non-free-firmware": [
        Pkg("blob", "1-1", "", (File("./usr/lib/blob", b"B"),))]})  # fmt: skip
    text = "image: blob\ndebian:\n  packages: [blob]\n  keep: [usr/lib/blob]\n"
    bench.add("blob", text)
    assert [error.code for error in bench.lock(["blob"])[1].failures] == ["LK0502"]
    bench.add("blob", text + "  components: [main, non-free-firmware]\n")
    assert bench.lock(["blob"])[1].failures == ()
    _, tree = bench.tree(bench.build("blob"))
    assert tree["usr/lib/blob"][1] == b"B"


def test_reference_changes_with_every_input(bench):
    bench.lock()
    seen = {bench.shelf().reference("web", "amd64")}

    def changed():
        reference = bench.shelf().reference("web", "amd64")
        fresh = reference not in seen
        seen.add(reference)
        return fresh

    assert not changed()
    assert bench.shelf().reference("web", "arm64") not in seen
    (bench.recipes / "web" / "more.conf").write_text("x")
    assert changed()
    (bench.recipes / "web" / "more.conf").chmod(0o700)
    assert changed()
    (bench.recipes / "web" / "new").write_text("")
    assert changed()
    (bench.recipes / "web" / "new").rename(bench.recipes / "web" / "other")
    assert changed()
    bench.archive.publish("trixie", [p._replace(version="9") if p.name == "tools" else p for p in PACKAGES])
    assert not changed()  # what the archive has now is of no interest
    bench.archive.publish("trixie", [
        p._replace(version="9", files=(File("./usr/bin/tool", b"new"),)) if p.name == "tools" else p
        for p in PACKAGES
    ])  # fmt: skip
    bench.lock()
    assert changed()


@pytest.mark.parametrize(
    ("change", "arch", "expected"),
    [
        (lambda text: text, "s390x", "LK0538"),
        (lambda text: text, "arm64", "LK0539"),
        (lambda text: text.replace("usr/sbin/*", "usr/sbin/web"), "amd64", "LK0540"),
    ],
)
def test_recipe_and_lock_must_agree(bench, change, arch, expected):
    bench.lock()
    bench.add("web", change(WEB))
    error = refused(lambda: bench.build(arch=arch))
    assert error.code == expected
    if expected != "LK0538":
        assert f"linuxkit pkg lock --update web --arch {arch}" in error.hint


def test_a_hostile_package(bench):
    bench.add("web", "image: web\ndebian: {packages: [evil]}\n")
    _, refreshed = bench.lock()
    (failure,) = refreshed.failures
    assert failure.code == "LK0601"
    assert "web amd64: evil 1" in failure.message


def test_one_architecture_does_not_stop_the_others(bench):
    arm = [p._replace(arch="arm64") if p.arch == "amd64" else p for p in PACKAGES]
    bench.archive.publish("trixie", [*PACKAGES, *arm], arches=("amd64", "arm64"))
    index = bench.archive.root / "dists/trixie/main/binary-arm64/Packages.xz"
    good = index.read_bytes()
    index.write_bytes(good + b"x")
    archives._PAUSE_S, before = 0, archives._PAUSE_S
    try:
        _, refreshed = bench.lock(arches=("arm64", "amd64"))
    finally:
        archives._PAUSE_S = before
    (failure,) = refreshed.failures
    assert failure.code == "LK0519"
    assert "arm64 stays as it was" in failure.message
    assert refreshed.lock.of("web", "amd64") is not None
    assert refreshed.lock.of("web", "arm64") is None


def test_relocking_changes_no_more_than_it_must(bench):
    bench.lock()
    before = (bench.root / "debian.lock").read_bytes()
    bench.archive.publish("trixie", PACKAGES)
    bench.lock()
    assert (bench.root / "debian.lock").read_bytes() == before
    newer = [p._replace(version="2") if p.name == "tools" else p for p in PACKAGES]
    bench.archive.publish("trixie", newer, date=NOW - timedelta(hours=1))
    old, refreshed = bench.lock()
    assert relock.differences(old, refreshed.lock) == ["web (amd64): tools 1 → 2"]
    assert refreshed.lock.debs["web_1.2-3_amd64"] == old.debs["web_1.2-3_amd64"]
