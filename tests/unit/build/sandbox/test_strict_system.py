"""What a strict container adds to the system's tree: owners, places to mount on, the helper."""

from __future__ import annotations

import json
import tarfile

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.build import boot
from linuxkit.build.sandbox import program, ranges, record
from linuxkit.sources.store import Stored
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import image

HEAD = 'init: ["lk/init:1", "lk/runtime:1"]\n'


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Name → member of the tar of a system with these services."""
    store = linuxkit.open_store(tmp_path / "cache")
    init = Entry("init", Kind.FILE, 0o755, content=Bytes(b"#!"))
    image(store, "docker.io/lk/init:1", {"init": init}, labels={"org.linuxkit.boot-table": "1"})
    image(store, "docker.io/lk/runtime:1", {"crun": "x"}, labels={"org.linuxkit.runtime": "/crun"})
    owned = Entry("data", Kind.FILE, 0o600, uid=7, gid=8, content=Bytes(b"d"))
    link = Entry("also", Kind.HARDLINK, link="data")
    image(store, "docker.io/lk/app:1", {"data": owned, "also": link, "var/": "", "var/run": "-> /run"}, cmd=["/app"])
    helper = tmp_path / "confine"
    helper.write_bytes(b"ELF")
    monkeypatch.setattr(program.resources, "guest", lambda *_: helper)

    def make(text, head=HEAD):
        yml = tmp_path / "in.yml"
        yml.write_text(head + text)
        spec = linuxkit.load([yml], arch="amd64")
        plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")
        system = linuxkit.assemble(plan, store=store)
        (made,) = linuxkit.emit(system, ["tar"], directory=tmp_path, name="t")
        with tarfile.open(made.directory / made.files[0].name) as archive:
            return {
                member.name: (member, archive.extractfile(member).read() if member.isfile() else b"")
                for member in archive
            }

    make.cache = tmp_path / "cache"
    return make


def owner(tree, path):
    member = tree[path][0]
    return member.uid, member.gid


def test_files_belong_to_the_containers_own_ids(build):
    tree = build("profile: strict\nservices: [{name: a, image: 'lk/app:1'}, {name: b, image: 'lk/app:1'}]\n")
    planned = ranges.ranges(["services/a", "services/b"])
    for name in ("a", "b"):
        first, root = planned[f"services/{name}"], f"containers/services/{name}/rootfs"
        assert owner(tree, f"{root}/data") == (first + 7, first + 8)
        assert owner(tree, root) == owner(tree, f"{root}/etc") == (first, first)
        config = json.loads(tree[f"containers/services/{name}/config.json"][1])
        assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": first, "size": 65536}]
        made = record.decode(tree[f"containers/services/{name}/confine.record"][1])
        assert (made.landlock, made.writable) == ("enforce", ())
    assert tree["usr/lib/linuxkit/confine"][1] == b"ELF"
    assert tree["usr/lib/linuxkit/confine"][0].mode == 0o755


def test_containers_of_one_image_with_the_systems_ids_share_its_files(build):
    tree = build(
        "profile: strict\nservices: [{name: a, image: 'lk/app:1', userns: host}, {name: b, image: 'lk/app:1', userns: host},"
        " {name: c, image: 'lk/app:1', profile: compat, readonly: true}]\n"
    )
    assert owner(tree, "containers/services/a/rootfs/data") == (7, 8)
    for name in ("b", "c"):
        assert f"containers/services/{name}/rootfs/data" not in tree
        runtime = json.loads(tree[f"containers/services/{name}/runtime.json"][1])
        assert runtime["mounts"][0]["source"] == "/containers/services/a/rootfs"


def test_there_is_something_to_mount_on(build):
    tree = build(
        "profile: strict\n"
        "services: [{name: a, image: 'lk/app:1', tmpfs: [/tmp, /a/b], binds: ['/etc/motd:/m/motd', '/x:/data', '/y:/var/run/y']}]\n"
        "files: [{path: etc/motd, contents: x, mode: '0644'}]\n"
    )
    root, first = "containers/services/a/rootfs", ranges.ranges(["services/a"])["services/a"]
    for path in ("tmp", "a", "a/b", "m"):
        assert tree[f"{root}/{path}"][0].isdir(), path
        assert owner(tree, f"{root}/{path}") == (first, first)
    assert tree[f"{root}/m/motd"][0].isfile()
    assert not tree[f"{root}/data"][0].isdir()  # what the image has stays
    assert tree[f"{root}/run/y"][0].isdir()  # links are followed inside of the image
    assert tree[f"{root}/var/run"][0].issym()


def test_compat_has_none_of_it(build):
    tree = build("services: [{name: a, image: 'lk/app:1', readonly: true, tmpfs: [/tmp]}]\n")
    assert "usr/lib/linuxkit/confine" not in tree
    assert "containers/services/a/confine.record" not in tree
    assert "containers/services/a/rootfs/tmp" not in tree
    assert owner(tree, "containers/services/a/rootfs/data") == (7, 8)


def test_secrets_have_a_place_and_no_content(build):
    tree = build(
        "services:\n"
        "  - {name: a, image: 'lk/app:1', profile: strict, uid: 7, secrets: [token, tls.key]}\n"
        "  - {name: b, image: 'lk/app:1', readonly: true, secrets: [token]}\n"
        "  - {name: c, image: 'lk/app:1', profile: strict}\n"
    )
    first = ranges.ranges(["services/a", "services/b", "services/c"])["services/a"]
    assert owner(tree, "containers/services/a/rootfs/run/secrets") == (first, first)
    assert "containers/services/b/rootfs/run/secrets" in tree
    assert "containers/services/c/rootfs/run/secrets" not in tree
    for name in ("a", "b"):
        mounts = json.loads(tree[f"containers/services/{name}/config.json"][1])["mounts"]
        (own,) = (mount for mount in mounts if mount["destination"] == "/run/secrets")
        assert own["source"] == f"/containers/services/{name}/secrets"
        assert {"ro", "noexec", "nosuid", "nodev", "rprivate"} <= set(own["options"])
    table = boot.dump(tree["etc/linuxkit/boot.table"][1])
    assert f'"mode=0500,size=1m,noswap,uid={first + 7},gid={first}"' in table
    helper = f'exec "/usr/lib/linuxkit/secrets" "/containers/services/a/secrets" "{first + 7}" "{first}" "token" "tls.key"'
    assert table.index("/containers/services/a/secrets") < table.index(helper) < table.index('"/containers/services/a"')
    assert 'umount "/containers/services/a/secrets"' in table
    assert "services/c/secrets" not in table
    assert tree["usr/lib/linuxkit/secrets"][0].mode == 0o755


@pytest.mark.parametrize("bind", ["/run:/run", "/x:/run/secrets", "/:/", "/run/:/run/../run"])
def test_nothing_is_bound_over_secrets(build, bind):
    with pytest.raises(Error, match="hides its secrets") as caught:
        build(f"services: [{{name: a, image: 'lk/app:1', secrets: [x], binds: ['{bind}']}}]\n")
    assert (caught.value.code, caught.value.where.line) == ("LK0732", 2)


def test_an_init_that_gives_no_secrets_is_refused(build):
    with pytest.raises(Error, match="no init image gives secrets") as caught:
        build("services: [{name: a, image: 'lk/app:1', secrets: [x]}]\n", head='init: ["lk/runtime:1"]\n')
    assert caught.value.code == "LK0732"


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "x" * 65, "-a"])
def test_names_of_secrets_are_names_of_files(build, name):
    with pytest.raises(Error, match="not a name for a secret"):
        build(f"services: [{{name: a, image: 'lk/app:1', secrets: ['{name}']}}]\n")


def test_clocks_are_a_time_namespace(build):
    tree = build(
        "services: [{name: a, image: 'lk/app:1', clocks: {boottime: 5}},"
        " {name: b, image: 'lk/app:1', profile: strict, userns: host, clocks: {}}, {name: c, image: 'lk/app:1'}]\n"
    )
    linux = {n: json.loads(tree[f"containers/services/{n}/config.json"][1])["linux"] for n in "abc"}
    made = {n: [row for row in linux[n]["namespaces"] if row["type"] == "time"] for n in "abc"}
    assert made == {"a": [{"type": "time"}], "b": [{"type": "time"}], "c": []}
    assert [linux[n].get("timeOffsets") for n in "abc"] == [{"boottime": {"secs": 5, "nanosecs": 0}}, None, None]


def test_clocks_need_the_ids_of_the_system(build):
    with pytest.raises(Error, match="ids of its own") as caught:
        build("services: [{name: a, image: 'lk/app:1', profile: strict, clocks: {boottime: 5}}]\n")
    assert (caught.value.code, caught.value.hint[:18]) == ("LK0730", "add `userns: host`")


@pytest.mark.parametrize("runtime", ["/usr/bin/runc", "/usr/bin/crun-like"])
def test_runtimes_without_time_namespaces_are_refused(build, runtime):
    image(linuxkit.open_store(build.cache), "docker.io/lk/other:1", {"r": "x"}, labels={"org.linuxkit.runtime": runtime})
    head = 'init: ["lk/init:1", "lk/other:1"]\n'
    with pytest.raises(Error, match="does not make") as caught:
        build("services: [{name: a, image: 'lk/app:1', clocks: {boottime: 5}}]\n", head=head)
    assert (caught.value.code, caught.value.where.column) == ("LK0730", 49)
