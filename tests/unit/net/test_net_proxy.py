"""Proxies: whom the environment names, for whom not, and a real one that speaks CONNECT."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import pytest

from linuxkit.base.errors import Error
from linuxkit.net import proxy
from linuxkit.net.http import Transport
from linuxkit.net.patience import Settings
from support.modern_registry import Listener
from support.registry import NAME, authority

QUICK = Settings(tries=2, pause_s=0.01, connect_s=5, read_s=5)
LOGIN = "Basic " + base64.b64encode(b"me:s3cret").decode()


@pytest.mark.parametrize(
    ("rules", "host", "port", "found"),
    [
        ("", "a.example", None, False),
        ("*", "a.example", None, True),
        ("a.example", "a.example", None, True),
        ("A.Example", "a.exAMPLE.", None, True),
        ("example", "a.example", None, True),
        (".example", "a.example", None, True),
        (".a.example", "a.example", None, True),
        ("xample", "a.example", None, False),
        ("b.example", "a.example", None, False),
        ("b.example, ,a.example", "a.example", None, True),
        ("b.example a.example", "a.example", None, True),
        ("a.example:5000", "a.example", 5000, True),
        ("a.example:5000", "a.example", 443, False),
        ("a.example:5000", "a.example", None, False),
        ("10.0.0.7", "10.0.0.7", None, True),
        ("10.0.0.0/8", "10.200.0.7", None, True),
        ("10.0.0.7/8", "10.200.0.7", None, True),
        ("10.0.0.0/24", "10.0.1.7", None, False),
        ("10.0.0.0/99", "10.0.0.7", None, False),
        ("10.0.0.0/8", "ten.example", None, False),
        ("0.0.7", "10.0.0.7", None, False),
        ("fd00::/8", "fd12::1", None, True),
        ("fd12::1", "fd12::1", None, True),
        ("[fd12::1]", "fd12::1", None, True),
        ("[fd12::1]:5000", "fd12::1", 5000, True),
        ("[fd12::1]:5000", "fd12::1", 443, False),
        ("fe80::/10", "10.0.0.7", None, False),
        (".", "a.example", None, False),
    ],
)
def test_whom_no_proxy_names(rules, host, port, found):
    assert proxy.excepted(host, port, rules) is found


@pytest.fixture
def environment(monkeypatch):
    def change(**values: str) -> None:
        for name in ("http", "https", "all", "no"):
            for key in (f"{name}_proxy", f"{name.upper()}_PROXY"):
                monkeypatch.delenv(key, raising=False)
        for key, value in values.items():
            monkeypatch.setenv(key, value)

    return change


@pytest.mark.parametrize(
    ("values", "url", "found"),
    [
        ({"https_proxy": "http://p:1"}, "https://a.example/x", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://a.example/x", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.example/x", ""),
        ({"all_proxy": "http://p:1"}, "https://a.example/x", "http://p:1"),
        ({"http_proxy": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3:80/x", ""),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.1/x", ""),
        ({"http_proxy": "http://p:1"}, "http://localhost/x", ""),
        ({"http_proxy": "http://p:1"}, "http://[::1]:5000/x", ""),
    ],
)
def test_whom_the_environment_names(environment, values, url, found):
    environment(**values)
    assert proxy.for_url(urlsplit(url)) == found


class Proxy:
    """It wants a login, and leads every CONNECT to ``target``."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.seen: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                site.seen.append((self.path, self.headers.get("Proxy-Authorization", "")))
                if self.headers.get("Proxy-Authorization") != LOGIN:
                    self.send_error(407)
                    return
                self.send_response(200)
                self.end_headers()
                with socket.create_connection(target) as there:
                    ends = {self.connection: there, there: self.connection}
                    while True:
                        for end in select.select(list(ends), [], [])[0]:
                            data = end.recv(65536)
                            if not data:
                                return
                            ends[end].sendall(data)

            def log_message(self, *args: object) -> None:
                pass

        self.http = Listener(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()
        self.host = f"127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def site(tmp_path):
    """A server with TLS that tells the headers it got."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(self.headers).encode())

        def log_message(self, *args: object) -> None:
            pass

    authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server = Listener(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address
    server.shutdown()
    thread.join()
    server.server_close()


def test_through_a_proxy_with_a_login(site, tmp_path, environment):
    """Asked for by a name that only the proxy knows; its login is not for the server."""
    transport = Transport(QUICK, certs=[str(tmp_path / "ca/ca.crt")])
    with contextlib.closing(Proxy(site)) as between:
        environment(https_proxy=f"http://me:s3cret@{between.host}")
        said = transport.read(f"https://{NAME}/x", limit=1 << 16)
        assert NAME.encode() in said
        assert b"uthorization" not in said
        assert between.seen == [(f"{NAME}:443", LOGIN)]
        for url, code in ((f"https://other.{NAME}/x", "LK0416"), ("https://127.0.0.1:1/x", "LK0410")):
            with pytest.raises(Error) as error:
                transport.read(url, limit=1 << 16)
            assert error.value.code == code
        assert between.seen[1:] == [(f"other.{NAME}:443", LOGIN)]
        environment(https_proxy=f"http://me:wr0ng@{between.host}")
        with pytest.raises(Error) as error:
            transport.read(f"https://{NAME}/x", limit=1 << 16)
        assert error.value.code == "LK0410"
        assert f"through the proxy {between.host}" in error.value.message
        assert "407" in error.value.message
        assert "wr0ng" not in str(error.value)


def test_one_that_is_not_there(environment):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{silent.getsockname()[1]}"  # where nobody listens
        for name in (f"http://{host}", host, "socks9://x"):
            environment(https_proxy=name)
            with pytest.raises(Error) as error:
                Transport(QUICK).read(f"https://{NAME}/x", limit=1)
            assert error.value.code == "LK0410"
            assert "proxy" in error.value.message
