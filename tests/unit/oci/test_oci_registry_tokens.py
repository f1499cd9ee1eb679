"""Token servers of registries: whom we tell a login, and what they may answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.oci import model
from support.odd_registry import challenge, doc, get, refused, send
from support.registry import SECRET, docker_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.odd_registry import Fake, Handler

pytestmark = pytest.mark.usefixtures("alone")


def test_a_token_server_of_somebody_else(fake, other, store, tmp_path):
    docker_config(tmp_path / "docker", fake.host)
    fake.odd["manifests"] = challenge(f"http://{other.host}/token")
    error = refused(fake, store)
    assert error.code == "LK0322"
    assert "127.0.0.2" in error.message
    assert "LINUXKIT_TOKEN_HOSTS=127.0.0.2" in error.hint
    assert other.seen == []


@pytest.mark.parametrize(
    ("realm", "code"),
    [("http://127.0.0.1.evil.example/t", "LK0322"), ("ftp://127.0.0.1/t", "LK0324"),
     ("", "LK0324"), ("http://[1/t", "LK0324"), ("http://127.0.0.1:x/t", "LK0324"), ("http://a:b@127.0.0.1/t", "LK0324")],
)  # fmt: skip
def test_token_servers_that_are_none(fake, store, realm, code):
    fake.odd["manifests"] = challenge(realm)
    assert refused(fake, store).code == code


def tokens(fake: Fake, answer: Callable[[Handler], None]) -> None:
    """Let the image need the token "t0ken", which ``/token`` sells."""

    def guarded(handler: Handler) -> None:
        if handler.headers.get("Authorization") != "Bearer t0ken":
            challenge(f"http://{fake.host}/token")(handler)
        elif "/blobs/" in handler.path:
            send(handler, 200, fake.blobs[handler.path.rpartition("/")[2]])
        else:
            send(handler, 200, fake.manifest, Content_Type=fake.kind)

    fake.odd.update({"manifests": guarded, "blobs": guarded, "/token": answer})


def test_a_token_is_bought_once(fake, store, tmp_path):
    docker_config(tmp_path / "docker", f"https://{fake.host}/v2/")
    tokens(fake, lambda handler: send(handler, 200, b'{"access_token": "t0ken"}'))
    get(fake, store)
    bought = [(path, sent) for path, sent in fake.seen if path.startswith("/token")]
    assert [path for path, _ in bought] == ["/token?service=s&scope=repository%3Aapp%3Apull"]
    assert bought[0][1]["authorization"].startswith("Basic ")


def test_a_token_that_ends_is_bought_anew(fake, store):
    sold: list[str] = []
    uses: list[str] = []

    def sell(handler: Handler) -> None:
        sold.append(f"t{len(sold)}")
        uses.clear()
        send(handler, 200, json.dumps({"token": sold[-1]}).encode())

    def guarded(handler: Handler) -> None:
        uses.append("")
        good = sold and handler.headers.get("Authorization") == f"Bearer {sold[-1]}"
        if not good or len(uses) > 1:
            challenge(f"http://{fake.host}/token")(handler)
        elif "/blobs/" in handler.path:
            send(handler, 200, fake.blobs[handler.path.rpartition("/")[2]])
        else:
            send(handler, 200, fake.manifest, Content_Type=fake.kind)

    doc(fake, layers=json.loads(fake.manifest)["layers"][:1])
    config = json.loads(fake.blobs[json.loads(fake.manifest)["config"]["digest"]])
    config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:1]
    data = json.dumps(config).encode()
    name = digests.of_bytes(data)
    fake.blobs[name] = data
    doc(fake, config={"mediaType": model.OCI_CONFIG, "digest": name, "size": len(data)})
    fake.odd.update({"manifests": guarded, "blobs": guarded, "/token": sell})
    get(fake, store)
    assert sold == ["t0", "t1", "t2"]  # for the manifest, the configuration and the layer


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(403, b"{}", "LK0321"), (200, b"<html>", "LK0324"), (200, b'{"token": "a\\r\\nX: y"}', "LK0324"),
     (200, b'{"token": 7}', "LK0324"), (200, b"x" * (2 << 20), "LK0414"), (200, b"[" * 9999, "LK0324")],
)  # fmt: skip
def test_answers_of_token_servers(fake, store, status, body, code):
    tokens(fake, lambda handler: send(handler, status, body))
    assert refused(fake, store).code == code


def test_an_identity_token_is_posted(fake, store, tmp_path):
    folder = docker_config(tmp_path / "docker", fake.host)
    (folder / "config.json").write_text(
        json.dumps({"auths": {fake.host: {"identitytoken": SECRET}}})
    )
    tokens(fake, lambda handler: send(
        handler, 200 if handler.command == "POST" else 400, b'{"access_token": "t0ken"}'
    ))  # fmt: skip
    get(fake, store)
    assert all(SECRET not in path for path in fake.paths())
