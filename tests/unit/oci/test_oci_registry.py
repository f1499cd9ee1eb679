"""What a registry may not do to us: a hostile one in this process, and a listener that it sends us to."""

from __future__ import annotations

import itertools
import json
import ssl
import threading

import pytest

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.oci import model, pull, push, ref, registry
from linuxkit.oci.ref import Ref
from linuxkit.oci.registry import Place, place_of
from linuxkit.oci.store import Store
from support.odd_registry import AMD, QUICK, Handler, biggest, doc, get, refused, send
from support.registry import authority, docker_config

pytestmark = pytest.mark.usefixtures("alone")


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
            send(
                handler,
                202 if handler.command == "POST" else 307,
                Location=f"http://{other.host}/x",
            )

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
    assert (
        registry.Client(registry.Options({})).host(Place("docker.io", "a"))
        == "registry-1.docker.io"
    )


@pytest.mark.parametrize(
    "text", ["", "x", "x=y", "docker.io=ftp://x", "=https://x", "https://x/path", "a=https://u:p@h"]
)
def test_no_mirrors(text):
    with pytest.raises(Error) as error:
        registry.options([text])
    assert error.value.code == "LK0325"
    assert "u:p" not in error.value.message
