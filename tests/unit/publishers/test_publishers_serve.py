"""A folder over HTTP: what is in it, and nothing else."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path

import pytest

from linuxkit.base import events
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact, BootFacts, OutFile
from linuxkit.publishers import serve


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "web-kernel").write_bytes(b"K" * 300_000)
    (root / "link").symlink_to("../secret")
    (root / "circle").symlink_to("circle")
    (root / ".hidden").write_text("no")
    files = (OutFile("kernel", "web-kernel", 1), OutFile("initrd", "web initrd.img", 1))
    boot = BootFacts("direct", "initramfs", "console=ttyS0 quiet", "ttyS0", 100)
    Artifact("kernel+initrd", "web", root, "amd64", Digest("sha256:" + "0" * 64), files, boot).save()
    (root / "bad.kernel+initrd.json").write_text("{}")
    return root


@pytest.fixture
def ask(folder):
    told = []

    with events.reporting(told.append), serve.Server(folder, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def request(path: str, method: str = "GET"):
            link = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
            link.request(method, path)
            answer = link.getresponse()
            data = answer.read()
            link.close()
            return answer.status, data, dict(answer.getheaders())

        request.told = told
        yield request
        server.shutdown()
        thread.join()


def test_files_are_served_whole(ask):
    status, data, head = ask("/web-kernel")
    assert (status, data) == (200, b"K" * 300_000)
    assert head["Content-Length"] == "300000"
    status, data, head = ask("/web-kernel", "HEAD")
    assert (status, data, head["Content-Length"]) == (200, b"", "300000")


def test_a_script_for_ipxe_is_made(ask):
    status, data, _ = ask("/web.ipxe")
    assert status == 200
    assert data.decode().splitlines() == [
        "#!ipxe",
        "kernel web-kernel initrd=web%20initrd.img console=ttyS0 quiet",
        "initrd web%20initrd.img",
        "boot",
    ]


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/%2e%2e/secret", "/link", "/circle", "/.hidden", "/x/../../secret", "/", "//secret",
     "/web-kernel%00", "/none.ipxe", "/bad.ipxe", "/" + "a" * 3000],
)  # fmt: skip
def test_nothing_else_is(ask, path):
    status, data, _ = ask(path)
    assert status == 404
    assert b"secret" not in data


def test_requests_are_told(ask):
    ask("/web-kernel")
    texts = [event.text for event in ask.told if isinstance(event, events.Note)]
    assert any('"GET /web-kernel HTTP/1.1" 200' in text for text in texts)


def test_addresses():
    assert serve.parse_address(":8080") == ("", 8080)
    assert serve.parse_address("80") == ("", 80)
    assert serve.parse_address("127.0.0.1:0") == ("127.0.0.1", 0)
    for text in ("", "x", "1:2:x", ":70000", ":-1"):
        with pytest.raises(Error) as caught:
            serve.parse_address(text)
        assert caught.value.code == "LK0832"


def test_what_cannot_be_served(tmp_path):
    with pytest.raises(Error, match="no folder"):
        serve.Server(tmp_path / "none", "127.0.0.1", 0)
    with serve.Server(tmp_path, "127.0.0.1", 0) as server, pytest.raises(Error, match="listen"):
        serve.Server(tmp_path, "127.0.0.1", server.server_address[1])
