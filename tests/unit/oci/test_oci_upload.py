"""Blobs on their way to a registry: at once, in chunks, cut off, mounted; and registries that lie."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from linuxkit.base.errors import Error
from linuxkit.net.http import Settings
from linuxkit.oci import access, auth, push, ref, registry
from linuxkit.oci.model import OCI_LAYER, Descriptor
from linuxkit.oci.registry import Place
from linuxkit.oci.store import Store
from support.images import image
from support.modern_registry import Modern
from support.registry import SECRET, USER

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.modern_registry import Answer

QUICK = Settings(tries=3, pause_s=0.01, connect_s=5, read_s=5)
CHUNK = 100_000
DATA = os.urandom(7 * CHUNK // 2)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("LINUXKIT_MIRROR", "LINUXKIT_REGISTRY_CREDS", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site():
    with contextlib.closing(Modern()) as made:
        yield made


@pytest.fixture
def other():
    """Another origin."""
    with contextlib.closing(Modern("127.0.0.2")) as made:
        yield made


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", sync=False)


def client(**changes) -> registry.Client:
    return registry.Client(registry.options()._replace(**{"settings": QUICK, "chunk": CHUNK, **changes}))


def send(site: Modern, store: Store, data: bytes = DATA, **changes) -> tuple[Descriptor, list[int]]:
    """Send a blob; that and the progress it made."""
    blob, seen = Descriptor(OCI_LAYER, store.put(data), len(data)), []
    assert client(**changes).send_blob(Place(site.host, "app"), blob, store, seen.append)
    assert site.blobs["app"][blob.digest] == data
    assert sum(seen) == len(data)
    return blob, seen


def refused(site: Modern, store: Store, **changes) -> Error:
    with pytest.raises(Error) as error:
        send(site, store, **changes)
    assert SECRET not in str(error.getrepr())
    return error.value


def ranges(site: Modern) -> list[str]:
    return [sent["content-range"] for method, _, sent in site.seen if method == "PATCH"]


@pytest.mark.parametrize("size", [0, 1, CHUNK])
def test_what_is_small_is_sent_at_once(site, store, size):
    send(site, store, DATA[:size])
    assert [method for method, _, _ in site.seen if method != "GET"] == ["HEAD", "POST", "PUT"]


def test_what_is_large_is_sent_in_chunks(site, store):
    send(site, store)
    assert ranges(site) == ["0-99999", "100000-199999", "200000-299999", "300000-349999"]
    (last,) = [sent for method, _, sent in site.seen if method == "PUT"]
    assert last["content-length"] == "0"


def test_the_registry_says_how_small_a_chunk_may_be(site, store):
    site.least_chunk = 150_000
    send(site, store)
    assert ranges(site) == ["0-149999", "150000-299999", "300000-349999"]


def test_nothing_is_sent_twice(site, store):
    blob, _ = send(site, store)
    site.seen.clear()
    assert not client().send_blob(Place(site.host, "app"), blob, store)
    assert not site.requests("POST")


def hang_up(request: Answer) -> None:
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


def once(do: Callable[[Answer], None], method: str, nth: int = 1) -> Callable[[Answer], bool]:
    """Let the nth request of a method meet a misfortune."""
    count = [0]

    def odd(request: Answer) -> bool:
        count[0] += request.command == method
        if request.command != method or count[0] != nth:
            return False
        do(request)
        return True

    return odd


def part_arrives(site: Modern, size: int) -> Callable[[Answer], None]:
    def cut(request: Answer) -> None:
        site.uploads["0"] += request.rfile.read(size)
        hang_up(request)

    return cut


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_a_cut_connection_is_taken_up_where_it_stood(site, store, nth):
    site.odd = once(part_arrives(site, 30_000), "PATCH", nth)
    send(site, store)
    begun = [int(each.partition("-")[0]) for each in ranges(site)]
    assert begun[nth] == begun[nth - 1] + 30_000
    assert len(site.requests("POST")) == 1


def test_an_answer_that_is_lost(site, store):
    """The registry has it all; nothing of it is sent again."""

    def lose(request: Answer) -> None:
        request.send = lambda *_args, **_more: hang_up(request)
        request.route()

    site.odd = once(lose, "PATCH", 2)
    send(site, store)
    assert ranges(site) == ["0-99999", "100000-199999", "200000-299999", "300000-349999"]
    for data in (DATA[:-1], DATA[:5]):
        site.odd = once(lose, "PUT")
        send(site, store, data)


def test_an_upload_that_is_forgotten_begins_anew(site, store):
    def forget(request: Answer) -> None:
        site.uploads.pop("0", None)
        hang_up(request)

    site.odd = once(forget, "PATCH", 3)
    send(site, store)
    assert [each.partition("-")[0] for each in ranges(site)] == [
        "0", "100000", "200000", "0", "100000", "200000", "300000"
    ]  # fmt: skip
    assert len(site.requests("POST")) == 2


@pytest.mark.parametrize("status", [405, 411, 501])
def test_a_registry_that_knows_no_chunks(site, store, status):
    site.odd = lambda request: request.command == "PATCH" and (request.body(), request.send(status)) != ()
    send(site, store)
    assert len(ranges(site)) == 1
    assert len(site.requests("PUT")) == 1


@pytest.mark.parametrize(("status", "requests"), [(400, 1), (403, 1), (503, 3)])
def test_one_that_does_not_want_it(site, store, status, requests):
    site.odd = lambda request: request.command == "PATCH" and (request.body(), request.send(status)) != ()
    assert refused(site, store).code == ("LK0321" if status == 403 else "LK0412")
    assert len(ranges(site)) == requests
    assert client().host(Place("docker.io", "x")) == "registry-1.docker.io"


def test_one_that_hangs_up_always(site, store):
    site.odd = lambda request: request.command in ("PATCH", "PUT") and hang_up(request) is None
    assert refused(site, store).code == "LK0410"
    assert len(ranges(site)) == 3
    assert refused(site, store, chunk=1 << 20).code == "LK0410"


@pytest.mark.parametrize("told", ["0-5", "0-99998", "0-100000", "0-999999999999999", "0-0"])
def test_one_that_counts_wrong(site, store, told):
    def lie(request: Answer) -> None:
        request.body()
        request.send(202, Location=request.path, Range=told)

    site.odd = once(lie, "PATCH")
    assert refused(site, store).code == "LK0333"


def test_one_whose_uploads_never_end(site, store):
    """It takes a byte of each chunk and hangs up: that is a failure however far it comes."""

    def odd(request: Answer) -> bool:
        if request.command == "PATCH":
            part_arrives(site, 1)(request)
        return request.command == "PATCH"

    site.odd = odd
    assert refused(site, store).code == "LK0410"
    assert len(ranges(site)) == 3


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
def test_a_login_does_not_follow_an_upload_elsewhere(site, other, store, method):
    """Whatever step leads to another host, what follows there comes without a login."""
    other.uploads["0"] = bytearray()
    steps = {"POST": 0, "PATCH": CHUNK, "GET": 0}

    def odd(request: Answer) -> bool:
        if "Authorization" not in request.headers:
            request.body()
            request.send(401, WWW_Authenticate='Basic realm="x"')
            return True
        if request.command == "PATCH" and method == "GET":
            hang_up(request)
            return True
        if request.command != method or "/uploads/" not in request.path:
            return False
        if method == "PATCH":
            other.uploads["0"] += request.body()
        at = steps[method]
        request.send(204 if method == "GET" else 202, Range=f"0-{max(at - 1, 0)}",
                     Location=f"http://{other.host}/v2/app/blobs/uploads/0")  # fmt: skip
        return True

    site.odd = odd
    logins = {site.host: auth.Login(USER, SECRET)}
    blob = Descriptor(OCI_LAYER, store.put(DATA), len(DATA))
    assert client(logins=logins).send_blob(Place(site.host, "app"), blob, store)
    assert other.blobs["app"][blob.digest] == DATA
    assert any("authorization" in sent for _, _, sent in site.seen)
    assert not any("authorization" in sent or "cookie" in sent for _, _, sent in other.seen)


def test_storage_elsewhere_that_wants_a_login_gets_none(site, other, store):
    def lead_away(request: Answer) -> bool:
        if request.command == "POST":
            request.send(202, Location=f"http://{other.host}/v2/app/blobs/uploads/0")
        return request.command == "POST"

    site.odd = lead_away
    other.odd = lambda request: (
        request.body(), request.send(401, WWW_Authenticate=f'Bearer realm="http://{other.host}/t"')
    ) != ()  # fmt: skip
    logins = {name: auth.Login(USER, SECRET) for name in (site.host, other.host)}
    assert refused(site, store, logins=logins, chunk=1 << 20).code == "LK0321"
    assert [sent for _, _, sent in other.seen if "authorization" in sent] == []
    assert not other.requests("GET")


def test_a_token_that_ends_amid_the_chunks_is_bought_anew(site, store):
    sold = [0]

    def odd(request: Answer) -> bool:
        if request.path.startswith("/token"):
            sold[0] += 1
            request.send(200, b'{"token": "t%d"}' % sold[0])
            return True
        good = request.headers.get("Authorization") == f"Bearer t{sold[0]}"
        late = sold[0] == 1 and request.headers.get("Content-Range", "").startswith("200000")
        if good and not late:
            return False
        request.body()
        realm = f'Bearer realm="http://{site.host}/token",scope="repository:app:pull,push repository:b:pull"'
        request.send(401, WWW_Authenticate=realm)
        return True

    site.odd = odd
    send(site, store)
    assert sold == [2]
    assert site.requests("GET", "/token")[0] == "/token?scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Ab%3Apull"


def test_a_blob_is_mounted_from_where_it_is_known_to_be(site, store):
    made = image(store, "it", {"a": "1"}, {"b": "2"})
    there = client()
    push.push(there, made, ref.parse(f"{site.host}/one:1"), store)
    site.seen.clear()
    assert push.push(there, made, ref.parse(f"{site.host}/two:1"), store)
    assert site.blobs["two"] == site.blobs["one"]
    assert len(site.requests("POST", "from=one")) == 3
    assert not site.requests("PATCH")
    assert [path for path in site.requests("PUT") if "/blobs/" in path] == []
    # Another process knows it by the name that the image has in the store.
    assert push.push(client(), made, ref.parse(f"{site.host}/three:1"), store, source=f"{site.host}/two")
    assert site.blobs["three"] == site.blobs["one"]
    # On another registry that repository means nothing.
    site.seen.clear()
    assert push.push(client(), made, ref.parse(f"{site.host}/four:1"), store, source="quay.io/two")
    assert not site.requests("POST", "mount")


def test_a_mount_that_is_not_done(site, store):
    """The blob is not there, or may not be read by us."""
    blob = Descriptor(OCI_LAYER, store.put(DATA), len(DATA))
    for n, odd in enumerate((lambda _: False, lambda r: "mount=" in r.path and r.send(403) is None)):
        site.odd = odd
        there = client()
        there.note(Place(site.host, "nowhere"), blob.digest)
        assert there.send_blob(Place(site.host, f"app{n}"), blob, store)
        assert site.blobs[f"app{n}"][blob.digest] == DATA
        assert len(site.requests("POST", "mount")) == n + 1


def test_options_have_sensible_chunks():
    assert access.Options({}).chunk == 32 << 20
