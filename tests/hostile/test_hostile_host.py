"""Tricks that need the host: its folders, its programs and files that change while they are read."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import pytest

import linuxkit
from linuxkit import api
from linuxkit.base import proc
from linuxkit.base.errors import Error
from linuxkit.recipes import gittag, recipe, tag
from linuxkit.recipes.rootfs import own_bytes
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.store import Stored
from linuxkit.spec import load
from linuxkit.tree import tar
from support.images import Files, image


def system(store, tmp_path, text):
    yml = tmp_path / "in.yml"
    yml.write_text(text)
    spec = linuxkit.load([yml], arch="amd64")
    plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")
    return linuxkit.assemble(plan, store=store)


def built(store, tmp_path, text):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    linuxkit.emit(system(store, tmp_path, text), ["tar"], directory=out, name="t")
    with (out / "t.tar").open("rb") as file:
        return {e.path: e.link or b"".join(e.content.chunks()) for e in tar.read(file.fileno())}


def code(action, *arguments, **options):
    with pytest.raises(Error) as caught:
        action(*arguments, **options)
    return caught.value.code


WITH_FILE = "init: ['lk/init:1']\nfiles: [{path: %s, contents: new}]\n"


@pytest.mark.parametrize("target", ["../../../../..", "/", "/etc/..", "../x", "/x/."])
def test_case_23_files_through_links_of_the_image(target, store, tmp_path, around):
    """A folder below the place to write to is a link that leads away from it."""
    root: Files = {"x/": "", "etc/": "", "out": f"-> {target}"}
    image(store, "docker.io/lk/init:1", root)
    found = built(store, tmp_path, WITH_FILE % "out/passwd")
    place = "x/passwd" if "x" in target else "passwd"
    assert found[place] == b"new"
    assert found["out"] == target


def test_case_23_an_output_that_is_a_link(store, tmp_path):
    """The output's name is a link to another file, which would be overwritten."""
    image(store, "docker.io/lk/init:1", {"x/": ""})
    victim = tmp_path / "victim"
    victim.write_text("old")
    out = tmp_path / "out"
    out.mkdir()
    (out / "t.tar").symlink_to(victim)
    built(store, tmp_path, WITH_FILE % "etc/x")
    assert victim.read_text() == "old"
    assert not (out / "t.tar").is_symlink()


@pytest.mark.parametrize("path", ["../x", "etc/../../x", "/../x", "etc/..", "/", "."])
def test_case_23_files_that_climb(path, store, tmp_path):
    image(store, "docker.io/lk/init:1", {"etc/": ""})
    assert code(system, store, tmp_path, WITH_FILE % f"'{path}'") in {"LK0601", "LK0208"}


def test_case_34_a_source_that_is_exchanged_while_it_is_read(store, tmp_path):
    """Between the check of a file and its reading it becomes a link to a secret.

    A source is opened once: what is checked is what is read, whole, whatever the name says later.
    """
    image(store, "docker.io/lk/init:1", {"etc/": ""})
    folder = tmp_path / "sources"
    folder.mkdir()
    source = folder / "source"
    contents = [letter * 200_000 for letter in (b"a", b"b")]
    for n, data in enumerate(contents):
        (folder / str(n)).write_bytes(data)
    source.write_bytes(contents[0])
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("0", "1"):
                (folder / "next").symlink_to(folder / name)
                (folder / "next").replace(source)
            os.mkfifo(folder / "next")
            (folder / "next").replace(source)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        tries = itertools.count()
        while next(tries) < 60 or not seen & {b"a", b"b"}:
            try:
                found = built(store, tmp_path, f"init: ['lk/init:1']\nfiles: [{{path: x, source: {source}}}]\n")
            except Error as error:
                seen.add(error.code)
            else:
                assert found["x"] in contents
                seen.add(found["x"][:1])
    finally:
        stop.set()
        thread.join()
    assert {word for word in seen if isinstance(word, str)} <= {"LK0220"}


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket", "loop", "nothing"])
def test_case_34_sources_that_are_no_files(kind, store, tmp_path):
    """Reading waits for ever, or never ends."""
    import socket

    image(store, "docker.io/lk/init:1", {"etc/": ""})
    source = tmp_path / "source"
    server = socket.socket(socket.AF_UNIX)
    make = {
        "fifo": lambda: os.mkfifo(source),
        "folder": source.mkdir,
        "device": lambda: source.symlink_to("/dev/zero"),
        "socket": lambda: server.bind(str(source)),
        "loop": lambda: source.symlink_to(source),
        "nothing": lambda: None,
    }
    make[kind]()
    text = f"init: ['lk/init:1']\nfiles: [{{path: x, source: {source}}}]\n"
    started = time.monotonic()
    with server:
        assert code(system, store, tmp_path, text) == "LK0220"
    assert time.monotonic() - started < 30


def test_case_35_helpers_get_a_clean_environment(monkeypatch, tmp_path, around):
    """A helper, or a library that it loads, comes out of a folder that strangers filled."""
    evil = around / "env"
    evil.write_text("#!/bin/sh\necho stolen\n")
    evil.chmod(0o755)
    try:
        monkeypatch.setenv("PATH", f".::env-dir:{os.defpath}")
        for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "IFS", "BASH_ENV", "TAR_OPTIONS"):
            monkeypatch.setenv(name, "/nowhere")
        out = proc.run(["env"]).stdout.decode()
        assert "stolen" not in out
        assert dict(line.split("=", 1) for line in out.splitlines()) == {
            "PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC",
        }  # fmt: skip
        assert proc.run(["env"], cwd=around).stdout.decode() == out
        assert Path(proc.find("env", package="coreutils")).is_absolute()
        monkeypatch.setenv("PATH", ".")
        assert "stolen" not in proc.run(["env"]).stdout.decode()
    finally:
        evil.unlink()


@pytest.mark.parametrize(
    "name",
    ["../evil", "..", ".", "/etc", "a/../../b", "x\u202e", "evil/../evil", "x" * 300, "x" * 5000, "a/" * 3000],
    ids=lambda name: name[:12].encode().hex(),
)
def test_case_36_packages_that_climb(name):
    """The name of a package, or a path in a build's folder, leads out of it."""
    shelf = Shelf()
    text = f"init: ['@pkg:{name}']\n"
    packages = api._Packages(shelf, "amd64", {})
    assert code(load.parse, text, packages=packages) == "LK0501"


def package(tmp_path, source):
    folder = tmp_path / "evil"
    folder.mkdir(exist_ok=True)
    (folder / "build.yml").write_text(
        f"image: evil\nfiles: [{{path: x, source: '{source}'}}]\n"
    )
    return folder


@pytest.mark.parametrize("source", ["../secret", "/etc/passwd", "a/../../secret", "link", "folder/link", "fifo", "folder"])
def test_case_36_sources_outside_of_a_package(source, tmp_path):
    """A build's folder holds links to the host, and what they lead to ends up in the image."""
    (tmp_path / "secret").write_text("s")
    folder = package(tmp_path, source)
    (folder / "link").symlink_to("../secret")
    (folder / "folder").mkdir()
    (folder / "folder" / "link").symlink_to("/etc")
    os.mkfifo(folder / "fifo")

    def take() -> None:
        own_bytes(recipe.load(folder).says.files[0], folder, "amd64")

    started = time.monotonic()
    assert code(take) in {"LK0536", "LK0545", "LK0601"}
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_case_36_a_package_folder_with_more_than_files(kind, tmp_path):
    """Links and FIFOs in the folder are not even hashed."""
    folder = package(tmp_path, "build.yml")
    if kind == "link":
        (folder / "x").symlink_to("/etc/passwd")
    else:
        os.mkfifo(folder / "x")
    assert code(lambda: list(tag.contents(folder))) == "LK0534"


@pytest.mark.parametrize("source", ["/etc", "../../../etc", "../.ssh", "../..", "../a/../../b"])
def test_case_36_extra_sources_that_lead_away(source, tmp_path):
    """Beside the package and one level higher is as far as a recipe reaches."""
    folder = package(tmp_path, "build.yml")
    (folder / "build.yml").write_text(f"image: a\nextra-sources: [{source}:x]\n")
    assert code(lambda: list(tag.contents(folder))) == "LK0545"


def test_case_36_git_runs_nothing_that_the_folder_names(tmp_path, need):
    """A repository's own settings name a program that looking at it starts."""
    need("git")
    folder = package(tmp_path, "build.yml")
    words = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        proc.run([*words, *command])
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    trap.chmod(0o755)
    proc.run([*words, "config", "core.fsmonitor", str(trap)])
    proc.run([*words, "status"])
    assert (tmp_path / "started").exists()  # the trap works
    (tmp_path / "started").unlink()
    assert gittag.reference(folder).startswith("linuxkit/evil:")
    assert not (tmp_path / "started").exists()
