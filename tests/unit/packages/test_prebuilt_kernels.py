"""The ready-made kernels: of today's recipes, and what these ask for."""

from __future__ import annotations

import gzip
import io
import json
import re

import pytest

import linuxkit
from linuxkit.base import resources
from linuxkit.build import kconfig
from linuxkit.oci import flatten, image
from linuxkit.oci.model import Platform
from linuxkit.recipes import fragments, hardening, prebuilt
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.packages import pool_of
from linuxkit.tree import compress
from support.machines import cache_folder

FLAVOURS = {"kernel-microvm": "microvm", "kernel-hardened": "cloud"}
SHELF = Shelf()
ARCHIVES = sorted(path.name for path in resources.prebuilt().glob("*.oci.tar"))
ALL = [re.fullmatch(r"(.+)-(\w+)-([0-9a-f]+)\.oci\.tar", name).groups() for name in ARCHIVES]
SHIPPED = [row for row in ALL if row[0] in FLAVOURS]
SCORES = json.loads((hardening.folder() / "scores.json").read_text())
MOST_BYTES = {"kernel-microvm": 5 << 20, "kernel-hardened": 8 << 20}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return linuxkit.open_store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The session's store, where the checker may be already."""
    return linuxkit.open_store(cache_folder(tmp_path_factory.mktemp("shared")))


def files_of(name, arch, store):
    found = SHELF.present(name, arch, store)
    assert found is not None
    opened = image.open_image(store, found, Platform("linux", arch))
    with flatten.flatten(store, opened.manifest.layers, opened.config.diff_ids) as tree:
        return {entry.path: b"".join(entry.content.chunks()) for entry in tree.entries()}


def test_there_are_some():
    assert ("kernel-microvm", "amd64") in {shipped[:2] for shipped in SHIPPED}


@pytest.mark.parametrize(("name", "arch", "tag"), ALL)
def test_the_tag_is_that_of_the_recipe(name, arch, tag):
    """Else nobody finds it: then scripts/kernels --write makes it anew."""
    reference = SHELF.reference(name, arch)
    assert reference.endswith(f":{tag}")
    assert prebuilt.path(reference, arch).is_file()


@pytest.mark.parametrize(("name", "arch", "tag"), SHIPPED)
def test_labels_name_everything_it_was_built_with(name, arch, tag, store):
    opened = image.open_image(store, SHELF.present(name, arch, store), Platform("linux", arch))
    told = opened.config.labels["org.linuxkit.build.packages"].split()
    locked = SHELF.lock.debs_of(f"{name}:build", arch)
    assert told == [f"{deb.package}={deb.version}" for deb in locked]
    assert {"linux-source-6.12", "gcc-14"} <= {deb.package for deb in locked}


@pytest.mark.parametrize(("name", "arch", "tag"), SHIPPED)
def test_the_configuration_is_what_was_asked_for(name, arch, tag, store):
    config = kconfig.parse(files_of(name, arch, store)["config"].decode())
    for line in fragments.read(fragments.folder(), arch, FLAVOURS[name]):
        assert config.get(line.name) == line.value, line.place


@pytest.mark.parametrize(("name", "arch", "tag"), SHIPPED)
def test_the_kernel_was_built_with_this_configuration(name, arch, tag, store):
    """IKCONFIG: between these marks lies the configuration, compressed (kernel/configs.c)."""
    files = files_of(name, arch, store)
    plain = unpacked(files["kernel"])
    start = plain.index(b"IKCFG_ST") + 8
    inside = gzip.decompress(plain[start : plain.index(b"IKCFG_ED", start)])
    assert inside == files["config"]


def unpacked(kernel: bytes) -> bytes:
    """The payload of a bzImage; an arm64 Image is plain."""
    if kernel[0x202:0x206] != b"HdrS":
        return kernel
    start = (kernel[0x1F1] + 1) * 512 + int.from_bytes(kernel[0x248:0x24C], "little")
    size = int.from_bytes(kernel[0x24C:0x250], "little") - 4
    out = io.BytesIO()
    compress.spool(io.BytesIO(kernel[start : start + size]), out)
    return out.getvalue()


@pytest.mark.parametrize(("name", "arch", "tag"), SHIPPED)
def test_it_is_small(name, arch, tag, store):
    if arch == "amd64":  # the others' kernels are not compressed
        assert len(files_of(name, arch, store)["kernel"]) <= MOST_BYTES[name]


@pytest.mark.net
def test_sysctls_are_as_they_should_be(cache):
    text = (resources.packages() / "sysctl" / "00-linuxkit.conf").read_text().replace("\n-", "\n")
    score = hardening.check(hardening.Subject(sysctl=text), pool_of(cache), cache)
    assert [score.good, len(score.findings)] == SCORES["scores"]["sysctl"]
    assert [f.name for f in score.findings if not f.ok and not f.accepted] == []
