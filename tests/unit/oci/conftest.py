from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from linuxkit.oci.image import open_image
from linuxkit.oci.store import Store
from support.images import image
from support.odd_registry import AMD, Fake
from support.registry import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A home with a login for every host, and nothing of the user's settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / ".netrc").write_text("default login anna password " + SECRET + "\n")
    for name in ("MIRROR", "INSECURE_REGISTRIES", "TOKEN_HOSTS"):
        monkeypatch.delenv("LINUXKIT_" + name, raising=False)


@pytest.fixture
def content(tmp_path) -> tuple[dict[str, bytes], bytes]:
    """The blobs and the manifest of an image."""
    store = Store(tmp_path / "content", sync=False)
    root = image(store, "app", {"a": bytes(range(256)) * 800}, {"b": "2"})
    found = open_image(store, root, AMD)
    blobs = {
        each.digest: store.read(each.digest, 1 << 20)
        for each in (found.manifest.config, *found.manifest.layers)
    }
    return blobs, store.read(root.digest, 1 << 20)


@pytest.fixture
def fake(content) -> Iterator[Fake]:
    with contextlib.closing(Fake(*content, "127.0.0.1")) as made:
        yield made


@pytest.fixture
def other(content) -> Iterator[Fake]:
    """Another origin, by its name and by its port."""
    with contextlib.closing(Fake(*content, "127.0.0.2")) as made:
        yield made


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", sync=False)


@pytest.fixture
def kept(tmp_path) -> Store:
    """A store of its own, beside the one that tests of registries pull into."""
    return Store(tmp_path / "cache", sync=False)
