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


@pytest.mark.parametrize(("form", "transport"), [("oci", "oci-archive"), ("docker", "docker-archive")])
def test_skopeo_reads_ours(store, tmp_path, form, transport):
    file = tmp_path / "out.tar"
    words = ["cache", "export", NAME, "--format", form, "--platform", "linux/amd64"]
    assert main([*words, "--outfile", str(file)]) == 0
    words = ["inspect", "--override-os", "linux", "--override-arch", "amd64"]
    found = json.loads(skopeo(*words, f"{transport}:{file}"))
    assert found["Labels"] == {"l": "ä"}
    assert len(found["Layers"]) == 2


@pytest.mark.parametrize(("transport", "name"), [("oci-archive", ""), ("docker-archive", ":me/tool:2")])
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
