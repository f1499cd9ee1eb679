"""Upstream's example files, unchanged: they parse, validate and build.

Their images come from a registry on this machine that answers for Docker Hub (a mirror).  They are
images of our own making under their names: a kernel, roots for init, small trees with the labels of
our stock packages; the language is upstream's, the contents are not.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest
from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.oci import ref as refs
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes import recipe
from linuxkit.spec import load as specs
from linuxkit.spec.model import Spec
from support.images import archive, image
from support.registry import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.images import Files

ROOT = Path(__file__).resolve().parents[2]
BESIDE = Path(os.environ.get("LINUXKIT_COMPAT", ROOT.parent / "shared" / "compat"))
EXAMPLES = BESIDE / "upstream-examples"
BROKEN = "static-ip"  # a comment ends its block scalar early: no YAML, for the Go tool either
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yml") if path.stem != BROKEN)

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir() and os.environ.get("CI") != "true", reason="no compatibility data"
)


class _NoPackages:
    def reference(self, text: str, **_place: object) -> str:
        raise AssertionError(f"upstream's examples name no packages, but: {text}")


def parsed(name: str) -> Spec:
    return specs.load([EXAMPLES / f"{name}.yml"], packages=_NoPackages())


def arch_of(name: str) -> str:
    return "arm64" if name.endswith(".arm64") else "amd64"


def references() -> dict[str, str]:
    """Every image that the examples name, and what for: "kernel", "init" or "container"."""
    found: dict[str, str] = {}
    for name in NAMES:
        spec = parsed(name)
        found[str(spec.kernel.image)] = "kernel"
        found.update((str(each), "init") for each in spec.init)
        for section in (spec.onboot, spec.onshutdown, spec.services):
            found.update((str(each.image), "container") for each in section)
        found.update((str(each.image), "container") for each in spec.volumes if each.image)
    return found


def tree_of(name: str, kind: str, arch: str) -> Files:
    """The few files that an image of that name has."""
    if kind == "kernel":
        modules = archive({"lib/": "", "lib/modules/": "", "lib/modules/6.12.59/": "",
                           "lib/modules/6.12.59/modules.dep": ""})  # fmt: skip
        return {"kernel": f"kernel for {arch}\n" * 99, "kernel.tar": modules,
                "intel-ucode.cpio": "microcode"}  # fmt: skip
    if kind == "init":
        return {"etc/": "", f"etc/made-{name}": arch, "usr/": "", "usr/bin/": "",
                f"usr/bin/{name}": "#!/bin/sh\n", "bin": "-> usr/bin"}  # fmt: skip
    return {"etc/": "", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "usr/": "", "usr/bin/": "",
            "usr/bin/busybox": f"for {arch}", "usr/bin/sh": "-> busybox", "bin": "-> usr/bin"}  # fmt: skip


def labels_of(name: str) -> dict[str, str]:
    """What our stock package of the same name says of itself."""
    folder = ROOT / "packages" / name
    if not (folder / "build.yml").is_file():
        return {}
    config = recipe.load(folder).config
    return {"org.mobyproject.config": digest.canonical_json(config).decode()} if config else {}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[str]:
    """A registry with all those images, for two platforms; its address."""
    folder = tmp_path_factory.mktemp("examples")
    made = Store(folder / "images", sync=False)
    with running(folder / "registry") as registry:
        for text, kind in references().items():
            asked = refs.parse(text)
            name = asked.name.rpartition("/")[2]
            parts = []
            for arch in ("amd64", "arm64"):
                config = {} if kind != "container" else {
                    "cmd": ["/bin/sh"], "env": ["PATH=/bin"], "labels": labels_of(name)
                }  # fmt: skip
                files = tree_of(name, kind, arch)
                found = image(made, "part", files, {"platform": arch}, arch=arch, **config)
                parts.append(found._replace(platform=Platform("linux", arch)))
            made.set_name("it", write_index(made, parts))
            path = asked.name.removeprefix("docker.io/")
            registry.push(made, "it", f"{path}:{asked.tag or 'latest'}")
        yield registry.host


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with what the examples take from their surroundings, and a home with a key."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    (tmp_path / "examples/containerd-debug-runtime-config.toml").write_text("[debug]\n")
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/id_rsa.pub").write_text("ssh-rsa AAAA test\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("LINUXKIT_MIRROR", "DOCKER_CONFIG"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path / "examples")
    return tmp_path


def build(name: str, here: Path, cache: Path, site: str, formats: str = "kernel+initrd,tar") -> int:
    return main(["build", "--cache", str(cache), "--mirror", f"docker.io=http://{site}", "--no-sbom",
                 "--arch", arch_of(name), "--format", formats, "--compress", "none",
                 "--dir", str(here), f"{name}.yml"])  # fmt: skip


def test_all_of_them_are_here():
    assert len(NAMES) > 30
    assert sum(kind == "container" for kind in references().values()) > 30


@pytest.mark.parametrize("name", NAMES)
def test_an_example_builds(name, here, cache, site, capsys):
    assert build(name, here, cache, site) == 0, capsys.readouterr().err
    spec = parsed(name)
    assert (here / f"{name}-kernel").read_text().startswith(f"kernel for {arch_of(name)}")
    assert (here / f"{name}-cmdline").read_text().strip() == spec.kernel.cmdline.strip()
    assert (here / f"{name}-initrd.img").stat().st_size > 1000
    with tarfile.open(here / f"{name}.tar") as made:
        files = {member.name: member for member in made}
        for section in ("onboot", "onshutdown", "services"):
            for index, entry in enumerate(getattr(spec, section)):
                number = "" if section == "services" else f"{index:03d}-"
                folder = f"containers/{section}/{number}{entry.name}"
                config = json.load(made.extractfile(files[f"{folder}/config.json"]))
                assert config["process"]["args"]
                assert f"{folder}/rootfs" in files or f"{folder}/lower" in files
        for each in spec.files:
            assert each.path.strip("/") in files
        for each in spec.init:
            assert f"etc/made-{each.name.rpartition('/')[2]}" in files


def test_an_example_with_its_overlay(here, cache, site):
    """The file for arm64 is meant to be put over the one for all machines."""
    first, over = "platform-equinixmetal.yml", "platform-equinixmetal.arm64.yml"
    assert main(["build", "--cache", str(cache), "--mirror", f"http://{site}", "--no-sbom",
                 "--arch", "arm64", "--name", "both", "--dir", str(here), first, over]) == 0  # fmt: skip
    assert (here / "both-cmdline").read_text().strip() == parsed(over[:-4]).kernel.cmdline.strip()
    assert (here / "both-kernel").read_text().startswith("kernel for arm64")


def test_once_fetched_nothing_more_is_needed(here, cache, site):
    assert build("linuxkit", here, cache, site, "tar") == 0
    first = (here / "linuxkit.tar").read_bytes()
    assert build("linuxkit", here, cache, "127.0.0.1:1", "tar") == 0
    assert (here / "linuxkit.tar").read_bytes() == first


def test_the_one_that_is_no_yaml():
    with pytest.raises(Error) as error:
        parsed(BROKEN)
    assert error.value.code.startswith("LK02")
    assert error.value.where is not None


def test_content_trust_is_accepted(tmp_path, capsys):
    text = (EXAMPLES / "minimal.yml").read_text()
    (tmp_path / "in.yml").write_text(text + "\ntrust:\n  org:\n    - linuxkit\n    - library\n")
    assert main(["build", "--dry-run", "--disable-content-trust", str(tmp_path / "in.yml")]) == 0
    assert "linuxkit/kernel" in capsys.readouterr().out
