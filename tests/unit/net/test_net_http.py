"""The transport against a real server on the loopback interface."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from linuxkit.base.errors import Error
from linuxkit.net.http import Settings, Transport
from linuxkit.net.url import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = bytes(range(256)) * 4000
QUICK = Settings(tries=3, pause_s=0.01, connect_s=5, read_s=5)


class Server:
    """Answers by functions; remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                named = {k.lower(): v for k, v in self.headers.items()}
                server.requests.append((self.path, named))
                answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.closing(Server()) as made:
        yield made


def reply(status=200, body=b"", **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def cut(body, whole, **headers):
    """Announce ``whole`` bytes, send ``body``, hang up."""

    def answer(handler):
        reply(200, body, Content_Length=str(whole), **headers)(handler)
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return answer


def code_of(call) -> Error:
    with pytest.raises(Error) as caught:
        call()
    return caught.value


def test_reads_and_says_who_it_is(server):
    server.answers = [reply(body=BODY)]
    seen: list[int] = []
    parts: list[bytes] = []

    class Sink:
        def write(self, data):
            parts.append(data)

    assert Transport(QUICK).fetch(f"{server.url}/a", Sink(), limit=1 << 20, progress=seen.append)
    assert b"".join(parts) == BODY
    assert sum(seen) == len(BODY)
    _, headers = server.requests[0]
    assert headers["user-agent"].startswith("linuxkit/")
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_tries_again(server, status):
    server.answers = [reply(status), reply(status, Retry_After="0"), reply(body=BODY)]
    assert Transport(QUICK).read(f"{server.url}/a", limit=1 << 20) == BODY
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "code", "requests"),
    [(404, "LK0411", 1), (410, "LK0411", 1), (403, "LK0412", 1), (503, "LK0412", 3), (204, "LK0412", 1)],
)
def test_refusals(server, status, code, requests):
    server.answers = [reply(status)]
    error = code_of(lambda: Transport(QUICK, hint="H").read(f"{server.url}/a", limit=9))
    assert error.code == code
    assert len(server.requests) == requests


def test_resumes_where_it_broke_off(server):
    def rest(handler):
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        assert handler.headers["If-Range"] == '"1"'
        piece = BODY[start:]
        span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        reply(206, piece, Content_Range=span)(handler)

    server.answers = [cut(BODY[:300_000], len(BODY), ETag='"1"'), rest]
    assert Transport(QUICK).read(f"{server.url}/a", limit=len(BODY)) == BODY
    assert len(server.requests) == 2


def test_starts_over_on_a_server_without_ranges(server):
    server.answers = [cut(BODY[:300_000], len(BODY)), reply(body=BODY)]
    assert Transport(QUICK).read(f"{server.url}/a", limit=len(BODY)) == BODY


def test_refuses_another_range(server):
    server.answers = [
        cut(BODY[:300_000], len(BODY)),
        reply(206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}"),
    ]
    error = code_of(lambda: Transport(QUICK).read(f"{server.url}/a", limit=len(BODY)))
    assert error.code == "LK0412"


def test_cut_short_every_time(server):
    server.answers = [cut(b"x", 10)]
    assert code_of(lambda: Transport(QUICK).read(f"{server.url}/a", limit=10)).code == "LK0413"


@pytest.mark.parametrize("announced", [True, False])
def test_limit(server, announced):
    server.answers = [reply(body=b"x" * 11) if announced else endless]
    assert code_of(lambda: Transport(QUICK).read(f"{server.url}/a", limit=10)).code == "LK0414"
    server.answers = [reply(body=b"x" * 10)]
    assert Transport(QUICK).read(f"{server.url}/a", limit=10) == b"x" * 10


def endless(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    with contextlib.suppress(OSError):
        for _ in range(100):
            handler.wfile.write(b"x" * 65536)


def test_redirects(server):
    server.answers = [reply(302, Location="/b"), reply(301, Location=f"{server.url}/c"), reply(body=b"ok")]
    assert Transport(QUICK).read(f"{server.url}/a", limit=9) == b"ok"
    assert [path for path, _ in server.requests] == ["/a", "/b", "/c"]


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher:x"]
)
def test_bad_redirects(server, location):
    server.answers = [reply(302, Location=location)]
    assert code_of(lambda: Transport(QUICK).read(f"{server.url}/a", limit=9)).code == "LK0415"


def test_endless_redirects(server):
    server.answers = [reply(302, Location="/a")]
    assert code_of(lambda: Transport(QUICK).read(f"{server.url}/a", limit=9)).code == "LK0415"
    assert len(server.requests) == 6


def test_https_never_goes_down_to_http():
    from linuxkit.net import url

    with pytest.raises(Error) as caught:
        url.redirected("https://a.example/x", "http://a.example/x")
    assert caught.value.code == "LK0415"


def test_unasked_encoding(server):
    server.answers = [reply(body=b"x", Content_Encoding="gzip")]
    assert code_of(lambda: Transport(QUICK).read(f"{server.url}/a", limit=9)).code == "LK0412"


def test_login_is_used_and_not_shown(server):
    server.answers = [reply(404)]
    url = server.url.replace("://", "://me:s3cret@")
    error = code_of(lambda: Transport(QUICK).read(f"{url}/a", limit=9))
    assert "s3cret" not in str(error)
    assert "me" not in error.message.partition("***")[0]
    assert server.requests[0][1]["authorization"] == "Basic bWU6czNjcmV0"


def test_login_stays_with_its_host(server):
    other = Server()
    with contextlib.closing(other):
        other.answers = [reply(body=b"ok")]
        server.answers = [reply(302, Location=f"{other.url}/b")]
        url = server.url.replace("://", "://me:s3cret@")
        assert Transport(QUICK).read(f"{url}/a", limit=9) == b"ok"
        assert "authorization" not in other.requests[0][1]


def test_unreachable_host_is_named(monkeypatch):
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = code_of(
        lambda: Transport(QUICK, hint="set X").read(f"http://127.0.0.1:{port}/a", limit=9)
    )
    assert (error.code, error.hint) == ("LK0410", "set X")
    assert "127.0.0.1" in error.message
    assert "refused" in error.message.lower()


def test_proxy_of_the_environment(server, monkeypatch):
    server.answers = [reply(body=b"by proxy")]
    monkeypatch.setenv("http_proxy", server.url)
    assert Transport(QUICK).read("http://mirror.invalid/debian/x", limit=9) == b"by proxy"
    assert server.requests[0][0] == "http://mirror.invalid/debian/x"
    monkeypatch.setenv("no_proxy", "mirror.invalid")
    assert code_of(lambda: Transport(QUICK).read("http://mirror.invalid/x", limit=9)).code == "LK0410"


def test_untrusted_certificate(server, tmp_path):
    pem = tmp_path / "both.pem"
    pem.write_bytes(self_signed())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    error = code_of(lambda: Transport(QUICK).read(f"{url}/a", limit=9))
    assert error.code == "LK0416"
    assert server.requests == []


def self_signed() -> bytes:
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    return private + cert.public_bytes(encoding)


def test_files(tmp_path):
    path = tmp_path / "a b%"
    path.write_bytes(b"hello")
    transport = Transport(QUICK)
    assert transport.read(path.as_uri(), limit=5) == b"hello"
    assert code_of(lambda: transport.read(path.as_uri(), limit=4)).code == "LK0414"
    assert code_of(lambda: transport.read(f"{path.as_uri()}/x", limit=4)).code == "LK0411"
    assert code_of(lambda: transport.read(tmp_path.as_uri(), limit=4)).code == "LK0411"
    assert code_of(lambda: transport.read("file://host/x", limit=4)).code == "LK0417"


@pytest.mark.parametrize("url", ["ftp://x/y", "x", "http:///y", ""])
def test_no_url(url):
    assert code_of(lambda: Transport(QUICK).read(url, limit=4)).code == "LK0417"


@pytest.mark.parametrize("where", ["http://[x", "http://h:99999/x", "http://h:a/"])
def test_redirects_to_nonsense(server, where):
    server.answers = [reply(302, Location=where)]
    assert code_of(lambda: Transport(QUICK).read(server.url, limit=4)).code == "LK0415"
    assert code_of(lambda: Transport(QUICK).read(where, limit=4)).code == "LK0417"


def test_shown():
    assert shown("http://u:p@[x") == "[x"
    assert shown("https://u:p@h/x\x1b?y") == "https://***@h/x\\x1b?…"
