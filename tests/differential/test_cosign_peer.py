"""What ``cosign`` signs we take, and what we sign it takes; nothing else is taken by either."""

from __future__ import annotations

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support import cosign
from support.images import image
from support.registry import running

pytestmark = [pytest.mark.net, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def peer():
    """Fetched before HOME and the like are changed."""
    return cosign.program()


@pytest.fixture
def name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with running(tmp_path / "registry") as hub:
        origin = Store(tmp_path / "origin", sync=False)
        part = image(origin, "part", {"a": "b"})._replace(platform=Platform("linux", "amd64"))
        root = write_index(origin, [part])
        origin.set_name("x", root)
        hub.push(origin, "x", "team/app:1")
        yield f"{hub.host}/team/app@{root.digest}"


def peer_verify(name: str, key: str, home):
    return cosign.run(
        "verify", "--key", key, "--insecure-ignore-tlog", "--offline", "--allow-insecure-registry",
        name, home=home,
    )  # fmt: skip


def peer_sign(name: str, key: str, home) -> None:
    done = cosign.run(
        "sign", "--yes", "--key", key, "--tlog-upload=false", "--allow-insecure-registry", name,
        home=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_both_ways(name, tmp_path):
    done = cosign.run("generate-key-pair", "--output-key-prefix", str(tmp_path / "theirs"), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert main(["sign", "--generate-key", "ours"]) == 0
    verify = ["verify", name, "--arch", "amd64", "--key"]
    assert main([*verify, "theirs.pub"]) == 1
    assert peer_verify(name, "ours.pub", tmp_path).returncode != 0
    # Theirs, taken by us.
    peer_sign(name, str(tmp_path / "theirs.key"), tmp_path)
    assert main([*verify, "theirs.pub"]) == 0
    assert main([*verify, "ours.pub"]) == 1
    # Ours, beside it, taken by them.
    assert main(["sign", name, "--key", "ours", "--push", "--arch", "amd64"]) == 0
    for key in ("ours.pub", "theirs.pub"):
        done = peer_verify(name, str(tmp_path / key), tmp_path)
        assert done.returncode == 0, done.stderr
        assert main([*verify, key]) == 0
    # Their own encryption of keys is not ours.
    assert main(["sign", name, "--key", "theirs.key", "--arch", "amd64"]) == 2
