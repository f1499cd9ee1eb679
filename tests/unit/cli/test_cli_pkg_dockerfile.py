"""Packages made of Dockerfiles, some of them upon others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest

from linuxkit.oci import referrers
from linuxkit.recipes import attest
from support.package_tree import document, git, lock, pkg
from support.tools import need


# Upstream's cases of Dockerfiles that are not there (its tests 055).
@pytest.mark.parametrize("case", [
    ("", "Dockerfile", "", True),
    ("", "", "", False),
    ("", "Other", "", False),
    ("dockerfile: Other\n", "Other", "", True),
    ("dockerfile: Other\n", "Dockerfile", "", False),
    ("dockerfile: Wrong\n", "Other", "Other", True),
    ("", "Dockerfile", "Wrong", False),
])  # fmt: skip
def test_dockerfiles_that_are_there_and_not(tree, capsys, monkeypatch, case):
    yml, file, flag, well = case
    files = {"build.yml": f"image: own\narches: [amd64]\n{yml}"}
    tree.add("own", {**files, **({file: "FROM scratch\nCOPY build.yml /\n"} if file else {})})
    tree.commit()
    # That the file is found is told by what comes next: there is no builder in this PATH.
    tools = tree.site.root / "tools"
    tools.mkdir()
    for name in ("git", "setpriv"):
        (tools / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tools))
    assert pkg("build", "own", *(["--dockerfile", flag] if flag else [])) == (1 if well else 2)
    said = capsys.readouterr().err
    assert ("LK0901" in said, "LK0581" in said) == (well, not well)


BASE = {
    "build.yml": "image: base\narches: [amd64]\n",
    "Dockerfile": "FROM scratch\nCOPY sh /bin/sh\nENV A=1\n",
}
TOP = {
    "build.yml": (
        "image: top\narches: [amd64]\nconfig: {readonly: true}\n"
        'extra-sources: ["../extra:more/extra"]\nbuildArgs: ["BASE=@lkt:pkg:../base", "X=yml", "Y=yml"]\n'
    ),
    "Dockerfile": (
        "ARG BASE\nFROM ${BASE} AS mid\nARG X\nARG Y\nARG PKG_HASH\nARG PKG_IMAGE\nARG REVISION\nARG SOURCE\n"
        "COPY more/extra/file /file\n"
        'RUN echo "$X $Y $PKG_HASH $PKG_IMAGE $REVISION $SOURCE" > /args; cat /proc/net/dev > /net\n'
        "FROM --platform=linux/amd64 linuxkit/base:@TAG@\nCOPY --from=mid /args /net /file /out/\n"
        'CMD ["/bin/sh"]\n'
    ),
}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="buildah is only used as root")
def test_chained_dockerfiles(tree, capsys, tmp_path):
    need("buildah")
    tree.add("base", BASE)
    shutil.copy(need("busybox"), tree.root / "base" / "sh")
    tree.commit()
    top = {**TOP, "Dockerfile": TOP["Dockerfile"].replace("@TAG@", tree.tag("base"))}
    tree.add("top", top)
    tree.add("extra", {"file": "extra\n"})
    tree.commit()
    arguments = tmp_path / "args"
    arguments.write_text("Y=file\n")
    assert pkg("build", "base", "top", "--build-arg-file", arguments) == 0
    both = hashlib.sha1(f"{tree.tag('top')}{tree.tag('extra')}".encode()).hexdigest()  # noqa: S324
    name = f"linuxkit/top:{both}"
    assert capsys.readouterr().out.splitlines()[-1] == f"{name}-amd64  built"
    files = tree.files(f"docker.io/{name}")
    head = git(tree.root, "rev-parse", "HEAD")
    source = "https://github.com/linuxkit/linuxkit"
    assert files["out/args"].decode() == f"yml file {both} {name} {head} {source}\n"
    assert files["out/file"] == b"extra\n"
    # Its commands had no network: not even another interface than the loopback.
    assert [line.split(b":")[0].strip() for line in files["out/net"].splitlines()[2:]] == [b"lo"]
    config = tree.image(f"docker.io/{name}").config
    assert config.cmd == ("/bin/sh",)
    assert "A=1" in config.env
    assert config.labels["org.mobyproject.config"] == '{"readonly":true}'
    one = tree.store.find(f"docker.io/{name}-amd64")
    found = referrers.find(tree.store, "docker.io/linuxkit/top", one.digest)
    said = document(tree, found, attest.IN_TOTO)["predicate"]["buildDefinition"]
    base = tree.store.find(f"docker.io/linuxkit/base:{tree.tag('base')}")
    assert {"sha256": base.digest[7:]} in [m["digest"] for m in said["resolvedDependencies"]]
    assert pkg("builder", "du") == 0
    assert int(capsys.readouterr().out.split("\n")[-2].split()[0].replace(",", "")) > 1 << 20
    assert pkg("builder", "prune") == 0
    assert pkg("build", "top", "--force", "--build-arg-file", arguments) == 0
    assert tree.store.find(f"docker.io/{name}-amd64").digest == one.digest


def upon(name, docker, *arguments):
    return {
        "build.yml": f"image: {name}\narches: [amd64]\nbuildArgs: {json.dumps(arguments)}\n",
        "Dockerfile": docker,
    }


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="buildah is only used as root")
def test_a_package_that_is_built_upon_is_built_first(tree, capsys):
    need("buildah")
    tree.add("low", upon("low", "FROM scratch\nCOPY build.yml /low\n"))
    tree.add("unused", upon("unused", "FROM nowhere.invalid/x\n"))
    tree.add("mid", upon("mid", "ARG LOW\nFROM $LOW\nCOPY build.yml /mid\n", "LOW=@lkt:pkg:../low"))
    tree.add("top", upon("top", "ARG X_MID\nFROM $X_MID\nCOPY build.yml /top\n", "X_%=@lkt:pkgs:../[mu]*"))
    tree.commit()
    assert pkg("build", "top") == 0
    assert capsys.readouterr().out == f"linuxkit/top:{tree.tag('top')}-amd64  built\n"
    assert set(tree.files(f"docker.io/linuxkit/top:{tree.tag('top')}")) >= {"low", "mid", "top"}
    assert tree.store.find(f"docker.io/linuxkit/mid:{tree.tag('mid')}-amd64") is not None
    assert tree.store.find(f"docker.io/linuxkit/unused:{tree.tag('unused')}-amd64") is None


def test_what_to_build_first_and_circles(tree, capsys):
    tree.add("low", upon("low", "FROM scratch\n"))
    tree.commit()
    tree.add("top", upon("top", f"FROM linuxkit/low:{tree.tag('low')}\n"))
    tree.add("a", upon("a", "ARG B\nFROM $B\n", "B=@lkt:pkg:../b"))
    tree.add("b", upon("b", "ARG A\nFROM $A\n", "A=@lkt:pkg:../a"))
    tree.add("broken", {"build.yml": "image: [\n"})
    tree.commit()
    assert pkg("build", "top") == 3
    assert f"linuxkit pkg build {tree.root}/low" in capsys.readouterr().err
    assert pkg("build", "a") == 2
    said = capsys.readouterr().err
    assert "LK0585" in said
    assert "a → b → a" in said


def test_an_image_to_build_upon_that_cannot_be_had_is_pointed_at(tree, capsys):
    tree.add("lost", upon("lost", "ARG V=2\nFROM scratch AS x\nFROM \\\n  localhost:1/no/such:$V AS y\n"))
    tree.add("odd", upon("odd", "FROM Not/An:Image:x\n"))
    tree.commit()
    assert pkg("build", "lost") == 3
    said = capsys.readouterr().err.splitlines()
    place, name = f"{tree.root}/lost/Dockerfile:4:3", "localhost:1/no/such:2"
    assert said[-4].startswith(f"error: LK0410 {place}: {name}: images of localhost:1 cannot be")
    assert said[-3:-1] == ["    localhost:1/no/such:$V AS y", "    ^^^^^^^^^^^^^^^^^^^^^^"]
    assert pkg("build", "odd") == 2
    assert f'error: LK0302 {tree.root}/odd/Dockerfile:1:6: "Not/An:Image:x"' in capsys.readouterr().err


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="buildah is only used as root")
def test_images_beside_a_dockerfile(tree, hub, monkeypatch, tmp_path):
    need("buildah")
    lock(tree)
    assert pkg("push", "--org", f"{hub.host}/team", "tool") == 0
    full = f"{hub.host}/team/tool"
    image = f"{full}:{tree.tag('tool')}@{tree.store.find(full + ':' + tree.tag('tool')).digest}"
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    tree.site.root = tmp_path
    file = f"tool@{image.partition('@')[2]}.tar"
    images = {"list": [image], "target-dir": "saved"}
    tree.add("user", {"Dockerfile": "FROM scratch\nCOPY . /\n", "saved/old": "", "list": f"# one\n\n{image}\n"})
    for asked, path in ((images, f"saved/{file}"), ({"from-file": "list", "target": "a/b.tar"}, "a/b.tar")):
        recipe = {"image": "user", "arches": ["amd64"], "depends": {"docker-images": asked}}
        (tree.root / "user" / "build.yml").write_text(json.dumps(recipe))
        tree.commit()
        assert pkg("build", "user") == 0
        assert git(tree.root, "status", "--porcelain", "--ignored") == ""
        found = tree.files(f"docker.io/linuxkit/user:{tree.tag('user')}")
        assert ("saved/old" in found) == (path == "a/b.tar")
        saved = tmp_path / "saved.tar"
        saved.write_bytes(found[path])
        argv = [need("skopeo"), "inspect", f"docker-archive:{saved}"]
        said = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        assert said["Labels"]["org.mobyproject.config"] == '{"readonly":true}'
        with tarfile.open(saved) as members:
            (listed,) = json.loads(members.extractfile("manifest.json").read())
        assert listed["RepoTags"] == [image.partition("@")[0]]


@pytest.mark.parametrize(("asked", "said"), [
    ({"list": ["a:1"], "target": "x"}, 'names "a:1" without a digest'),
    ({"list": ["a:1"], "from-file": "l", "target": "x"}, "has both `list` and `from-file`"),
    ({"list": ["a:1"], "target": "x", "target-dir": "y"}, "has both `target` and `target-dir`"),
    ({"list": ["a:1"]}, "needs a `target` or a `target-dir`"),
    ({"list": ["a:1"], "target": "a/../../x"}, 'has "a/../../x", which is no path inside the package'),
    ({"from-file": "/etc/passwd", "target": "x"}, 'has "/etc/passwd", which is no path'),
])  # fmt: skip
def test_images_that_cannot_be_beside_a_dockerfile(tree, capsys, asked, said):
    recipe = {"image": "user", "arches": ["amd64"], "depends": {"docker-images": asked}}
    tree.add("user", {"Dockerfile": "FROM scratch\n", "build.yml": json.dumps(recipe)})
    tree.commit()
    assert pkg("build", "user") == 2
    shown = capsys.readouterr().err
    assert "LK0545" in shown
    assert said in shown
