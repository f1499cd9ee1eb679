"""What a registry may not do to us: a hostile one in this process, and a listener that it sends us to."""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.net.http import Settings
from linuxkit.oci import model, pull, push, ref, registry
from linuxkit.oci.image import open_image
from linuxkit.oci.model import Platform
from linuxkit.oci.ref import Ref
from linuxkit.oci.registry import Place, place_of
from linuxkit.oci.store import Store
from support.images import image
from support.modern_registry import Listener
from support.registry import SECRET, authority, docker_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AMD = Platform("linux", "amd64")
QUICK = Settings(tries=3, pause_s=0.01, connect_s=5, read_s=5)
Handler = BaseHTTPRequestHandler


class Fake:
    """A registry with one image, "app:1"; ``odd`` answers instead where it has the path."""

    def __init__(self, blobs: dict[str, bytes], manifest: bytes, address: str) -> None:
        self.blobs = blobs
        self.manifest = manifest
        self.kind = model.OCI_MANIFEST
        self.odd: dict[str, Callable[[Handler], None]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        fake = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with fake.lock:
                    fake.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                with contextlib.suppress(OSError):
                    fake.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            do_HEAD, do_PUT = do_GET, do_POST  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self.http = Listener((address, 0), Answers)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()
        self.host = f"{address}:{self.http.server_port}"

    def answer(self, handler: Handler) -> None:
        path = handler.path.partition("?")[0]
        name = path.rpartition("/")[2]
        odd = self.odd.get(path) or self.odd.get(path.split("/")[-2] if "/" in path else "")
        if odd:
            odd(handler)
        elif "/manifests/" in path:
            known = name in ("1", digests.of_bytes(self.manifest))
            send(handler, 200 if known else 404, self.manifest, Content_Type=self.kind)
        elif name in self.blobs:
            send(handler, 200, self.blobs[name])
        else:
            send(handler, 404)

    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    def logins(self) -> list[str]:
        return [sent["authorization"] for _, sent in self.seen if "authorization" in sent]

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def send(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
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


def get(fake: Fake, store: Store, what: str = "app:1", **changes: object) -> model.Descriptor:
    options = registry.options()._replace(settings=QUICK, **changes)
    return pull.pull(registry.Client(options), ref.parse(f"{fake.host}/{what}"), AMD, store)


def refused(fake: Fake, store: Store, what: str = "app:1", **changes: object) -> Error:
    with pytest.raises(Error) as error:
        get(fake, store, what, **changes)
    assert SECRET not in str(error.getrepr(style="long"))
    assert store.names() == ()
    assert not list((store.root / "linuxkit/tmp").glob("*"))
    return error.value


def biggest(fake: Fake) -> str:
    return max(fake.blobs, key=lambda name: len(fake.blobs[name]))


def challenge(realm: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        value = f'Bearer realm="{realm}",service="s",scope="repository:app:pull"'
        send(handler, 401, b"{}", WWW_Authenticate=value)

    return answer


def doc(fake: Fake, **changes: object) -> None:
    fake.manifest = json.dumps({**json.loads(fake.manifest), **changes}).encode()


def test_an_honest_one(fake, store):
    root = get(fake, store)
    assert root.digest == digests.of_bytes(fake.manifest)
    assert fake.logins() == []
    fake.seen.clear()
    get(fake, store)
    assert fake.paths() == ["/v2/app/manifests/1"]  # all else is there


def test_another_blob_than_was_asked_for(fake, store):
    name = biggest(fake)
    fake.blobs[name] = fake.blobs[name][:-1] + b"!"
    assert refused(fake, store).code == "LK0305"


@pytest.mark.parametrize("announce", [True, False])
def test_a_body_without_end(fake, store, announce):
    def pour(handler: Handler) -> None:
        handler.send_response(200)
        if announce:
            handler.send_header("Content-Length", str(1 << 40))
        handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in itertools.repeat(None, 10_000):
            handler.wfile.write(bytes(1 << 16))

    fake.odd["blobs"] = pour
    assert refused(fake, store).code == "LK0414"


def test_a_huge_manifest(fake, store):
    fake.manifest += b" " * (5 << 20)
    assert refused(fake, store).code == "LK0414"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"manifests": []}, "LK0307"),
        ({"layers": [{"mediaType": "x", "digest": "sha256:../../etc", "size": 1}]}, "LK0301"),
        ({"layers": [{"mediaType": "x", "digest": "md5:" + "0" * 32, "size": 1}]}, "LK0301"),
        ({"layers": [{"mediaType": "x", "digest": "sha256:" + "A" * 64, "size": 1}]}, "LK0301"),
        ({"layers": [{"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1 << 62}]}, "LK0307"),
        ({"mediaType": model.OCI_INDEX}, "LK0307"),
        ({"config": {"mediaType": model.OCI_CONFIG, "digest": "sha256:" + "0" * 64, "size": 9 << 20}},
         "LK0308"),
    ],
)  # fmt: skip
def test_manifests_that_deceive(fake, store, change, code):
    doc(fake, **change)
    assert refused(fake, store).code == code
    assert not any("blobs" in path for path in fake.paths())


def test_another_type_in_the_header(fake, store):
    fake.kind = "text/html"
    assert refused(fake, store).code == "LK0309"


def test_another_manifest_than_the_digest(fake, store):
    asked = digests.of_bytes(fake.manifest)
    fake.odd["manifests"] = lambda handler: send(
        handler, 200, fake.manifest + b" ", Content_Type=fake.kind
    )
    error = refused(fake, store, f"app@{asked}")
    assert error.code == "LK0305"
    assert asked in error.message


def test_a_digest_in_the_header_that_is_wrong(fake, store):
    fake.odd["manifests"] = lambda handler: send(
        handler, 200, fake.manifest, Content_Type=fake.kind,
        Docker_Content_Digest="sha256:" + "0" * 64,
    )  # fmt: skip
    assert refused(fake, store).code == "LK0305"


def test_foreign_addresses_are_not_followed(fake, other, store):
    layers = json.loads(fake.manifest)["layers"]
    for layer in layers:
        layer["urls"] = [f"http://{other.host}/v2/app/blobs/{layer['digest']}"]
    doc(fake, layers=layers)
    for layer in layers:
        del fake.blobs[layer["digest"]]
    assert refused(fake, store).code == "LK0320"
    assert other.seen == []


def test_a_login_does_not_follow_a_redirect(fake, other, store, tmp_path):
    docker_config(tmp_path / "docker", fake.host)
    plain = dict(fake.blobs)

    def answer(handler: Handler) -> None:
        if "Authorization" not in handler.headers:
            send(handler, 401, WWW_Authenticate='Basic realm="x"')
        elif "/blobs/" in handler.path:
            send(handler, 307, Location=f"http://{other.host}{handler.path}")
        else:
            send(handler, 200, fake.manifest, Content_Type=fake.kind)

    fake.odd.update({"manifests": answer, "blobs": answer})
    get(fake, store)
    assert len(fake.logins()) == 1 + len(plain)
    assert len(other.seen) == len(plain)
    assert other.logins() == []
    assert all("cookie" not in sent for _, sent in other.seen)


def test_a_login_does_not_follow_an_upload(fake, other, store, tmp_path):
    """The registry says where a blob is to be sent; what it says is not to be trusted."""
    docker_config(tmp_path / "docker", fake.host)
    origin = Store(tmp_path / "content")

    def guarded(handler: Handler) -> None:
        if "Authorization" not in handler.headers:
            send(handler, 401, WWW_Authenticate='Basic realm="x"')
        elif handler.command == "POST":
            send(handler, 202, Location=f"http://{other.host}/put?here=1")
        else:
            send(handler, 404)

    fake.odd.update({"blobs": guarded, "uploads": guarded, "manifests": guarded})
    fake.odd["/v2/app/blobs/uploads/"] = guarded
    other.odd["/put"] = lambda handler: send(handler, 201)
    client = registry.Client(registry.options()._replace(settings=QUICK))
    with pytest.raises(Error) as error:  # after the blobs, the manifest is refused
        push.push(client, origin.find("app"), ref.parse(f"{fake.host}/app:1"), origin)
    assert error.value.code == "LK0320"
    sent = [path for path in other.paths() if path.startswith("/put?here=1&digest=sha256:")]
    assert len(sent) == len(fake.blobs)
    assert len(fake.logins()) > 1
    assert other.logins() == []


@pytest.mark.parametrize("location", ["", "file:///x", "http://registry.invalid/x", "http://[x"])
def test_uploads_to_nowhere(fake, store, tmp_path, location):
    origin = Store(tmp_path / "content")
    fake.odd["/v2/app/blobs/uploads/"] = lambda handler: send(handler, 202, Location=location)
    fake.odd["blobs"] = fake.odd["manifests"] = lambda handler: send(handler, 404)
    client = registry.Client(registry.options()._replace(settings=QUICK))
    with pytest.raises(Error) as error:
        push.push(client, origin.find("app"), ref.parse(f"{fake.host}/app:1"), origin)
    assert error.value.code in {"LK0415", "LK0323"}


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://registry.invalid/x", "LK0323"),  # without TLS, and not on this machine
        ("file:///etc/passwd", "LK0415"),
        ("", "LK0415"),
        ("/v2/again/blobs/x", "LK0415"),  # without end
    ],
)
def test_redirects_that_are_refused(fake, store, location, code):
    fake.odd["blobs"] = lambda handler: send(handler, 302, Location=location)
    assert refused(fake, store).code == code


def test_tls_is_not_left(fake, other, store, tmp_path):
    """Not even for this machine, which may else be asked without; neither to read nor to send."""
    folder = tmp_path / "tls"
    folder.mkdir()
    authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    fake.http.socket = context.wrap_socket(fake.http.socket, server_side=True)
    docker_config(tmp_path / "docker", fake.host)

    def guarded(handler: Handler) -> None:
        if "Authorization" not in handler.headers:
            send(handler, 401, WWW_Authenticate='Basic realm="x"')
        elif handler.command == "HEAD" or handler.path.endswith("/new"):
            send(handler, 404)
        elif "/blobs/" not in handler.path:
            send(handler, 200, fake.manifest, Content_Type=fake.kind)
        else:
            send(handler, 202 if handler.command == "POST" else 307, Location=f"http://{other.host}/x")

    fake.odd.update({"manifests": guarded, "blobs": guarded, "uploads": guarded})
    fake.odd["/v2/app/blobs/uploads/"] = guarded
    certs = (str(folder / "ca" / "ca.crt"),)
    assert refused(fake, store, certs=certs).code == "LK0415"
    client = registry.Client(registry.options()._replace(settings=QUICK, certs=certs))
    origin = Store(tmp_path / "content")
    with pytest.raises(Error) as error:
        push.push(client, origin.find("app"), ref.parse(f"{fake.host}/app:new"), origin)
    assert error.value.code == "LK0415"
    assert fake.logins()
    assert other.seen == []


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


def test_a_broken_transfer_is_taken_up(fake, store):
    name = biggest(fake)
    body, ranges = fake.blobs[name], []

    def cut(handler: Handler) -> None:
        asked = handler.headers.get("Range", "")
        ranges.append(asked)
        if handler.path.rpartition("/")[2] != name:
            send(handler, 200, fake.blobs[handler.path.rpartition("/")[2]])
        elif not asked:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[:100_000])
            handler.close_connection = True
        else:
            at = int(asked[6:-1])
            send(handler, 206, body[at:], Content_Range=f"bytes {at}-{len(body) - 1}/{len(body)}")

    fake.odd["blobs"] = cut
    get(fake, store)
    assert store.read(digests.parse(name), 1 << 20) == body
    assert [each for each in ranges if each] == ["bytes=100000-"]


def test_too_many_requests_are_waited_for_and_told(fake, store):
    notes: list[str] = []
    left = [1]

    def busy(handler: Handler) -> None:
        if left:
            left.pop()
            send(handler, 429, b"slow down", Retry_After="1")
        else:
            send(handler, 200, fake.manifest, Content_Type=fake.kind)

    fake.odd["manifests"] = busy

    def report(event: events.Event) -> None:
        if isinstance(event, events.Note):
            notes.append(event.text)

    with events.reporting(report):
        get(fake, store)
    assert notes == ["127.0.0.1 asks for patience: waiting 1 s"]
    fake.odd["manifests"] = lambda handler: send(handler, 429, b"no")
    store.remove_name(f"{fake.host}/app:1")
    error = refused(fake, store)
    assert error.code == "LK0412"
    assert error.hint == "too much was asked of it: log in, wait, or use a mirror (--mirror)"
    fake.seen.clear()
    fake.odd["manifests"] = lambda handler: send(
        handler, 429, b"no", Retry_After="7200", RateLimit_Limit="100;w=21600", RateLimit_Remaining="0;w=21600"
    )  # fmt: skip
    error = refused(fake, store)
    assert error.message.endswith("answered HTTP 429 and wants to be left alone for 7200 s")
    assert error.hint.startswith("it allows 100 requests in 21600 s, 0 are left: log in")
    assert len(fake.seen) == 1


def test_compressed_answers_are_refused(fake, store):
    fake.odd["manifests"] = lambda handler: send(
        handler, 200, fake.manifest, Content_Type=fake.kind, Content_Encoding="gzip, gzip, gzip"
    )
    assert refused(fake, store).code == "LK0412"


def test_no_plain_http_elsewhere(store, fake):
    with pytest.raises(Error) as error:
        registry.Client(registry.Options({"*": "http://registry.invalid"})).manifest(
            Place("docker.io", "x"), "1"
        )
    assert error.value.code == "LK0323"
    assert "LINUXKIT_INSECURE_REGISTRIES" in error.value.hint


def test_a_registry_that_is_not_there_is_waited_for_once(fake, store):
    host = fake.host
    client = registry.Client(registry.Options({"*": f"http://{host}"}, settings=QUICK))
    fake.close()
    try:
        texts = set()
        for name in ("docker.io/a/b:1", "docker.io/c/d:2"):
            with pytest.raises(Error) as error:
                pull.pull(client, ref.parse(name), AMD, store)
            texts.add((error.value.code, error.value.message, error.value.hint))
    finally:
        fake.thread = threading.Thread(target=int)
        fake.thread.start()
        fake.http.shutdown = lambda: None
    assert len(texts) == 1
    code, message, _ = texts.pop()
    assert code == "LK0410"
    assert message.startswith(f"images of docker.io cannot be fetched from {host}: cannot reach")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("alpine", Place("docker.io", "library/alpine")),
        ("linuxkit/init:1", Place("docker.io", "linuxkit/init")),
        ("a/b/c", Place("docker.io", "a/b/c")),
        ("localhost/a", Place("localhost", "a")),
        ("h:5000/a/b", Place("h:5000", "a/b")),
        ("[::1]:5000/a", Place("[::1]:5000", "a")),
    ],
)
def test_places(text, place):
    assert place_of(ref.parse(text)) == place


def test_hosts_that_are_asked(monkeypatch):
    monkeypatch.setenv("LINUXKIT_MIRROR", "quay.io=https://q.example http://all.example:81")
    made = registry.options(["docker.io=https://hub.example/"])
    client = registry.Client(made)
    asked = {name: client.host(place_of(Ref(name))) for name in
             ("docker.io/a/b", "registry-1.docker.io/a/b", "quay.io/a", "ghcr.io/a")}  # fmt: skip
    assert list(asked.values()) == ["hub.example", "hub.example", "q.example", "all.example:81"]
    assert made.insecure == {"all.example:81"}
    assert registry.Client(registry.Options({})).host(Place("docker.io", "a")) == "registry-1.docker.io"


@pytest.mark.parametrize(
    "text", ["", "x", "x=y", "docker.io=ftp://x", "=https://x", "https://x/path", "a=https://u:p@h"]
)
def test_no_mirrors(text):
    with pytest.raises(Error) as error:
        registry.options([text])
    assert error.value.code == "LK0325"
    assert "u:p" not in error.value.message
