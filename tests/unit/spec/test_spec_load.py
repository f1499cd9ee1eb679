from __future__ import annotations

import sys

import pytest

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.spec import load, model
from linuxkit.spec.merge import merge
from linuxkit.spec.node import Source
from linuxkit.spec.places import Places


class Packages:
    """Knows one package, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def reference(self, text, *, base, where):
        self.asked.append((text, str(base), str(where)))
        if text != "init":
            raise Error("LK0503", f"no package {text}", where=where)
        return "linuxkit.stock/init:0123456789abcdef"


@pytest.fixture
def write(tmp_path):
    def write(**files):
        paths = []
        for name, text in files.items():
            path = tmp_path / f"{name}.yml"
            path.write_text(text)
            paths.append(path)
        return paths

    return write


def test_several_files(write):
    paths = write(
        base="""
kernel: {image: k:1, cmdline: quiet, tar: none}
init: [a]
volumes: [{name: v}]
services: [{name: one, image: x, binds: ["v:/v"]}]
files: [{path: a, contents: a}]
trust: {org: [x]}
""",
        more="""
kernel: {cmdline: "", binary: vmlinuz}
init: [b]
volumes: [{name: w, readonly: true}]
onboot: [{name: first, image: y}]
services: [{name: two, image: z, uid: one}]
trust: {image: [y], org: [z]}
""",
    )
    spec = load.load(paths)
    assert spec.kernel == model.Kernel(
        image=spec.kernel.image, cmdline="", tar="none", binary="vmlinuz"
    )
    assert str(spec.kernel.image) == "docker.io/library/k:1"
    assert [str(ref) for ref in spec.init] == ["docker.io/library/a", "docker.io/library/b"]
    assert [volume.name for volume in spec.volumes] == ["v", "w"]
    assert [service.name for service in spec.services] == ["one", "two"]
    assert [step.name for step in spec.onboot] == ["first"]
    assert spec.trust == model.Trust(image=("y",), org=("x", "z"))

    base, more = (str(path) for path in paths)
    places = {
        ("kernel", "image"): f"{base}:2:17",
        ("kernel", "cmdline"): f"{more}:2:19",
        ("kernel", "binary"): f"{more}:2:31",
        ("kernel", "tar"): f"{base}:2:43",
        ("init", 1): f"{more}:3:8",
        ("services", 0, "binds", 0): f"{base}:5:42",
        ("services", 1): f"{more}:6:12",
        ("services", 1, "uid"): f"{more}:6:39",
        ("onboot", 0, "image"): f"{more}:5:31",
        # What was not written has the place of what it would be in.
        ("services", 1, "net"): f"{more}:6:12",
        ("kernel", "ucode"): f"{more}:2:9",
    }
    assert {path: str(spec.where(path)) for path in places} == places
    assert spec.where(("onshutdown", 0)) is None
    assert spec.where(("services", 2)) == spec.where(("services",))
    assert spec.where(()) is None


def test_names_are_checked_over_all_files(write):
    a, b = write(
        a="services: [{name: x, image: y}]\nvolumes: [{name: v}]\n",
        b="services: [{name: x, image: y}]\nvolumes: [{name: v}]\n",
    )
    with pytest.raises(Error) as caught:
        load.load([a, b])
    assert [str(error) for error in caught.value.all()] == [
        f'{b}:2:18: volume "v" is there twice [LK0209]',
        f'{b}:1:19: service "x" is there twice [LK0209]',
    ]


def test_steps_may_share_a_name(write):
    text = "onboot: [{name: x, image: y}, {name: x, image: y}]\nservices: [{name: x, image: y}]\n"
    assert len(load.parse(text).onboot) == 2


def test_work_grows_with_the_lines():
    """`linuxkit validate` promises 0.3 s for 2,000 lines (benchmarks/validate.py measures that)."""
    entry = """
- name: service-%d
  image: example.org/server:%d
  capabilities:
  - CAP_CHOWN
  binds:
  - /etc/resolv.conf:/etc/resolv.conf:ro
  env: [A=1, B=2]
  resources:
    memory: {limit: 100000000}"""

    def calls(lines: int) -> int:
        count = 0

        def tell(_frame: object, event: str, _what: object) -> None:
            nonlocal count
            count += event in {"call", "c_call"}

        text = "services:" + "".join(entry % (n, n) for n in range(lines // 10))
        sys.setprofile(tell)
        try:
            load.parse(text)
        finally:
            sys.setprofile(None)
        return count

    calls(10)  # what is made once
    few, many = calls(1000), calls(2000)
    assert many < 2.1 * few
    assert many < 70 * 2000


def test_there_is_room_for_a_thousand_steps():
    entry = "- {name: x, image: y}\n"
    assert len(load.parse("onboot:\n" + entry * 1000).onboot) == 1000
    with pytest.raises(Error) as caught:
        load.parse("onboot:\n" + entry * 1001, "x")
    assert str(caught.value) == "x:1002:3: onboot has more than 1000 entries [LK0202]"


def test_standard_input(write):
    (path,) = write(a="init: [a]\n")
    spec = load.load([str(path), "-"], stdin=b"init: [b]\n")
    assert len(spec.init) == 2
    with pytest.raises(Error) as caught:
        load.load(["-"], stdin=b"foo: 1")
    assert str(caught.value).startswith("standard input:1:1: unknown key")
    with pytest.raises(Error) as caught:
        load.load(["-"])
    assert caught.value.message == "standard input is empty"


def test_packages(write, tmp_path):
    text = """
init: ["@pkg:init"]
services:
- {name: x, image: "@pkg:init", env: ["A=@pkg:init", '@pkg:init']}
files: [{path: x, contents: "@pkg:init"}]
"""
    (path,) = write(a=text)
    packages = Packages()
    spec = load.load([path], packages=packages)
    made = "linuxkit.stock/init:0123456789abcdef"
    assert str(spec.init[0]) == made
    assert str(spec.services[0].image) == made
    assert spec.services[0].env == ("A=@pkg:init", made)
    assert spec.files[0].contents == made
    assert packages.asked[0] == ("init", str(tmp_path), f"{path}:2:8")
    assert len(packages.asked) == 4
    assert str(spec.where(("init", 0))) == f"{path}:2:8"


def test_packages_that_nobody_knows_are_told_once_and_together(write):
    (path,) = write(a="init: ['@pkg:nit', '@pkg:./x']\nservices: [{nmae: x}]\n")
    with pytest.raises(Error) as caught:
        load.load([path], packages=Packages())
    assert [str(error) for error in caught.value.all()] == [
        f"{path}:1:8: no package nit [LK0503]",
        f"{path}:1:20: no package ./x [LK0503]",
    ]
    with pytest.raises(Error) as caught:
        load.parse("init: ['@pkg:init']", "x")
    assert str(caught.value) == "x:1:8: packages cannot be named here [LK0214]"


def test_a_package_behind_an_alias_is_asked_for_once():
    packages = Packages()
    spec = load.parse("init: [&i '@pkg:init', *i]", packages=packages)
    assert len(spec.init) == 2
    assert len(packages.asked) == 1


def test_warnings():
    told = []
    with events.reporting(told.append):
        load.parse(
            "onboot: [{name: a, image: x}]\n"
            "services: [{name: a, image: x}, {name: b, image: x, gid: a}]\n"
            "files: [{path: x, contents: x, uid: b}]\n"
        )
    assert [(note.level, note.code, note.text) for note in told] == [
        ("warning", "LK0216",
         'several containers are called "a": as an id it means the last of them'),
    ]  # fmt: skip


def test_an_empty_map_is_an_empty_system():
    assert load.parse("{}") == model.Spec()
    assert merge([]) == model.Spec()


def test_unreadable_files(tmp_path):
    loop = tmp_path / "loop.yml"
    loop.symlink_to(loop)
    with pytest.raises(Error) as caught:
        load.load([loop])
    assert caught.value.code == "LK0102"


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path):
    path = tmp_path / "big.yml"
    with path.open("wb") as out:
        out.truncate(1 << 36)
    with pytest.raises(Error) as caught:
        load.load([path])
    assert caught.value.code == "LK0202"


@pytest.mark.parametrize("start", [0, 1])  # the first or a later byte of a character comes last
def test_a_text_that_is_cut_at_the_limit_is_too_long_and_not_badly_encoded(tmp_path, start):
    data = b"#" * start + "\N{OLD ITALIC LETTER A}".encode() * ((4 << 20) + 1)
    (tmp_path / "big.yml").write_bytes(data)
    for files, stdin in (([tmp_path / "big.yml"], None), (["-"], data[: (16 << 20) + 1])):
        with pytest.raises(Error) as caught:
            load.load(files, stdin=stdin)
        assert caught.value.code == "LK0202"


def test_places_of_nothing():
    assert Places().where(("services", 0)) is None
    assert Source("x", "a\n").line(7) == ""


VOLUMES = {
    "binds: ['v:/x', 'r:/y:ro', '/a:/b', '/run/x:/y:rw']": None,
    "binds: ['./v:/x']": ("LK0211", 'no volume is called "./v"'),
    "binds: ['r:/y:rw,ro']": None,
    "binds: ['r:/y:rw']": ("LK0208", 'volume "r" is read-only and cannot be mounted writable'),
    "binds.add: ['w:/y']": ("LK0211", 'no volume is called "w"'),
    "mounts: [{type: bind, source: v, destination: /x}]": None,
    "mounts: [{type: bind, source: w, destination: /x}]": ("LK0211", 'no volume is called "w"'),
    "mounts: [{type: bind, destination: /x}]": ("LK0211", 'no volume is called ""'),
    "mounts: [{type: none, source: w, destination: /x, options: [rbind]}]": (
        "LK0211", 'no volume is called "w"'),
    "mounts: [{type: 9p, source: w, destination: /x}]": None,
    "mounts: [{type: tmpfs, source: v, destination: /x}]": None,
}  # fmt: skip


@pytest.mark.parametrize("line", VOLUMES)
def test_volumes(line):
    text = f"""
volumes: [{{name: v}}, {{name: r, readonly: true}}]
services: [{{name: x, image: y, {line}}}]
"""
    if VOLUMES[line] is None:
        load.parse(text)
        return
    with pytest.raises(Error) as caught:
        load.parse(text)
    assert (caught.value.code, caught.value.message) == VOLUMES[line]
    assert caught.value.where.line == 3
