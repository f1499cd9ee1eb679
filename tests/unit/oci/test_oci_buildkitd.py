"""What a configuration of BuildKit's comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.oci import access, buildkitd

PATH = Path("/etc/own/buildkitd.toml")

FILE = b"""\
debug = true
[worker.oci]
max-parallelism = 4
[registry."docker.io"]
mirrors = ["mirror.example:5000"]
[registry."mirror.example:5000"]
http = true
insecure = false
[registry."ghcr.io"]
mirrors = ["https://ghcr.example"]
ca = ["ghcr.pem", "/etc/ssl/own.pem"]
[registry."plain.example"]
http = true
[registry."other.example"]
ca = ["ghcr.pem"]
"""


def test_registries_are_reached_as_it_says():
    mirrors, certs = buildkitd.read(FILE, PATH)
    assert certs == ("/etc/own/ghcr.pem", "/etc/ssl/own.pem")
    found = access.options(mirrors, certs)
    assert found.mirrors["docker.io"] == "http://mirror.example:5000"
    assert found.mirrors["ghcr.io"] == "https://ghcr.example"
    assert found.mirrors["plain.example"] == "http://plain.example"
    assert "other.example" not in found.mirrors
    assert {"mirror.example:5000", "plain.example"} <= found.insecure
    assert not {"ghcr.example", "ghcr.io"} & found.insecure


def test_a_file_without_registries_says_nothing():
    assert buildkitd.read(b"root = '/var/lib/buildkit'\n[grpc]\n", PATH) == ((), ())


WRONG = {
    "x": "(at ", "\xff": "codec", "registry = 1": "[registry] is no table",
    "registry = {a = 1}": '[registry."a"] is no table',
    "registry.a.insecure = true": "whoever made them",
    "registry.a.insecure = 1": "neither true nor false",
    "registry.a.http = 'yes'": "neither true nor false",
    "registry.a.mirrors = ['b', 'c']": "has 2 mirrors",
    "registry.a.mirrors = 'b'": "mirrors is no list of texts",
    "registry.a.ca = [1]": "ca is no list of texts",
    "[[registry.a.keypair]]\nkey = 'k'": "`keypair`, which cannot be followed",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_followed_is_an_error(text):
    with pytest.raises(Error) as caught:
        buildkitd.read(text.encode("latin-1"), PATH)
    assert caught.value.code == "LK0734"
    assert caught.value.message.startswith(f"{PATH}: ")
    assert WRONG[text] in caught.value.message
