"""From a recipe and a small archive to an image: building, naming."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.oci import image, model
from linuxkit.oci.store import Store
from support.bench import AMD64, WEB, Bench, refused
from support.debian_archive import SOURCE_EPOCH, DebianArchive


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


def test_a_lost_layer_is_made_again(bench):
    bench.lock()
    first = bench.build()
    layer = image.open_image(bench.store, first, AMD64).manifest.layers[0]
    bench.store.path(layer.digest).unlink()
    assert bench.build() == first
    assert bench.store.has(layer.digest, layer.size)


def test_odd_things_in_a_package_folder(bench):
    bench.lock()
    (bench.recipes / "web" / "link").symlink_to("/etc/passwd")
    assert refused(lambda: bench.shelf().reference("web", "amd64")).code == "LK0534"


def test_names(bench):
    bench.add("kernel", WEB)
    (bench.recipes / "no-recipe").mkdir()
    assert bench.shelf().names() == ("kernel", "web")
    error = refused(lambda: bench.shelf().reference("wep", "amd64"))
    assert (error.code, error.hint) == ("LK0501", 'did you mean "web"?')
    for name in ("", ".", "..", "../web", "web/", "a\0b", "no-recipe"):
        assert refused(lambda n=name: bench.shelf().path(n)).code == "LK0501"


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
    assert refused(bench.build).code == expected
    assert not bench.store.names()


def test_concat_that_fits_nothing(bench):
    bench.add("web", WEB.replace("usr/bin/tool", "usr/bin/none"))
    bench.lock()
    assert refused(bench.build).code == "LK0541"


def test_manifest_is_plain_oci(bench):
    bench.lock()
    made = bench.build()
    assert made.media_type == model.OCI_MANIFEST
    document = json.loads(bench.store.read(made.digest, 1 << 20))
    assert document["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"


def test_a_recipe_that_no_driver_of_ours_makes(bench):
    bench.add("upstream", "image: upstream\ndockerfile: Dockerfile\n")
    bench.lock()
    with pytest.raises(Error) as caught:
        bench.build("upstream")
    assert caught.value.code == "LK0546"
