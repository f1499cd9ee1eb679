"""Images in files and folders, and those of a container engine (a real podman)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.oci import archive, ref
from linuxkit.oci.image import open_image, write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.sources import engine
from linuxkit.sources.engine import Engine
from linuxkit.sources.local import LocalFiles
from support.engine import podman
from support.images import image

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
NAME = "docker.io/team/web:1"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "cache", sync=False)


@pytest.fixture
def origin(tmp_path) -> Store:
    """A store, which is an OCI layout, with an image of two platforms and one of one."""
    made = Store(tmp_path / "layout", sync=False)
    parts = [
        image(made, arch, {"etc/": "", "etc/a": arch}, arch=arch) for arch in ("amd64", "arm64")
    ]
    both = [each._replace(platform=p) for each, p in zip(parts, (AMD, ARM), strict=True)]
    made.set_name(NAME, write_index(made, both))
    return made


def saved(origin: Store, file: Path, form: str = "docker") -> Path:
    words = ["cache", "--cache", str(origin.root), "export", NAME, "--format", form]
    assert main([*words, "--platform", "linux/amd64", "--outfile", str(file)]) == 0
    return file


def diff_ids(store: Store, found) -> tuple[str, ...]:
    return open_image(store, found, AMD).config.diff_ids


def test_a_folder(store, origin):
    files = LocalFiles(store)
    found = files.find(ref.parse(f"oci:{origin.root}:{NAME}"), AMD)
    assert found is not None
    assert found.digest == origin.find(NAME).digest
    for platform in (AMD, ARM):
        assert (
            open_image(store, found, platform).config == open_image(origin, found, platform).config
        )
    assert store.names() == ()
    assert (
        files.find(ref.parse(f"oci:{origin.root}:arm64"), ARM).digest == origin.find("arm64").digest
    )
    pinned = ref.parse(f"oci:{origin.root}:{NAME}@{found.digest}")
    assert files.find(pinned, AMD).digest == found.digest
    with pytest.raises(Error, match="LK0354"):
        files.find(ref.parse(f"oci:{origin.root}:arm64@{found.digest}"), AMD)
    with pytest.raises(Error, match="has no image called") as error:
        files.find(ref.parse(f"oci:{origin.root}:nope"), AMD)
    assert NAME in error.value.hint
    with pytest.raises(Error, match="none is chosen"):
        files.find(ref.parse(f"oci:{origin.root}"), AMD)


@pytest.mark.parametrize("kind", [("tar", "docker"), ("tar", "oci"), ("oci", "oci")])
def test_a_file_is_read_again_only_when_it_changed(store, origin, tmp_path, kind, monkeypatch):
    scheme, form = kind
    file = saved(origin, tmp_path / "web.tar", form)
    asked = ref.parse(f"{scheme}:{file}")
    found = LocalFiles(store).find(asked, AMD)
    assert diff_ids(store, found) == diff_ids(origin, origin.find(NAME))
    monkeypatch.setattr(archive, "bring", None)
    assert LocalFiles(store).find(asked, AMD) == found
    monkeypatch.undo()
    image(origin, "amd64", {"other": "1"})
    origin.set_name(NAME, origin.find("amd64"))
    saved(origin, file, form)
    assert diff_ids(store, LocalFiles(store).find(asked, AMD)) != diff_ids(store, found)


def test_files_that_are_none(store, tmp_path):
    (tmp_path / "text").write_text("x" * 5000)
    (tmp_path / "folder").mkdir()
    for name, code in (("none", "LK0355"), ("text", "LK06"), ("folder", "LK0327")):
        with pytest.raises(Error, match=code):
            LocalFiles(store).find(ref.parse(f"tar:{tmp_path}/{name}"), AMD)
    assert LocalFiles(store).find(ref.parse("alpine"), AMD) is None


@pytest.mark.parametrize("text", ["oci:", "tar::x", "oci:x@sha256:1", "tar:a\nb"])
def test_references_that_are_none(text):
    with pytest.raises(Error, match="LK0302"):
        ref.parse(text)


def test_a_reference_as_it_was_written():
    for text in ("oci:images/web", "tar:../x.tar:docker.io/team/web:1", f"oci:x@sha256:{'0' * 64}"):
        assert str(ref.parse(text)) == text


def system(folder: Path, origin: Store, cache: Path) -> None:
    """A folder with a YAML file whose images lie beside it."""
    folder.mkdir()
    (folder / "parts").mkdir()
    shutil.copytree(origin.root, folder / "images")
    saved(origin, folder / "web.tar")
    (folder / "parts" / "web.yml").write_text('services: [{name: web, image: "tar:../web.tar"}]\n')
    (folder / "system.yml").write_text(
        'include: [parts/web.yml]\ninit: ["oci:images:amd64"]\n'
        'onboot: [{name: one, image: "oci:./images:docker.io/team/web:1"}]\n'
    )
    words = ["build", "--arch", "amd64", "--cache", str(cache), "--offline", "-f", "tar"]
    assert main([*words, "--dir", str(folder), str(folder / "system.yml")]) == 0


def test_a_build_of_images_beside_the_file(origin, tmp_path):
    """Paths start from the file they stand in; the same in another folder is the same build."""
    for name in ("one", "two"):
        system(tmp_path / name, origin, tmp_path / f"cache-{name}")
    made = [(tmp_path / name / "system.tar").read_bytes() for name in ("one", "two")]
    assert made[0] == made[1]
    assert b"oci:images:amd64" in made[0]
    assert str(tmp_path).encode() not in made[0]


def test_a_plan_tells_one_content_from_another(store, origin, tmp_path):
    file = saved(origin, tmp_path / "web.tar")
    (tmp_path / "x.yml").write_text('init: ["tar:web.tar"]\n')

    def plan() -> linuxkit.Plan:
        spec = linuxkit.load([tmp_path / "x.yml"], arch="amd64")
        sources = linuxkit.default_sources(store)
        return linuxkit.resolve(spec, store=store, sources=sources, arch="amd64", offline=True)

    first = plan()
    os.utime(file, (1, 1))
    assert plan().digest == first.digest
    origin.set_name(NAME, image(origin, "amd64", {"other": "1"}))
    saved(origin, file)
    assert plan().digest != first.digest


# Engines


@pytest.fixture(scope="module")
def site():
    # A socket's path has at most 107 bytes, and pytest's folders are longer.
    with tempfile.TemporaryDirectory(prefix="lk") as folder, podman(Path(folder)) as made:
        yield made


@pytest.fixture
def told(site, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{site.socket}")
    return site


def test_images_of_podman(told, store, origin, tmp_path, monkeypatch):
    told.run("load", "-i", str(saved(origin, tmp_path / "web.tar")))
    told.run("tag", "docker.io/team/web:1", "localhost/mine:2")
    source = Engine(store)
    for text in ("team/web:1", "docker.io/team/web:1", "mine:2"):
        found = source.find(ref.parse(text), AMD)
        assert diff_ids(store, found) == diff_ids(origin, origin.find(NAME))
        assert source.missing(ref.parse(text), AMD) == ()
    assert store.names() == ()
    assert source.find(ref.parse("team/web:1"), ARM) is None
    assert source.find(ref.parse("team/none:1"), AMD) is None
    assert source.missing(ref.parse("team/none:1"), AMD) is None
    monkeypatch.setattr(archive, "bring", None)  # it is not copied twice
    assert Engine(store).find(ref.parse("team/web:1"), AMD) == found


def test_a_build_with_docker_takes_the_engines_image(told, store, origin, tmp_path, capsys):
    told.run("load", "-i", str(saved(origin, tmp_path / "web.tar")))
    image(store, NAME, {"etc/": "", "etc/a": "the store's"})
    (tmp_path / "x.yml").write_text('init: ["team/web:1"]\n')
    words = ["build", "--cache", str(store.root), "--arch", "amd64", "--offline", "--no-sbom"]
    words += ["--o", str(tmp_path / "x.tar"), str(tmp_path / "x.yml")]
    for flags, content in ((["--docker"], b"amd64"), ([], b"the store's")):
        assert main([*words, *flags]) == 0, capsys.readouterr().err
        import tarfile

        with tarfile.open(tmp_path / "x.tar") as made:
            assert made.extractfile("etc/a").read() == content


def test_without_an_engine(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine, "_SOCKETS", ("{HOME}/none.sock", "{NOWHERE}/x.sock"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (tmp_path / "x.yml").write_text('init: ["team/web:1"]\n')
    words = ["build", "--docker", "--cache", str(store.root), "--dir", str(tmp_path)]
    assert main([*words, str(tmp_path / "x.yml")]) == 2
    said = capsys.readouterr().err
    assert "LK0115" in said
    assert f"{tmp_path}/none.sock: " in said
    for url in ("ssh://host", "tcp:///", "unix://", "rubbish"):
        monkeypatch.setenv("DOCKER_HOST", url)
        with pytest.raises(Error, match="cannot be asked"):
            Engine(store).find(ref.parse("x"), AMD)


@pytest.mark.parametrize(
    "answer",
    [b"rubbish\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", b"",
     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"],
)  # fmt: skip
def test_an_engine_that_fails(store, monkeypatch, answer):
    """Whatever it says after its greeting ends in one clear error."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for reply in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", answer):
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.getsockname()[1]}")
    with pytest.raises(Error, match="LK0115"):
        Engine(store).find(ref.parse("x"), AMD)
    thread.join()
    server.close()


def test_what_was_kept_is_checked(store, origin, tmp_path):
    """A cache that lost a part of the image reads the file again."""
    asked = ref.parse(f"tar:{saved(origin, tmp_path / 'web.tar')}")
    found = LocalFiles(store).find(asked, AMD)
    store.path(open_image(store, found, AMD).manifest.layers[0].digest).unlink()
    assert LocalFiles(store).find(asked, AMD) == found
    assert diff_ids(store, found)
    assert json.loads(store.at.index.read_text())["manifests"] == []
