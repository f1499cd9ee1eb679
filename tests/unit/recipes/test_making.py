"""What is done for an architecture of a package, and how buildah is called."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.recipes import buildah
from linuxkit.recipes.making import Choice, Options, decide, merged


def choice(options, *, stored, fetched, remote):
    asked = []
    try:
        found = decide(
            options, is_stored=stored, fetch=lambda: asked.append("fetch") or fetched,
            is_remote=lambda: asked.append("remote") or remote,
        )
    except Error as error:
        found = error.code
    return found, asked


def test_every_case():
    flags = (False, True)
    for force, pull, nobuild, stored, fetched, remote in product(flags, repeat=6):
        found, asked = choice(
            Options(force=force, pull=pull, nobuild=nobuild),
            stored=stored, fetched=fetched, remote=remote,
        )  # fmt: skip
        if force and not nobuild:
            assert (found, asked) == (Choice.BUILT, [])
        elif stored:
            assert (found, asked) == (Choice.CACHED, [])
        elif pull and fetched:
            assert (found, asked) == (Choice.PULLED, ["fetch"])
        else:
            assert asked == (["fetch"] if pull else []) + ["remote"]
            assert found == (Choice.REMOTE if remote else "LK0580" if nobuild else Choice.BUILT)


def entry(arch, letter):
    return Descriptor("m", Digest("sha256:" + letter * 64), 1, platform=Platform("linux", arch))


def test_an_index_keeps_other_platforms_and_takes_new_ones():
    old = [entry("arm64", "a"), entry("amd64", "b"), entry("amd64", "c")._replace(platform=None)]
    assert merged(old, [entry("amd64", "d")]) == (entry("amd64", "d"), entry("arm64", "a"))
    assert merged((), [entry("s390x", "e"), entry("amd64", "d")])[0].platform.arch == "amd64"


def test_buildahs_command():
    base = Descriptor("m", Digest("sha256:" + "a" * 64), 1)
    request = buildah.Request(
        "web", Path("/pkg"), Path("/pkg/Dockerfile"), "arm64", {"B": "2", "A": "1"}, {"l": "x y"},
        {"alpine:3": base}, network=False, fresh=True, epoch=7,
    )  # fmt: skip
    assert buildah.command(request, buildah.Places(Path("/s")), Path("/s/image")) == [
        "--root", "/s/root", "--runroot", "/s/run", "--storage-driver", "vfs",
        "build", "--isolation", "chroot", "--signature-policy", "/s/policy.json",
        "--pull-never", "--format", "oci", "--layers", "--timestamp", "7",
        "--platform", "linux/arm64", "--iidfile", "/s/image", "--file", "/pkg/Dockerfile",
        "--no-cache", "--build-arg", "A=1", "--build-arg", "B=2", "--label", "l=x y",
        "--build-context", f"alpine:3=docker-image://localhost/linuxkit/base:{'a' * 64}", "/pkg",
    ]  # fmt: skip


@pytest.mark.parametrize("nobuild", [True, False])
def test_force_is_no_reason_to_build_where_that_is_forbidden(nobuild):
    found, _ = choice(Options(force=True, nobuild=nobuild), stored=True, fetched=False, remote=False)
    assert found == (Choice.CACHED if nobuild else Choice.BUILT)
