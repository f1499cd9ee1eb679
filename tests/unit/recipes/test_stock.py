"""From a recipe and a small archive to an image: locking, building, naming."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tarfile
from datetime import timedelta

import pytest

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.net.http import Transport
from linuxkit.oci import image, model
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes import recipe, relock
from linuxkit.recipes.debian import archive as archives
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.debian.mirror import Mirrors
from linuxkit.recipes.debian.pool import Pool
from linuxkit.recipes.debian.release import Keyring
from linuxkit.recipes.stock import Shelf
from linuxkit.tree import compress
from support.debian_archive import NOW, SOURCE_EPOCH, DebianArchive, File, Pkg, deb, key
from support.elf import module, program

AMD64 = Platform("linux", "amd64")
LIBS = "./usr/lib/x86_64-linux-gnu"
PACKAGES = [
    Pkg("web", "1.2-3", "libx1 (>= 1), tools, docs", (
        File("./usr/"), File("./usr/sbin/"),
        File("./usr/sbin/web", program(["libx.so.1"], "/lib64/ld.so.1"), 0o755),
        File("./usr/sbin/web-again", link="./usr/sbin/web", hard=True),
        File("./usr/share/doc/web/copyright", b"c"), File("./etc/web.conf", b"a=1\n"),
        File("./var/lib/web"),
    )),
    Pkg("libx1", "1:2.0-1", "libc", (
        File(f"{LIBS}/libx.so.1", link="libx.so.1.5"),
        File(f"{LIBS}/libx.so.1.5", program(["libc.so.6"], "")),
        File(f"{LIBS}/libunused.so", program([], "")),
    )),
    Pkg("libc", "2.41-1", "", (
        File(f"{LIBS}/libc.so.6", program([], "")), File("./usr/lib64/ld.so.1", program([], ""), 0o755),
    )),
    Pkg("tools", "1", "", (File("./usr/bin/tool", b"#!"),), arch="all"),
    Pkg("docs", "1", "", (File("./usr/share/doc/docs", b"x"),), arch="all"),
    Pkg("linux-image-test", "6.12-1", "linux-image-6.12-test, initramfs-tools"),
    Pkg("linux-image-6.12-test", "6.12-1", "kmod", (
        File("./boot/vmlinuz-6.12-test", b"MZ kernel"), File("./boot/config-6.12-test", b"CONFIG_A=y\n"),
        File("./boot/System.map-6.12-test", b"map"),
        File("./usr/lib/modules/6.12-test/kernel/fs/a.ko", module({"depends": "b", "alias": "fs-a"})),
        File("./usr/lib/modules/6.12-test/kernel/fs/b.ko", module({"depends": ""})),
        File("./usr/lib/modules/6.12-test/kernel/fs/c.ko", module({"depends": ""})),
        File("./usr/lib/modules/6.12-test/modules.builtin", b"kernel/fs/d.ko\n"),
        File("./usr/lib/modules/6.12-test/modules.order", b"kernel/fs/c.ko\nkernel/fs/b.ko\nkernel/fs/a.ko\n"),
    )),
    Pkg("evil", "1", "", (File("./../../etc/passwd", b"x"),)),
]  # fmt: skip
WEB = """\
image: web
arches: [amd64, arm64]
config: {readonly: true, binds: ["/a:/b"]}
debian:
  packages: [web]
  keep: [usr/sbin/*, etc/web.conf, var/lib/web]
users: [{name: web, uid: 101, gid: 101}]
files:
  - {path: etc/more, source: more.conf}
  - {path: usr/bin/run, source: run.sh}
  - {path: etc/web.conf, contents: "b=2\\n", mode: "0600"}
  - {path: srv, directory: true, uid: 101, gid: 101}
  - {path: etc/joined, concat: "usr/bin/tool"}
entrypoint: ["/usr/sbin/web"]
cmd: ["-x"]
env: [A=b]
workdir: /srv
user: "101:101"
labels: {org.example.x: "1"}
"""
KERNEL = """\
image: kernel
arches: [amd64]
kernel:
  packages: {amd64: linux-image-test}
  modules: [a, d]
"""


@pytest.fixture(scope="module")
def signer():
    return key()


class Bench:
    """An archive, recipes, a lock and a store in one folder."""

    def __init__(self, root, signer):
        self.root = root
        self.archive = DebianArchive(root / "debian", signer)
        self.recipes = root / "packages"
        self.store = Store(root / "store", sync=False)
        self.keyring = root / "key.gpg"
        self.keyring.write_bytes(signer.public)
        self.add("web", WEB, {"more.conf": "more\n", "run.sh": "#!/bin/sh\n"})
        (self.recipes / "web" / "run.sh").chmod(0o755)

    def add(self, name, text, files=()):
        folder = self.recipes / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "build.yml").write_text(text)
        for path, content in dict(files).items():
            (folder / path).write_text(content)

    def shelf(self):
        return Shelf(self.recipes, self.root / "debian.lock")

    def pool(self, store=None, mirrors=None):
        found = mirrors or Mirrors((self.archive.url,), ())
        return Pool(store or self.store, lambda: found, Transport)

    def lock(self, names=("web",), arches=("amd64",)):
        path = self.root / "debian.lock"
        old = locks.load(path) if path.exists() else locks.EMPTY
        mirrors = Mirrors((self.archive.url,), ())
        found = archives.reach(mirrors, Keyring([self.keyring]), Transport(), NOW)
        refreshed = relock.refresh(
            old, [recipe.load(self.recipes / name) for name in names], arches,
            relock.Bench(found, self.pool(), self.store),
        )  # fmt: skip
        path.write_bytes(locks.encode(refreshed.lock))
        return old, refreshed

    def build(self, name="web", arch="amd64", store=None):
        store = store or self.store
        return self.shelf().image(name, arch, store, self.pool(store))

    def tree(self, descriptor, store=None):
        store = store or self.store
        opened = image.open_image(store, descriptor, AMD64)
        (layer,) = opened.manifest.layers
        out = io.BytesIO()
        with store.open(layer.digest, layer.size) as source:
            compress.spool(source, out)
        out.seek(0)
        with tarfile.open(fileobj=out) as archive:
            return opened, {
                m.name: (m, archive.extractfile(m).read() if m.isreg() else b"") for m in archive
            }


@pytest.fixture
def bench(tmp_path, signer):
    made = Bench(tmp_path, signer)
    made.archive.publish("trixie", PACKAGES)
    return made


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


def test_image(bench):
    bench.lock()
    opened, tree = bench.tree(bench.build())
    assert sorted(tree) == [
        "bin", "etc", "etc/group", "etc/joined", "etc/more", "etc/passwd", "etc/web.conf", "lib", "lib64",
        "sbin", "srv", "usr", "usr/bin", "usr/bin/run", "usr/lib", "usr/lib/x86_64-linux-gnu",
        "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libx.so.1",
        "usr/lib/x86_64-linux-gnu/libx.so.1.5", "usr/lib64", "usr/lib64/ld.so.1", "usr/sbin",
        "usr/sbin/web", "usr/sbin/web-again", "var", "var/lib", "var/lib/web",
    ]  # fmt: skip
    assert tree["etc/web.conf"][1] == b"b=2\n"  # our own file wins
    assert tree["etc/web.conf"][0].mode == 0o600
    assert tree["etc/joined"][1] == b"#!"
    assert (tree["usr/bin/run"][0].mode, tree["etc/more"][0].mode) == (0o755, 0o644)
    assert tree["usr/sbin/web-again"][0].islnk()
    assert tree["usr/sbin/web-again"][0].linkname == "usr/sbin/web"
    assert tree["lib"][0].linkname == "usr/lib"
    assert (tree["srv"][0].uid, tree["srv"][0].gid) == (101, 101)
    assert tree["etc/passwd"][1].decode().splitlines() == [
        "root:x:0:0:root:/root:/sbin/nologin", "web:x:101:101::/:/sbin/nologin",
    ]  # fmt: skip
    assert tree["etc/group"][1] == b"root:x:0:\nweb:x:101:\n"
    assert {member.mtime for member, _ in tree.values()} == {SOURCE_EPOCH}
    config = opened.config
    assert (config.entrypoint, config.cmd, config.env) == (("/usr/sbin/web",), ("-x",), ("A=b",))
    assert (config.cwd, config.user) == ("/srv", "101:101")
    assert dict(config.labels) == {
        "org.example.x": "1",
        "org.linuxkit.debian.packages": "libc=2.41-1 libx1=1:2.0-1 tools=1 web=1.2-3",
        "org.mobyproject.config": '{"binds":["/a:/b"],"readonly":true}',
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.version": "1.2-3",
    }


def test_without_merged_usr_only_the_loader_is_linked(bench):
    bench.add("web", WEB.replace("  keep:", "  usr-merge: false\n  keep:"))
    bench.lock()
    _, tree = bench.tree(bench.build())
    assert not {"bin", "sbin", "lib"} & set(tree)
    assert tree["lib64"][0].isdir()
    assert tree["lib64/ld.so.1"][0].linkname == "../usr/lib64/ld.so.1"


def test_kernel(bench):
    bench.add("kernel", KERNEL)
    _, refreshed = bench.lock(["kernel"])
    assert refreshed.failures == ()
    assert refreshed.lock.of("kernel", "amd64").debs == ("linux-image-6.12-test_6.12-1_amd64",)
    opened, tree = bench.tree(bench.build("kernel"))
    assert sorted(tree) == ["config", "kernel", "kernel.tar"]
    assert tree["kernel"][1] == b"MZ kernel"
    with tarfile.open(fileobj=io.BytesIO(tree["kernel.tar"][1])) as modules:
        names = modules.getnames()
        root = "lib/modules/6.12-test"
        assert names == [
            "lib", "lib/modules", root, f"{root}/kernel", f"{root}/kernel/fs", f"{root}/kernel/fs/a.ko",
            f"{root}/kernel/fs/b.ko", f"{root}/modules.alias", f"{root}/modules.builtin",
            f"{root}/modules.dep", f"{root}/modules.order", f"{root}/modules.softdep",
        ]  # fmt: skip
        dep = modules.extractfile(f"{root}/modules.dep").read()
        assert dep == b"kernel/fs/a.ko: kernel/fs/b.ko\nkernel/fs/b.ko:\n"
        order = modules.extractfile(f"{root}/modules.order").read()
        assert order == b"kernel/fs/b.ko\nkernel/fs/a.ko\n"
    assert opened.config.labels["org.linuxkit.debian.packages"] == "linux-image-6.12-test=6.12-1"


def test_kernel_of_the_newer_layout(bench):
    root = "./usr/lib/modules/7.1"
    bench.archive.publish("trixie", [
        Pkg("linux-image-test", "7.1-1", "linux-binary-7.1-test, linux-modules-7.1-test"),
        Pkg("linux-binary-7.1-test", "7.1-1", "", (
            File(f"{root}/vmlinuz", b"MZ"), File(f"{root}/config", b"C"))),
        Pkg("linux-modules-7.1-test", "7.1-1", "", (File(f"{root}/kernel/a.ko", module({})),)),
    ])  # fmt: skip
    bench.add("kernel", KERNEL.replace("[a, d]", "[a]"))
    assert bench.lock(["kernel"])[1].failures == ()
    _, tree = bench.tree(bench.build("kernel"))
    assert (tree["kernel"][1], tree["config"][1]) == (b"MZ", b"C")
    assert b"lib/modules/7.1/kernel/a.ko" in tree["kernel.tar"][1]


TREES = KERNEL.replace("[a, d]", "[a]") + '  device-trees: ["acme/board-?.dtb"]\n'


@pytest.mark.parametrize("root", ["usr/lib/linux-image-6.12-test", "usr/lib/modules/6.12-test/dtb"])
def test_device_trees_of_a_kernel_of_another_suite(bench, root):
    bench.archive.publish("trixie-backports", [
        Pkg("linux-image-test", "6.12-1", "", (
            File("./usr/lib/modules/6.12-test/vmlinuz", b"MZ"),
            File("./usr/lib/modules/6.12-test/kernel/a.ko", module({})),
            *(File(f"./{root}/acme/board-{name}.dtb", name.encode()) for name in ("1", "2", "10")),
        )),
    ])  # fmt: skip
    bench.add("kernel", TREES + "  suite: trixie-backports\n")
    _, refreshed = bench.lock(["kernel"])
    assert refreshed.failures == ()
    assert refreshed.lock.debs["linux-image-test_6.12-1_amd64"].suite == "trixie-backports"
    assert "trixie-backports" in refreshed.lock.suites
    _, tree = bench.tree(bench.build("kernel"))
    with tarfile.open(fileobj=io.BytesIO(tree["kernel.tar"][1])) as found:
        names = [name for name in found.getnames() if name.startswith("boot")]
        assert names == [
            "boot", "boot/dtb", "boot/dtb/acme", "boot/dtb/acme/board-1.dtb", "boot/dtb/acme/board-2.dtb",
        ]  # fmt: skip
        assert found.extractfile("boot/dtb/acme/board-2.dtb").read() == b"2"


def test_device_trees_that_a_kernel_lacks(bench):
    bench.add("kernel", KERNEL + '  device-trees: ["acme/*.dtb"]\n')
    bench.lock(["kernel"])
    with pytest.raises(Error) as caught:
        bench.build("kernel")
    assert caught.value.code == "LK0526"
    assert "acme/*.dtb" in caught.value.message


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


def test_unknown_module(bench):
    bench.add("kernel", KERNEL.replace("[a, d]", "[aa]"))
    bench.lock(["kernel"])
    with pytest.raises(Error) as caught:
        bench.build("kernel")
    assert caught.value.code == "LK0532"


def build_elsewhere(root, signer_public, where):
    os.umask(0o077)
    os.environ["TZ"] = "Asia/Tokyo"
    os.chdir(where)
    made = Bench.__new__(Bench)
    made.root, made.recipes = root, root / "packages"
    made.archive = DebianArchive(root / "debian", None)
    store = Store(where / "store", sync=False)
    (where / "answer").write_text(made.build(store=store).digest)


def test_same_bytes_for_every_user_place_and_time(bench, tmp_path):
    bench.lock()
    digest = bench.build().digest
    where = tmp_path / "elsewhere"
    where.mkdir()
    for path in bench.recipes.rglob("*"):
        os.utime(path, (1, 1))
    job = multiprocessing.get_context("fork").Process(
        target=build_elsewhere, args=(bench.root, None, where)
    )
    job.start()
    job.join(60)
    assert (where / "answer").read_text() == digest


def build_many(root, barrier):
    made = Bench.__new__(Bench)
    made.root, made.recipes = root, root / "packages"
    made.archive = DebianArchive(root / "debian", None)
    made.store = Store(root / "store", sync=False)
    barrier.wait(30)
    made_now = []
    with events.reporting(lambda e: made_now.append(e) if isinstance(e, events.Started) else None):
        digest = made.build().digest
    (root / f"answer{os.getpid()}").write_text(json.dumps([digest, len(made_now)]))


def test_eight_processes_do_the_work_once(bench):
    bench.lock()
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(8)
    jobs = [fork.Process(target=build_many, args=(bench.root, barrier)) for _ in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    answers = [json.loads(path.read_text()) for path in bench.root.glob("answer*")]
    assert len(answers) == 8
    assert len({digest for digest, _ in answers}) == 1
    assert sorted(count for _, count in answers)[:7] == [0] * 7


def test_second_build_needs_no_archive(bench):
    bench.lock()
    first = bench.build()
    (bench.root / "debian").rename(bench.root / "gone")
    assert bench.build() == first
    # Nor does one after the image is lost: the .debs are kept.
    bench.store.remove_name(bench.shelf().reference("web", "amd64"))
    assert bench.build() == first


def test_a_lost_layer_is_made_again(bench):
    bench.lock()
    first = bench.build()
    layer = image.open_image(bench.store, first, AMD64).manifest.layers[0]
    bench.store.path(layer.digest).unlink()
    assert bench.build() == first
    assert bench.store.has(layer.digest, layer.size)


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


def code(call):
    with pytest.raises(Error) as caught:
        call()
    return caught.value


def test_odd_things_in_a_package_folder(bench):
    bench.lock()
    (bench.recipes / "web" / "link").symlink_to("/etc/passwd")
    assert code(lambda: bench.shelf().reference("web", "amd64")).code == "LK0534"


def test_names(bench):
    bench.add("kernel", KERNEL)
    (bench.recipes / "no-recipe").mkdir()
    assert bench.shelf().names() == ("kernel", "web")
    error = code(lambda: bench.shelf().reference("wep", "amd64"))
    assert (error.code, error.hint) == ("LK0501", 'did you mean "web"?')
    for name in ("", ".", "..", "../web", "web/", "a\0b", "no-recipe"):
        assert code(lambda n=name: bench.shelf().path(n)).code == "LK0501"


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
    error = code(lambda: bench.build(arch=arch))
    assert error.code == expected
    if expected != "LK0538":
        assert f"linuxkit pkg lock --update web --arch {arch}" in error.hint


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("files:\n", 'files:\n  - {path: etc, contents: ""}\n'), "LK0535"),
        (("files:\n", 'files:\n  - {path: etc/web.conf/x, contents: ""}\n'), "LK0535"),
        (("source: more.conf", "source: ../../key.gpg"), "LK0536"),
        (("source: more.conf", "source: none.conf"), "LK0536"),
        (("source: more.conf", "guest: no-such-program"), "LK0537"),
    ],
)
def test_own_files_that_cannot_be(bench, change, expected):
    bench.add("web", WEB.replace(*change))
    bench.lock()
    assert code(bench.build).code == expected
    assert not bench.store.names()


def test_concat_that_fits_nothing(bench):
    bench.add("web", WEB.replace("usr/bin/tool", "usr/bin/none"))
    bench.lock()
    assert code(bench.build).code == "LK0541"


def test_a_hostile_package(bench):
    bench.add("web", "image: web\ndebian: {packages: [evil]}\n")
    _, refreshed = bench.lock()
    (failure,) = refreshed.failures
    assert failure.code == "LK0601"
    assert "web amd64: evil 1" in failure.message


def test_a_damaged_deb_in_the_store(bench):
    bench.lock()
    (web,) = [d for d in bench.shelf().debs("web", "amd64") if d.package == "web"]
    path = bench.store.path(web.sha256)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    error = code(bench.build)
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
    error = code(lambda: bench.build(store=fresh))
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


def test_manifest_is_plain_oci(bench):
    bench.lock()
    made = bench.build()
    assert made.media_type == model.OCI_MANIFEST
    document = json.loads(bench.store.read(made.digest, 1 << 20))
    assert document["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"


def test_the_fixture_is_a_real_deb():
    assert deb([]).startswith(b"!<arch>\n")


def test_a_recipe_that_no_driver_of_ours_makes(bench):
    bench.add("upstream", "image: upstream\ndockerfile: Dockerfile\n")
    bench.lock()
    with pytest.raises(Error) as caught:
        bench.build("upstream")
    assert caught.value.code == "LK0546"
