"""Real packages of Debian, fetched by this host's apt: signatures, closures, and a program that runs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime

import pytest

from linuxkit.net.http import Transport
from linuxkit.oci import image
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes import recipe, relock
from linuxkit.recipes.debian import archive as archives
from linuxkit.recipes.debian import deb as debs
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.debian import release, solver
from linuxkit.recipes.debian.mirror import Mirrors
from linuxkit.recipes.debian.pool import Pool
from linuxkit.recipes.debian.release import Keyring
from linuxkit.recipes.stock import Shelf
from linuxkit.tree import compress
from linuxkit.tree.entry import Kind
from support.apt_mirror import AptMirror

pytestmark = [pytest.mark.net, pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt")]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    made = AptMirror(tmp_path_factory.mktemp("mirror"), ["amd64"])
    made.update()
    made.add_recipes(["crun"], "amd64")
    return made


@pytest.fixture(scope="module")
def reached(mirror):
    mirrors = Mirrors((mirror.url,), (f"{mirror.url}-security",))
    keys = Keyring(release.shipped_keys())
    return archives.reach(mirrors, keys, Transport(), datetime.now(UTC))


def pool(mirror, store):
    mirrors = Mirrors((mirror.url,), (f"{mirror.url}-security",))
    return Pool(store, lambda: mirrors, Transport)


@pytest.fixture(scope="module")
def locked(mirror, reached, tmp_path_factory):
    root = tmp_path_factory.mktemp("locked")
    store = Store(root / "store", sync=False)
    crun = recipe.load(Shelf().path("crun"))
    bench = relock.Bench(reached, pool(mirror, store), store)
    refreshed = relock.refresh(locks.EMPTY, [crun], ["amd64"], bench)
    assert refreshed.failures == ()
    (root / "debian.lock").write_bytes(locks.encode(refreshed.lock))
    return root / "debian.lock"


def test_all_suites_are_signed_by_the_keys_we_ship(reached):
    assert tuple(reached.suites) == archives.suites()


@pytest.mark.parametrize("name", ["crun", "nginx-light", "openssh-server"])
def test_closure_as_apt(mirror, name):
    out = mirror.apt("apt-get", "-s", "--no-install-recommends", "install", name).decode()
    theirs = set(re.findall(r"^Inst (\S+)", out, re.MULTILINE))
    ours = {p.name for p in solver.closure(mirror.index("amd64"), [name], arch="amd64")}
    assert ours == theirs


def test_debs_as_dpkg_deb(locked, mirror, tmp_path):
    lock = locks.load(locked)
    for deb in lock.debs_of("crun", "amd64"):
        path = mirror.place(deb.suite, deb.pool)
        listed = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=True)
        (tmp_path / "data.tar").write_bytes(listed.stdout)
        with tarfile.open(tmp_path / "data.tar") as theirs:
            expected = {
                (m.name.removeprefix("./"), m.mode, m.size if m.isreg() else 0) for m in theirs
                if m.name not in (".", "./")
            }  # fmt: skip
        with path.open("rb") as source, (tmp_path / "scratch").open("w+b") as scratch:
            found = {
                (e.path, e.mode, e.content.size if e.kind is Kind.FILE else 0)
                for e in debs.unpack(source, scratch)
            }
        assert found == expected, deb.package


def test_crun_twice_and_run_it(locked, mirror, tmp_path):
    digests = []
    for name in ("one", "two"):
        store = Store(tmp_path / name, sync=False)
        found = Shelf(lock=locked).image("crun", "amd64", store, pool(mirror, store))
        digests.append(found.digest)
    assert digests[0] == digests[1]
    (layer,) = image.open_image(store, found, Platform("linux", "amd64")).manifest.layers
    with (tmp_path / "layer.tar").open("w+b") as out, store.open(layer.digest) as source:
        compress.spool(source, out)
    root = tmp_path / "root"
    with tarfile.open(tmp_path / "layer.tar") as archive:
        archive.extractall(root, filter="fully_trusted")  # noqa: S202 - we wrote it
    if platform.machine() != "x86_64":
        return
    libraries = root / "usr/lib/x86_64-linux-gnu"
    loader = [libraries / "ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", libraries]
    env = {**os.environ, "LD_LIBRARY_PATH": ""}
    done = subprocess.run(
        [*loader, "--list", root / "usr/bin/crun"], capture_output=True, text=True, env=env, check=True
    )
    paths = re.findall(r"=> (\S+)", done.stdout)
    assert paths
    assert all(path.startswith(str(root)) for path in paths)
