"""Tags of package folders, against what git itself says."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.recipes.gittag import Asked, Revision, identify, reference, revision


def git(folder, *words: str) -> str:
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    top = tmp_path / "repo"
    package = top / "pkg" / "web"
    package.mkdir(parents=True)
    (package / "build.yml").write_text("image: web\n")
    (package / "Dockerfile").write_text("FROM scratch\n")
    (top / "shared").mkdir()
    (top / "shared" / "x").write_text("x")
    (top / ".gitignore").write_text("*.tmp\n")
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "first")
    return top


def tree(top, path: str) -> str:
    return git(top, "rev-parse", f"HEAD:{path}")


def test_clean(repository):
    assert reference(repository / "pkg/web") == f"linuxkit/web:{tree(repository, 'pkg/web')}"


def test_another_folder_changes_nothing(repository):
    before = reference(repository / "pkg/web")
    (repository / "shared" / "x").write_text("changed")
    git(repository, "commit", "-qam", "second")
    assert reference(repository / "pkg/web") == before


@pytest.mark.parametrize("path", ["pkg/web", "."])
def test_before_the_first_commit(repository, path):
    shutil.rmtree(repository / ".git")
    git(repository, "init", "-q")
    (repository / "build.yml").write_text("image: top\n")
    folder = repository / path
    with pytest.raises(Error, match="git has no commit yet where ") as caught:
        reference(folder)
    assert (caught.value.code, caught.value.detail) == ("LK0548", "")
    assert caught.value.hint.startswith("commit the package first")
    assert identify(folder, Asked(hash="abc")).reference.endswith(":abc")
    assert revision(folder) == Revision()


@pytest.mark.parametrize("path", ["pkg/web", "."])
def test_a_commit_that_is_none(repository, path):
    (repository / "build.yml").write_text("image: top\n")
    with pytest.raises(Error, match='git has no commit "v9"') as caught:
        identify(repository / path, Asked(hash_commit="v9"))
    assert (caught.value.code, caught.value.detail) == ("LK0567", "")


@pytest.mark.parametrize("how", ["tracked", "untracked"])
def test_dirty(repository, how):
    package = repository / "pkg/web"
    if how == "tracked":
        (package / "Dockerfile").write_text("FROM other\n")
        contents = b"FROM other\nimage: web\n"
    else:
        (package / "new").write_text("n")
        contents = b"FROM scratch\nimage: web\nn"
    (package / "ignored.tmp").write_text("nobody cares")
    digits = hashlib.sha256(contents).hexdigest()[:7]
    clean = tree(repository, "pkg/web")
    assert reference(package) == f"linuxkit/web:{clean}-dirty-{digits}"


def test_ignored_files_are_not_dirt(repository):
    (repository / "pkg/web/ignored.tmp").write_text("nobody cares")
    assert "dirty" not in reference(repository / "pkg/web")


def test_extra_sources(repository):
    package = repository / "pkg/web"
    text = "image: web\norg: me\nextra-sources: ['../../shared:shared']\n"
    (package / "build.yml").write_text(text)
    git(repository, "commit", "-qam", "second")
    both = tree(repository, "pkg/web") + tree(repository, "shared")
    assert reference(package) == f"me/web:{hashlib.sha1(both.encode()).hexdigest()}"  # noqa: S324


def test_the_top_of_a_repository(repository):
    (repository / "build.yml").write_text("image: all\ntag: 'v1-{{.Hash}}'\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    assert reference(repository) == f"linuxkit/all:v1-{git(repository, 'rev-parse', 'HEAD^{tree}')}"


def test_outside_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "build.yml").write_text("image: alone\n")
    assert reference(tmp_path) == "linuxkit/alone:latest"


def test_not_committed_yet(repository):
    package = repository / "pkg" / "new"
    package.mkdir()
    (package / "build.yml").write_text("image: new\n")
    with pytest.raises(Error) as error:
        reference(package)
    assert error.value.code == "LK0548"


def test_a_yaml_names_a_folder_beside_it(repository):
    yml = repository / "pkg" / "in.yml"
    yml.write_text('init: ["@pkg:./web", "@pkg:../pkg/web"]\n')
    spec = linuxkit.load([yml], arch="amd64")
    wanted = f"docker.io/linuxkit/web:{tree(repository, 'pkg/web')}"
    assert [str(ref) for ref in spec.init] == [wanted, wanted]


def asked(**words):
    return Asked(**words)


def test_what_is_asked_goes_before_git(repository, monkeypatch):
    package = repository / "pkg/web"
    first = git(repository, "rev-parse", "HEAD:pkg/web")
    (package / "Dockerfile").write_text("FROM other\n")
    git(repository, "commit", "-qam", "second")
    (package / "Dockerfile").write_text("FROM dirty\n")
    monkeypatch.setenv("USER", "anna")
    digits = hashlib.sha256(b"FROM dirty\nimage: web\n").hexdigest()[:7]
    now = tree(repository, "pkg/web")
    cases = {
        asked(): f"linuxkit/web:{now}-dirty-{digits}",
        asked(org="me"): f"me/web:{now}-dirty-{digits}",
        asked(hash="abc"): "linuxkit/web:abc",
        asked(hash="abc", tag="v-{{ .Hash }}"): "linuxkit/web:v-abc",
        asked(tag="fixed"): "linuxkit/web:fixed",
        asked(dev=True): "anna/web:dev",
        asked(hash_commit="HEAD~1"): f"linuxkit/web:{first}",
        asked(hash_path=repository / "pkg"): f"linuxkit/web:{tree(repository, 'pkg')}-dirty-{digits}",
        asked(hash_path=repository, hash_commit="HEAD"):
            f"linuxkit/web:{git(repository, 'rev-parse', 'HEAD^{tree}')}-dirty-{digits}",
    }  # fmt: skip
    assert {one: identify(package, one).reference for one in cases} == cases
    assert identify(package, asked(hash="abc")).is_dirty
    git(repository, "checkout", "-q", ".")
    clean = hashlib.sha256(b"FROM other\nimage: web\n").hexdigest()[:7]
    assert identify(package, asked(force_dirty=True)).reference == f"linuxkit/web:{now}-dirty-{clean}"
    assert not identify(package).is_dirty


@pytest.mark.parametrize("words", [
    {"tag": "{{.Other}}"}, {"hash_commit": "--all"}, {"hash_path": "shared"},
])  # fmt: skip
def test_what_cannot_be_asked(repository, words):
    if "hash_path" in words:
        words = {"hash_path": repository / "shared"}
    with pytest.raises(Error) as error:
        identify(repository / "pkg/web", asked(**words))
    assert error.value.code == "LK0567"


def test_another_recipe(repository):
    (repository / "pkg/web/other.yml").write_text("image: other\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    found = identify(repository / "pkg/web", asked(build_yml="other.yml")).reference
    assert found == f"linuxkit/other:{tree(repository, 'pkg/web')}"


def test_the_commit(repository):
    package = repository / "pkg/web"
    found = revision(package)
    dated = git(repository, "log", "-1", "--abbrev=12", "--date=format-local:%Y%m%d%H%M%S", "--format=%cd-%h")
    assert found == (git(repository, "rev-parse", "HEAD"), f"v0.0.0-{dated}", "",
                     int(git(repository, "log", "-1", "--format=%ct")))  # fmt: skip
    git(repository, "tag", "v1.2.3")
    assert revision(package)[1:3] == ("v1.2.3", "v1.2.3")


def test_no_commit_outside_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert revision(tmp_path) == Revision()
