"""skopeo reads the archives that we write, and we read the ones that it writes."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.image import is_whole, open_image, write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.images import image
from support.tools import need

if TYPE_CHECKING:
    from pathlib import Path

AMD = Platform("linux", "amd64")
NAME = "docker.io/team/web:1"


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    made = Store(tmp_path / "cache", sync=False)
    one = image(made, "one", {"etc/": "", "etc/a": "1"}, {"b": "2"}, cmd=["/x"], labels={"l": "ä"})
    made.set_name(NAME, write_index(made, [one._replace(platform=AMD)]))
    return made


def skopeo(*words: str | Path) -> bytes:
    done = subprocess.run([need("skopeo"), *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("form", "transport"), [("oci", "oci-archive"), ("docker", "docker-archive")]
)
def test_skopeo_reads_ours(store, tmp_path, form, transport):
    file = tmp_path / "out.tar"
    words = ["cache", "export", NAME, "--format", form, "--platform", "linux/amd64"]
    assert main([*words, "--outfile", str(file)]) == 0
    words = ["inspect", "--override-os", "linux", "--override-arch", "amd64"]
    found = json.loads(skopeo(*words, f"{transport}:{file}"))
    assert found["Labels"] == {"l": "ä"}
    assert len(found["Layers"]) == 2


@pytest.mark.parametrize(
    ("transport", "name"), [("oci-archive", ""), ("docker-archive", ":me/tool:2")]
)
def test_we_read_skopeos(store, tmp_path, transport, name):
    file = tmp_path / "in.tar"
    skopeo("copy", f"oci:{store.root}:one", f"{transport}:{file}{name}")
    new = tmp_path / "new"
    given = [] if name else ["--name", "me/tool:2"]
    assert main(["cache", "--cache", str(new), "import", str(file), *given]) == 0
    theirs = Store(new).find("docker.io/me/tool:2")
    assert theirs is not None
    ours = store.find("one")
    assert ours is not None
    assert is_whole(Store(new), theirs, AMD)
    read = open_image(Store(new), theirs, AMD).config
    assert read.diff_ids == open_image(store, ours, AMD).config.diff_ids
    assert read.cmd == ("/x",)


@pytest.fixture
def both(store) -> str:
    """The name of an image of two platforms."""
    parts = [image(store, arch, {"a": arch}, arch=arch) for arch in ("amd64", "arm64")]
    named = [
        p._replace(platform=Platform("linux", a))
        for p, a in zip(parts, ("amd64", "arm64"), strict=True)
    ]
    store.set_name("docker.io/team/both:1", write_index(store, named))
    return "docker.io/team/both:1"


@pytest.mark.parametrize("packer", [None, "gzip", "zstd", "xz"])
def test_what_we_export_comes_back_with_all_platforms(store, both, tmp_path, packer):
    file, new = tmp_path / "out.tar", tmp_path / "new"
    assert main(["cache", "export", both, "--outfile", str(file)]) == 0
    if packer:
        subprocess.run([need(packer), "-q", str(file)], check=True)
        (file,) = tmp_path.glob("out.tar.*")
    assert main(["cache", "--cache", str(new), "import", str(file)]) == 0
    found = Store(new).find(both)
    assert found is not None
    assert found.digest == store.find(both).digest
    assert all(is_whole(Store(new), found, Platform("linux", arch)) for arch in ("amd64", "arm64"))
    assert [name for name, _ in Store(new).names()] == [both]


def test_a_folder_for_others_and_from_them(store, both, tmp_path, capsys):
    folder, new = tmp_path / "out", tmp_path / "new"
    words = ["cache", "export", both, "--format", "oci-dir", "--outfile", str(folder)]
    assert main(words) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert main(words) == 1, "it is not written over"
    assert "LK0102" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    raw = json.loads(skopeo("inspect", "--raw", f"oci:{folder}:{both}"))
    assert [each["platform"]["architecture"] for each in raw["manifests"]] == ["amd64", "arm64"]
    done = subprocess.run(
        [need("umoci"), "list", "--layout", folder], capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [both]
    theirs = tmp_path / "theirs"
    words = ["copy", "--all", "--preserve-digests", f"oci:{folder}:{both}"]
    skopeo(*words, f"oci:{theirs}:docker.io/me/both:2")
    assert main(["cache", "--cache", str(new), "import", str(theirs)]) == 0
    assert main(["cache", "--cache", str(new), "import", str(folder)]) == 0
    names = dict(Store(new).names())
    assert list(names) == ["docker.io/me/both:2", both]
    assert len({each.digest for each in names.values()}) == 1
