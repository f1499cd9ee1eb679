"""Package folders on the command line: named, locked and built."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from linuxkit.cli.main import main
from linuxkit.oci import model, referrers
from linuxkit.oci.store import Store
from linuxkit.recipes import attest
from support.package_tree import AMD64, TOOL, document, git, lock, pkg


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
    assert pkg("show-tag", "nowhere") == 2
    assert "LK0566" in capsys.readouterr().err


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
