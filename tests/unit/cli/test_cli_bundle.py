"""Bundles: out of one store, into another that has no network at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.images import image
from support.registry import running
from support.site import Site
from support.tools import need

ROOT = Path(__file__).parents[3]
IMAGE = "127.0.0.1:{port}/team/app:1"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A system of an image of two platforms, one more in a volume, and a stock package; locked."""
    site = Site(tmp_path, monkeypatch)
    assert main(["pkg", "lock", "--arch", "amd64", "-q"]) == 0
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with running(tmp_path / "registry") as hub:
        origin = Store(tmp_path / "origin", sync=False)
        parts = [
            image(origin, arch, {"arch": arch}, arch=arch)._replace(platform=Platform("linux", arch))
            for arch in ("amd64", "arm64")
        ]
        origin.set_name("app", write_index(origin, parts))
        hub.push(origin, "app", "team/app:1")
        hub.push(origin, "app", "team/whole:1")
        (folder / "a.yml").write_text(
            f'init: ["{hub.host}/team/app:1", "@pkg:web"]\n'
            f'volumes: [{{name: v, image: "{hub.host}/team/whole:1", format: oci}}]\n'
        )
        assert main(["lock", "-q", "a.yml", "--arch", "amd64"]) == 0
        assert main(["bundle", "export", "-q", "a.yml", "--arch", "amd64", "--locked", "-o", "x.tar"]) == 0
        assert build("first") == 0
        yield site, hub


def build(name: str, *words: str) -> int:
    return main(["build", "-q", "-f", "tar", "--name", name, "--arch", "amd64", *words, "a.yml"])


def test_it_is_the_same_whenever_it_is_written(project, capsys):
    first = Path("x.tar").read_bytes()
    assert main(["bundle", "export", "a.yml", "--arch", "amd64", "--json", "-o", "y.tar"]) == 0
    assert Path("y.tar").read_bytes() == first
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["images"] == 3
    assert told["size"] == len(first)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a namespace of its own")
def test_a_machine_without_a_network(project, need):
    need("unshare")
    site, _ = project
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LINUXKIT_CACHE": str(site.root / "other"),
           "LINUXKIT_DEBIAN_MIRROR": "http://192.0.2.1/debian"}  # fmt: skip
    program = (
        "import sys; from pathlib import Path; import linuxkit.base.resources as r;"
        f"r.packages = lambda: Path({str(site.root / 'packages')!r});"
        "from linuxkit.cli.main import main; raise SystemExit(main(sys.argv[1:]))"
    )

    def alone(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "-n", sys.executable, "-c", program, *words],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    words = ("build", "-f", "tar", "--name", "second", "--arch", "amd64", "--offline", "--locked", "a.yml")
    assert alone(*words).returncode == 3
    Path("linuxkit.lock").rename("lock.was")
    done = alone("bundle", "import", "x.tar", "--lock", "linuxkit.lock")
    assert done.returncode == 0, done.stderr
    assert Path("linuxkit.lock").read_bytes() == Path("lock.was").read_bytes()
    done = alone(*words)
    assert done.returncode == 0, done.stderr
    assert Path("second.tar").read_bytes() == Path("first.tar").read_bytes()


def test_other_tools_read_it(project, tmp_path):
    _, hub = project
    name = f"{hub.host}/team/app:1"
    done = subprocess.run(
        [need("skopeo"), "--override-arch", "amd64", "inspect", "--raw", f"oci-archive:x.tar:{name}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["manifests"]) == 2
    with tarfile.open("x.tar") as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    listed = subprocess.run(
        [need("umoci"), "ls", "--layout", str(tmp_path / "layout")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert name in listed


def change(target: str, how) -> None:
    """Write x.tar again with one member changed, or without it when ``how`` says None."""
    with tarfile.open("x.tar") as old, tarfile.open("bad.tar", "w") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isfile() else b""
            if member.name == target:
                data = how(data)
                if data is None:
                    continue
                member.size = len(data)
            new.addfile(member, io.BytesIO(data) if member.isfile() else None)


def test_damaged_and_other_archives(project, capsys, tmp_path):
    with tarfile.open("x.tar") as archive:
        blobs = [m.name for m in archive if m.name.startswith("blobs/") and m.size > 512]
    capsys.readouterr()
    fresh = ["--cache", str(tmp_path / "fresh")]
    change(blobs[0], lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    assert main(["bundle", "import", *fresh, "bad.tar"]) == 1
    assert "LK0305" in capsys.readouterr().err
    change(blobs[0], lambda _data: None)
    assert main(["bundle", "import", *fresh, "bad.tar"]) == 1
    assert "LK0303" in capsys.readouterr().err
    assert Store(tmp_path / "fresh").names() == ()
    (name, _), *_ = Store(Path(os.environ["LINUXKIT_CACHE"])).names()
    assert main(["cache", "export", name, "--platform", "linux/amd64", "--outfile", "one.tar"]) == 0
    assert main(["bundle", "import", "one.tar"]) == 2
    assert "LK0329" in capsys.readouterr().err
    assert main(["bundle", "import", "not there"]) == 2
    assert main(["bundle", "export", "a.yml", "--arch", "amd64", "--no-lock", "-q", "-o", "z.tar"]) == 0
    assert main(["bundle", "import", "z.tar", "--lock", "l"]) == 2
    assert not Path("l").exists()


def test_nothing_unpinned_where_that_is_asked_for(project, capsys):
    Path("linuxkit.lock").unlink()
    assert main(["bundle", "export", "a.yml", "--arch", "amd64", "--locked", "-o", "q.tar"]) == 2
    assert "LK0435" in capsys.readouterr().err
    assert not Path("q.tar").exists()
