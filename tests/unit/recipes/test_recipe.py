"""The language of package recipes."""

from __future__ import annotations

import pytest

from linuxkit.base import resources
from linuxkit.base.errors import Error
from linuxkit.recipes import recipe

WHOLE = """\
image: web
org: linuxkit
arches: [amd64, arm64]
network: true
buildArgs: [A=1]
depends:
  docker-images:
    list: [a@sha256:x]
    target-dir: images
config:
  readonly: true
  capabilities: [CAP_NET_ADMIN]
  uid: 101
  runtime: {mkdir: ["/a"]}
debian:
  packages:
    all: [nginx]
    arm64: [libatomic1]
  exclude: [perl-base]
  keep: {all: ["usr/sbin/nginx"], arm64: ["usr/lib/**"]}
  drop: ["usr/share/doc/**"]
  usr-merge: false
files:
  - {path: /etc/a, contents: "x", mode: "0600", uid: 5, gid: 6}
  - {path: init, guest: init}
  - {path: var/www, directory: true}
  - {path: b, symlink: ../c}
users:
  - {name: web, uid: 101, gid: 101}
entrypoint: ["/a", "b"]
cmd: [c]
env: [A=b]
workdir: /w
user: "101:101"
labels: {org.example: "1"}
"""


def load(tmp_path, text):
    folder = tmp_path / "web"
    folder.mkdir(exist_ok=True)
    (folder / "build.yml").write_text(text)
    return recipe.load(folder)


def test_everything(tmp_path):
    found = load(tmp_path, WHOLE)
    says = found.says
    assert found.name == "web"
    assert found.config == {
        "readonly": True, "capabilities": ["CAP_NET_ADMIN"], "uid": 101, "runtime": {"mkdir": ["/a"]},
    }  # fmt: skip
    assert says.debian.packages.get("amd64") == ("nginx",)
    assert says.debian.packages.get("arm64") == ("nginx", "libatomic1")
    assert says.debian.kept("amd64") == ("usr/sbin/nginx",)
    assert says.debian.kept("arm64") == ("usr/sbin/nginx", "usr/lib/**")
    assert not says.debian.usr_merge
    assert [file.path for file in says.files] == ["etc/a", "init", "var/www", "b"]
    assert (says.files[0].mode.bits, says.files[0].uid, says.files[0].gid) == (0o600, 5, 6)
    assert says.users[0].shell == "/sbin/nologin"
    assert (says.entrypoint, says.cmd, says.user) == (("/a", "b"), ("c",), "101:101")
    assert found.main_package("amd64") == "nginx"


def test_least(tmp_path):
    found = load(tmp_path, "image: a\ndebian:\n  packages: [b]\n")
    assert found.says.arches == ("amd64", "arm64", "riscv64", "s390x")
    assert found.says.debian.kept("amd64") is None
    assert found.says.debian.usr_merge
    assert found.config is None


def test_kernel(tmp_path):
    found = load(tmp_path, "image: k\nkernel:\n  packages: {amd64: linux-image-amd64}\n"
                           "  modules: {all: [overlay], amd64: [button]}\n")  # fmt: skip
    assert found.says.kernel.modules.get("amd64") == ("overlay", "button")
    assert found.says.kernel.modules.get("arm64") == ("overlay",)
    assert found.main_package("amd64") == "linux-image-amd64"
    assert found.main_package("arm64") == ""


BASE = "image: a\ndebian:\n  packages: [b]\n"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "LK0201", ""),
        ("debian: {packages: [b]}", "LK0205", "image"),
        (BASE + "entripoint: [x]", "LK0203", "entripoint"),
        ("image: a\ndebian: {packages: [b], keeep: [x]}", "LK0203", "keeep"),
        ("image: a\ndebian: {packages: {amd65: [b]}}", "LK0203", "amd65"),
        ("image: a\ndebian: {packages: [B]}", "LK0545", '"B"'),
        ("image: a\ndebian: {packages: [b], keep: [/usr]}", "LK0545", "/usr"),
        ("image: a\ndebian: {packages: [b], keep: {arm64: [usr/]}}", "LK0545", "usr/"),
        ("image: a\ndebian: {packages: [b], drop: [usr/]}", "LK0545", "usr/"),
        ("image: a\ndebian: {packages: [b], exclude: [../x]}", "LK0545", "../x"),
        ("image: a\ndebian: {packages: [b], components: [Main]}", "LK0545", '"Main"'),
        ("image: a\nkernel: {packages: {amd64: b}, suite: a/b}", "LK0545", "a/b"),
        ("image: a\ndebian: {packages: b}", "LK0204", "list|map"),
        ("image: a\nkernel: {packages: {amd65: x}}", "LK0545", "amd65"),
        (BASE + "kernel: {packages: {amd64: x}}", "LK0545", "both"),
        (BASE + "arches: [amd46]", "LK0545", "amd46"),
        (BASE + "files: [{path: a}]", "LK0545", "exactly one"),
        (BASE + "files: [{path: a, contents: x, symlink: b}]", "LK0545", "exactly one"),
        (BASE + "files: [{path: ../a, contents: x}]", "LK0601", ".."),
        (BASE + "files: [{path: a, contents: x, mode: '0999'}]", "LK0208", "0999"),
        (BASE + "files: [{path: a, contents: x, uid: -1}]", "LK0208", "uid"),
        (BASE + "files: [{path: a, contents: x, uid: 4294967296}]", "LK0208", "uid"),
        ("image: a\nfiles: [{path: a, concat: x}]", "LK0545", "concat"),
        (BASE + "users: [{name: root, uid: 0, gid: 0}]", "LK0545|LK0208", "root"),
        (BASE + "users: [{name: 'a:b', uid: 1, gid: 1}]", "LK0545", "a:b"),
        (BASE + "users: [{name: a, uid: 1, gid: 1, home: 'x:y'}]", "LK0545", "x:y"),
        (BASE + "config: &a [*a]", "LK02", ""),
    ],
)
def test_faults(tmp_path, text, code, words):
    with pytest.raises(Error) as caught:
        load(tmp_path, text)
    first = caught.value.all()[0]
    assert any(first.code.startswith(one) for one in code.split("|")), first
    assert any(word in str(first) for word in words.split("|"))
    assert first.where is not None


def test_all_faults_at_once(tmp_path):
    with pytest.raises(Error) as caught:
        load(tmp_path, BASE + "x: 1\nfiles: [{path: /../a, contents: x}]\narches: [y]\n")
    assert len(caught.value.all()) == 3


def test_inputs_cover_what_chooses_packages(tmp_path):
    def inputs(text, arch="amd64"):
        return load(tmp_path, text).inputs(arch)

    base = inputs(BASE)
    assert inputs(BASE + "labels: {a: b}\nfiles: [{path: a, contents: b}]\n") == base
    different = [
        "image: a\ndebian: {packages: [c]}", "image: a\ndebian: {packages: [b], keep: []}",
        "image: a\ndebian: {packages: [b], exclude: [c]}", "image: a\ndebian: {packages: [b], drop: [c]}",
        BASE + "files: [{path: a, concat: b}]",
    ]  # fmt: skip
    assert len({base, *map(inputs, different)}) == 6
    by_arch = "image: a\ndebian: {packages: {all: [b], arm64: [c]}}"
    assert inputs(by_arch) == base
    assert inputs(by_arch, "arm64") != base


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in resources.packages().glob("*/build.yml"))
)
def test_stock_recipes_are_sound(name):
    found = recipe.load(resources.packages() / name)
    for file in found.says.files:
        if file.source is not None:
            assert (found.folder / file.source).is_file(), file.path


BUILD = """\
image: web
build:
  packages: {all: [make], arm64: [gcc-aarch64-linux-gnu]}
  machine: amd64
  links: {usr/bin/x: y}
  env: [A=b=c]
  steps:
    - first
    - |
      second
  outputs:
    - {source: /build/a/b, path: /bin/b, mode: "0700"}
    - {source: tree, path: /}
"""


def test_commands(tmp_path):
    found = load(tmp_path, BUILD)
    asked = found.says.build
    assert asked.packages.get("arm64") == ("make", "gcc-aarch64-linux-gnu")
    assert (asked.runs_on("arm64"), asked.runs_on("amd64")) == ("amd64", "amd64")
    assert [(o.source, o.path) for o in asked.outputs] == [("a/b", "bin/b"), ("tree", "")]
    assert [place.line for place in found.steps] == [8, 9]
    assert found.root_name == "web:build"
    other = load(tmp_path, BUILD.replace("machine: amd64", "exclude: [perl]"))
    assert other.says.build.runs_on("arm64") == "arm64"
    for arch in ("amd64", "arm64"):
        assert other.root_inputs(arch) != found.root_inputs(arch)
    changed = load(tmp_path, BUILD.replace("- first", "- other"))
    assert changed.root_inputs("amd64") == found.root_inputs("amd64")


@pytest.mark.parametrize(("old", "new", "code"), [
    ("[make]", "['-x']", "LK0545"),
    ("A=b=c", "A", "LK0545"),
    ("A=b=c", "1A=c", "LK0545"),
    ("/build/a/b", "/etc/passwd", "LK0545"),
    ("/build/a/b", "../b", "LK0601"),
    ("/bin/b", "../b", "LK0601"),
    ("{usr/bin/x: y}", "{../x: y}", "LK0545"),
    ("{usr/bin/x: y}", '{x: ""}', "LK0545"),
    ("machine: amd64", "machine: vax", "LK0545"),
    ("machine: amd64", "limits: {timeout: 0}", "LK0208"),
    ("machine: amd64", "network: true", "LK0203"),
    ("image: web", "image: web\nkernel: {packages: {amd64: x}}", "LK0545"),
])  # fmt: skip
def test_commands_that_cannot_be(tmp_path, old, new, code):
    assert old in BUILD
    with pytest.raises(Error) as caught:
        load(tmp_path, BUILD.replace(old, new))
    assert [error.code for error in caught.value.all()] == [code]


def test_commands_need_steps_and_outputs(tmp_path):
    with pytest.raises(Error) as caught:
        load(tmp_path, "image: web\nbuild: {packages: [make]}\n")
    assert [error.code for error in caught.value.all()] == ["LK0545", "LK0545"]


@pytest.mark.parametrize(("text", "ours", "runs"), [
    ("image: a", False, True),
    ("image: a\nfiles: [{path: b, contents: c}]", True, False),
    ("image: a\nbuild: {steps: [x], outputs: [{source: a, path: a}]}", True, True),
])  # fmt: skip
def test_who_makes_it(tmp_path, text, ours, runs):
    found = load(tmp_path, text)
    assert (found.is_ours, found.runs_programs) == (ours, runs)
