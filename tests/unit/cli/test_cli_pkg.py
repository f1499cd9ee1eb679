"""Package folders on the command line: named, locked, built, sent and read again by others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from linuxkit.cli.main import main
from linuxkit.oci import image, model, referrers
from linuxkit.oci.flatten import flatten
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes import attest
from support.registry import running
from support.site import Site
from support.tools import need

AMD64 = Platform("linux", "amd64")
TOOL = "image: tool\ndebian: {packages: [web]}\nconfig: {readonly: true}\n"


def git(folder, *words):
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


class Tree:
    """A git repository with package folders, and a store."""

    def __init__(self, root, site):
        self.root = root
        self.site = site
        root.mkdir()
        git(root, "init", "-q")

    def add(self, name, files):
        folder = self.root / name
        for path, text in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return folder

    def commit(self):
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "more")

    def tag(self, name):
        return git(self.root, "rev-parse", f"HEAD:{name}")

    @property
    def store(self):
        return Store(self.site.root / "cache")

    def image(self, name):
        found = self.store.find(name)
        return image.open_image(self.store, found, AMD64)

    def files(self, name):
        found = self.image(name)
        with flatten(self.store, found.manifest.layers, found.config.diff_ids) as tree:
            return {e.path: b"".join(e.content.chunks()) for e in tree.entries()}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    site = Site(tmp_path, monkeypatch)
    # Nothing listens there, which is found out at once.
    monkeypatch.setenv("LINUXKIT_MIRROR", "docker.io=http://127.0.0.1:9")
    made = Tree(tmp_path / "repo", site)
    made.add("tool", {"build.yml": TOOL + "arches: [amd64]\n"})
    made.commit()
    monkeypatch.chdir(made.root)
    return made


def pkg(*words):
    return main(["pkg", *map(str, words), "-q"])


def test_show_tag(tree, capsys, monkeypatch):
    assert pkg("show-tag", "tool") == 0
    assert capsys.readouterr().out == f"linuxkit/tool:{tree.tag('tool')}\n"
    assert pkg("show-tag", "--canonical", "--org", "me", "tool") == 0
    assert capsys.readouterr().out == f"docker.io/me/tool:{tree.tag('tool')}\n"
    assert pkg("--org", "me", "--tag=v1", "show-tag", "tool") == 0
    assert capsys.readouterr().out == "me/tool:v1\n"
    monkeypatch.setenv("LINUXKIT_PKG_ORG", "ours")
    assert pkg("show-tag", "--json", "--hash", "1", "--tag", "v{{.Hash}}", "tool") == 0
    assert json.loads(capsys.readouterr().out) == {"tool": "ours/tool:v1"}
    assert pkg("show-tag", "nowhere") == 1
    assert "LK0566" in capsys.readouterr().err


def lock(tree):
    assert pkg("lock", "--arch", "amd64", "tool") == 0
    tree.commit()


def test_a_package_of_debian_is_built_once_and_says_what_it_is_made_of(tree, capsys):
    assert pkg("build", "tool") == 1
    assert f"linuxkit pkg lock {tree.root}/tool --arch amd64" in capsys.readouterr().err
    lock(tree)
    capsys.readouterr()
    name = f"linuxkit/tool:{tree.tag('tool')}"
    assert pkg("build", "--dry-run", "tool") == 0
    assert pkg("build", "tool") == 0
    assert pkg("build", "tool") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name}-amd64  would be fetched or built", f"{name}-amd64  built", f"{name}-amd64  in the store",
    ]  # fmt: skip
    full = f"docker.io/{name}"
    assert tree.files(full)["usr/bin/web"] == b"1.0-1"
    whole, one = tree.store.find(full), tree.store.find(f"{full}-amd64")
    listed = model.decode_index(tree.store.read(whole.digest, 1 << 20), whole).manifests
    assert [(e.digest, e.platform) for e in listed] == [(one.digest, AMD64)]
    labels = tree.image(full).config.labels
    assert labels["org.opencontainers.image.revision"] == git(tree.root, "rev-parse", "HEAD")
    assert labels["org.mobyproject.config"] == '{"readonly":true}'
    check_documents(tree, full, one)


def document(tree, found, kind):
    (entry,) = [e for e in found if e.artifact_type == kind]
    manifest = model.decode_manifest(tree.store.read(entry.digest, 1 << 20), entry)
    return json.loads(tree.store.read(manifest.layers[0].digest, 1 << 20))


def check_documents(tree, full, one):
    found = referrers.find(tree.store, full.rpartition(":")[0], one.digest)
    parts = document(tree, found, attest.SPDX)
    assert parts["spdxVersion"] == "SPDX-2.3"
    assert {p["name"]: p.get("versionInfo") for p in parts["packages"]} == {
        f"{full}-amd64": None, "web": "1.0-1",
    }  # fmt: skip
    said = document(tree, found, attest.IN_TOTO)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"][0]["digest"] == {"sha256": one.digest[7:]}
    deb = next(tree.site.archive.root.glob("pool/**/*.deb")).read_bytes()
    materials = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [m["digest"] for m in materials] == [
        {"gitCommit": git(tree.root, "rev-parse", "HEAD")},
        {"sha256": hashlib.sha256(deb).hexdigest()},
    ]


def test_the_same_package_is_the_same_elsewhere(tree, tmp_path, monkeypatch):
    lock(tree)
    assert pkg("build", "tool") == 0
    names = {name: d.digest for name, d in tree.store.names()}
    other = tmp_path / "else where"
    shutil.copytree(tree.root, other)
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache2"))
    monkeypatch.chdir(other)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert pkg("build", "tool", "--force") == 0
    assert {name: d.digest for name, d in Store(tmp_path / "cache2").names()} == names


@pytest.mark.parametrize(("words", "code"), [
    (["--force", "--nobuild"], "LK0114"),
    (["--network", "--nonetwork"], "LK0114"),
    (["--platforms", "linux/amd64", "--skip-platforms", "linux/arm64"], "LK0114"),
    (["--platforms", "plan9/amd64"], "LK0114"),
    (["--manifest", "maybe"], "LK0114"),
    (["--platforms", "linux/riscv64"], "LK0538"),
    (["--nobuild"], "LK0580"),
    (["--hash-commit", "HEAD~0"], "LK0582"),
    (["--build-arg-file", "/dev/null/x"], "LK0102"),
    (["--dockerfile", "None"], ""),
])  # fmt: skip
def test_flags(tree, capsys, words, code):
    lock(tree)
    if words[0] == "--build-arg-file":
        tree.add("tool", {"build.yml": "image: tool\narches: [amd64]\n", "Dockerfile": "FROM scratch\n"})
        tree.commit()
    assert (pkg("build", "tool", *words) == 0) == (not code)
    assert code in capsys.readouterr().err


def test_platforms_that_are_left_out(tree, capsys):
    lock(tree)
    capsys.readouterr()
    assert pkg("build", "tool", "--skip-platforms", "linux/amd64") == 0
    assert capsys.readouterr().out == f"linuxkit/tool:{tree.tag('tool')}: nothing to build\n"


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
    assert pkg("build", "own", *(["--dockerfile", flag] if flag else [])) == 1
    said = capsys.readouterr().err
    assert ("LK0901" in said, "LK0581" in said) == (well, not well)


@pytest.fixture
def hub(tmp_path):
    with running(tmp_path / "registry") as made:
        yield made


def peek(hub, name, *words):
    skopeo = need("skopeo")
    argv = [skopeo, "inspect", "--tls-verify=false", *words, f"docker://{hub.host}/{name}"]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


def test_push_and_what_others_read(tree, hub, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
    lock(tree)
    (tree.root / "tool" / "new").write_text("not committed")
    assert pkg("push", "tool") == 1
    assert "LK0583" in capsys.readouterr().err
    tree.commit()
    tag = tree.tag("tool")
    assert pkg("push", "tool", "--release", "v1") == 0
    listed = peek(hub, f"team/tool:{tag}", "--raw")
    assert [m["platform"]["architecture"] for m in listed["manifests"]] == ["amd64"]
    assert peek(hub, "team/tool:v1", "--raw") == listed
    assert peek(hub, f"team/tool:{tag}-amd64")["Labels"]["org.mobyproject.config"] == '{"readonly":true}'
    # Another platform's image, sent by somebody else, stays in the index.
    foreign = {**listed["manifests"][0], "platform": {"os": "linux", "architecture": "s390x"}}
    put(hub, f"team/tool/manifests/{tag}", {**listed, "manifests": [foreign]})
    assert pkg("push", "tool") == 0
    listed = peek(hub, f"team/tool:{tag}", "--raw")
    assert [m["platform"]["architecture"] for m in listed["manifests"]] == ["amd64", "s390x"]
    # A release stays what it was.
    assert pkg("push", "tool", "--release", "v1") == 1
    assert "LK0328" in capsys.readouterr().err
    # What a fresh store does: it is there, so nothing is built; --pull brings it.
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "fresh"))
    assert pkg("build", "tool") == 0
    assert pkg("build", "tool", "--pull") == 0
    out = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split("  ")[1] for line in out] == ["in the registry", "pulled"]
    read_by_others(tmp_path, hub, f"team/tool:{tag}")


def put(hub, path, value):
    import urllib.request

    request = urllib.request.Request(
        f"http://{hub.host}/v2/{path}", json.dumps(value).encode(),
        {"Content-Type": "application/vnd.oci.image.index.v1+json"}, method="PUT",
    )  # fmt: skip
    urllib.request.urlopen(request).close()


def read_by_others(tmp_path, hub, name):
    """What skopeo copies from the registry, umoci unpacks."""
    source, layout = f"docker://{hub.host}/{name}", tmp_path / "oci"
    argv = [need("skopeo"), "copy", "--quiet", "--src-tls-verify=false", source, f"oci:{layout}:x"]
    subprocess.run(argv, check=True)
    assert unpacked_by_umoci(f"{layout}:x", tmp_path / "bundle") == b"1.0-1"


def unpacked_by_umoci(image, bundle):
    """A file of the image; Debian's umoci knows gzip and no zstd."""
    subprocess.run([need("umoci"), "unpack", "--rootless", "--image", image, bundle], check=True)
    return (bundle / "rootfs/usr/bin/web").read_bytes()


def test_umoci_unpacks_what_is_in_the_store(tree, tmp_path):
    lock(tree)
    assert pkg("build", "tool") == 0
    names = [name for name, _ in tree.store.names() if ":sha256-" not in name]
    assert len(names) == 2
    for n, name in enumerate(names):
        assert unpacked_by_umoci(f"{tree.store.root}:{name}", tmp_path / str(n)) == b"1.0-1"


def test_an_index_of_what_is_there_and_other_names(tree, hub, capsys, monkeypatch):
    monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
    lock(tree)
    assert pkg("manifest", "tool") == 1
    assert "LK0584" in capsys.readouterr().err
    assert pkg("push", "tool", "--manifest", "false") == 0
    tag = tree.tag("tool")
    name = f"{hub.host}/team/tool:{tag}"
    assert capsys.readouterr().out.splitlines()[-1] == f"{name}-amd64  sent"
    assert pkg("index", "tool") == 0
    assert capsys.readouterr().out == f"{name}  linux/amd64\n"
    raw = peek(hub, f"team/tool:{tag}", "--raw")
    assert pkg("remote-tag", name, f"{hub.host}/team/tool:again") == 0
    assert pkg("remote-tag", name, f"{hub.host}/other/name:1") == 0
    assert peek(hub, "team/tool:again", "--raw") == raw
    assert peek(hub, "other/name:1", "--raw") == raw
    assert peek(hub, "other/name:1")["Architecture"] == "amd64"
    assert pkg("remote-tag", f"{hub.host}/team/tool:none", f"{hub.host}/other/name:2") == 1
    assert "LK0320" in capsys.readouterr().err


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
    assert pkg("build", "a") == 1
    said = capsys.readouterr().err
    assert "LK0585" in said
    assert "a → b → a" in said


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
    assert pkg("build", "user") == 1
    shown = capsys.readouterr().err
    assert "LK0545" in shown
    assert said in shown


def test_a_yaml_that_names_a_folder_builds_it(tree, capsys, monkeypatch):
    lock(tree)
    (tree.root / "a.yml").write_text('init: ["@pkg:./tool"]\n')
    assert main(["build", "-q", "--no-sbom", "-f", "tar", "--arch", "amd64", "a.yml"]) == 0
    with tarfile.open("a.tar") as found:
        assert found.extractfile("usr/bin/web").read() == b"1.0-1"
    name = f"docker.io/linuxkit/tool:{tree.tag('tool')}"
    assert tree.store.find(name) is not None
    tree.store.remove_name(name)
    tree.store.remove_name(f"{name}-amd64")
    assert main(["build", "-q", "--offline", "-f", "tar", "--arch", "amd64", "a.yml"]) == 3
    assert f"missing: {name} for linux/amd64, which is built of {tree.root}/tool" in capsys.readouterr().err


def test_a_whole_tree(tree, capsys):
    lock(tree)
    for name in ("second", "broken", "on-broken"):
        shutil.copytree(tree.root / "tool", tree.root / name)
    lock_text = (tree.root / "tool" / "debian.lock").read_text()
    for name in ("second", "broken", "on-broken"):
        (tree.root / name / "build.yml").write_text(TOOL.replace("tool", name) + "arches: [amd64]\n")
        (tree.root / name / "debian.lock").write_text(lock_text.replace('"tool"', f'"{name}"'))
    (tree.root / "broken" / "debian.lock").unlink()
    with (tree.root / "on-broken" / "build.yml").open("a") as out:
        out.write('buildArgs: ["B=@lkt:pkg:../broken"]\n')
    tree.commit()
    capsys.readouterr()
    assert pkg("build", "--all", "--jobs", "2", ".") == 1
    shown = capsys.readouterr()
    tags = {name: tree.tag(name) for name in ("tool", "second")}
    assert [line.split(maxsplit=1) for line in shown.out.splitlines()] == [
        ["broken", "failed"],
        ["on-broken", "not begun"],
        ["second", f"linuxkit/second:{tags['second']}-amd64  built"],
        ["tool", f"linuxkit/tool:{tags['tool']}-amd64  built"],
    ]
    assert "LK0586" in shown.err
    assert "LK0539" in shown.err
    assert main(["pkg", "build", "--all", "--json", "."]) == 1
    states = {Path(row["package"]).name: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states == {"broken": "failed", "on-broken": "not begun", "second": "done", "tool": "done"}
    for name in ("broken", "on-broken"):
        shutil.rmtree(tree.root / name)
    tree.commit()
    assert pkg("build", "--all", ".") == 0
