"""Artifacts about images, to and from a registry: one with the referrers API, and one without."""

from __future__ import annotations

import contextlib
import json

import pytest

from linuxkit.base.errors import Error
from linuxkit.net.http import Settings
from linuxkit.oci import model, pull, push, ref, referrers, registry
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.registry import Place
from linuxkit.oci.store import Store
from support.images import image
from support.modern_registry import Modern

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
SBOM, SIGNATURE = "application/spdx+json", "application/x.signature"
NAME = "docker.io/team/web"
QUICK = Settings(tries=3, pause_s=0.01, connect_s=5, read_s=5)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("LINUXKIT_MIRROR", raising=False)


@pytest.fixture(params=[True, False], ids=["api", "tag"])
def site(request):
    with contextlib.closing(Modern(referrers=request.param)) as made:
        yield made


@pytest.fixture
def modern():
    with contextlib.closing(Modern()) as made:
        yield made


@pytest.fixture
def origin(tmp_path) -> Store:
    """An image of two platforms with artifacts about it, about each part, and about one of these."""
    store = Store(tmp_path / "origin", sync=False)
    parts = [
        image(store, arch, {"a": arch}, arch=arch)._replace(platform=Platform("linux", arch))
        for arch in ("amd64", "arm64")
    ]
    root = write_index(store, parts)
    store.set_name(f"{NAME}:1", root)
    for each in (root, *parts):
        about(store, each, SBOM, each.digest.encode())
    (listed,) = referrers.find(store, NAME, parts[0].digest)
    about(store, listed, SIGNATURE, b"signed")
    return store


def about(store: Store, subject: Descriptor, kind: str, data: bytes, name: str = NAME) -> Descriptor:
    return referrers.attach(
        store, name, subject, kind, [Descriptor(kind, store.put(data), len(data))], annotations={"n": "1"}
    )


def client() -> registry.Client:
    return registry.Client(registry.options()._replace(settings=QUICK))


def root_of(store: Store) -> Descriptor:
    found = store.find(f"{NAME}:1")
    assert found is not None
    return found


def target(site: Modern) -> ref.Ref:
    return ref.parse(f"{site.host}/team/web:1")


def sent(site: Modern, store: Store) -> ref.Ref:
    push.push(client(), root_of(store), target(site), store, source=NAME)
    return target(site)


def refused(site: Modern, store: Store) -> Error:
    with pytest.raises(Error) as error:
        pull.pull(client(), target(site), AMD, store, artifacts=True)
    assert store.names() == ()
    return error.value


def test_there_and_back(site, origin, tmp_path):
    name, root = sent(site, origin), root_of(origin)
    parts = model.decode_index(origin.read(root.digest, 1 << 20), root).manifests
    assert {each.platform for each in parts} == {AMD, ARM}
    place = Place(site.host, "team/web")
    for each in (root, *parts):
        assert client().referrers(place, each.digest) == referrers.find(origin, NAME, each.digest)
    store = Store(tmp_path / "store", sync=False)
    assert pull.pull(client(), name, AMD, store).digest == root.digest
    assert not any("sha256-" in known for known, _ in store.names())
    pull.pull(client(), name, AMD, store, artifacts=True)
    for each in (root, parts[0]):
        (mine,) = referrers.find(store, name.name, each.digest)
        assert (mine,) == referrers.find(origin, NAME, each.digest)
        manifest = model.decode_manifest(store.read(mine.digest, 1 << 20), mine)
        assert store.read(manifest.layers[0].digest, 1 << 20) == each.digest.encode()
    assert referrers.find(store, name.name, parts[1].digest) == ()  # of another platform
    (listed,) = referrers.find(store, name.name, parts[0].digest)
    (signed,) = referrers.find(store, name.name, listed.digest)
    assert signed.artifact_type == SIGNATURE


def test_a_second_push_sends_what_is_new(site, origin):
    name = sent(site, origin)
    new = about(origin, root_of(origin), SIGNATURE, b"later")
    site.seen.clear()
    assert not push.push(client(), root_of(origin), name, origin, source=NAME)
    assert len(site.requests("POST")) == 1
    found = client().referrers(Place(site.host, "team/web"), root_of(origin).digest)
    assert new in found
    assert len(found) == 2
    tags = [tag for tag in site.manifests["team/web"] if tag.startswith("sha256-")]
    assert bool(tags) != site.referrers


def test_a_type_is_asked_for(site, origin):
    sent(site, origin)
    about(origin, root_of(origin), SIGNATURE, b"later")
    sent(site, origin)
    place, digest = Place(site.host, "team/web"), root_of(origin).digest
    for filters in (True, False):
        site.filters = filters
        (found,) = client().referrers(place, digest, SIGNATURE)
        assert found.artifact_type == SIGNATURE
        assert client().referrers(place, digest, "x/y") == ()


def test_pages(modern, origin):
    for n in range(7):
        about(origin, root_of(origin), SBOM, b"%d" % n)
    sent(modern, origin)
    modern.page = 3
    modern.seen.clear()
    place, digest = Place(modern.host, "team/web"), root_of(origin).digest
    assert set(client().referrers(place, digest)) == set(referrers.find(origin, NAME, digest))
    assert len(modern.requests("GET", "/referrers/")) == 3
    assert len(client().referrers(place, digest, SBOM)) == 8


@pytest.mark.parametrize("etags", [True, False])
def test_another_lists_its_own_at_the_same_time(origin, etags):
    with contextlib.closing(Modern(referrers=False)) as site:
        site.etags = etags
        sent(site, origin)
        mine = about(origin, root_of(origin), SIGNATURE, b"mine")
        tag = referrers.tag(root_of(origin).digest)
        theirs = Descriptor(model.OCI_MANIFEST, "sha256:" + "1" * 64, 7, (), artifact_type="x/y")
        times = []

        def odd(request) -> bool:
            if request.command == "PUT" and request.path.endswith(tag) and not times:
                times.append(1)
                kind, data = site.manifests["team/web"][tag]
                index = model.decode_index(data, Descriptor(kind, "sha256:" + "0" * 64, 1))
                data = model.encode_index(referrers.with_entries(index, [theirs], ""))
                if etags:
                    site.manifests["team/web"][tag] = (kind, data)
            return False

        site.odd = odd
        sent(site, origin)
        found = client().referrers(Place(site.host, "team/web"), root_of(origin).digest)
        assert times == [1]
        assert mine in found
        assert (theirs in found) == etags


def test_a_list_that_never_stays(origin):
    with contextlib.closing(Modern(referrers=False)) as site:
        site.odd = lambda request: (
            request.command == "PUT" and "/sha256-" in request.path and (request.body(), request.send(201)) != ()
        )
        with pytest.raises(Error) as error:
            sent(site, origin)
        assert error.value.code == "LK0331"


def test_pages_without_end(modern, origin, tmp_path):
    sent(modern, origin)
    index = json.dumps({"schemaVersion": 2, "manifests": []}).encode()

    def odd(request) -> bool:
        if "/referrers/" in request.path:
            request.send(200, index, Content_Type=model.OCI_INDEX, Link=f'<{request.path}>; rel="next"')
        return "/referrers/" in request.path

    modern.odd = odd
    modern.seen.clear()
    assert refused(modern, Store(tmp_path / "store")).code == "LK0330"
    assert len(modern.requests("GET", "/referrers/")) == 32


@pytest.mark.parametrize(
    ("link", "code"),
    [("http://127.0.0.2:9/v2/x", "LK0330"), ("file:///etc/passwd", "LK0415"), ("//127.0.0.2/x", "LK0330"), ("http://[x", "LK0415")],
)  # fmt: skip
def test_pages_elsewhere(modern, origin, tmp_path, link, code):
    sent(modern, origin)
    index = json.dumps({"schemaVersion": 2, "manifests": []}).encode()

    def odd(request) -> bool:
        if "/referrers/" in request.path:
            request.send(200, index, Content_Type=model.OCI_INDEX, Link=f"<{link}>; rel=next")
        return "/referrers/" in request.path

    modern.odd = odd
    assert refused(modern, Store(tmp_path / "store")).code == code


def listing(site: Modern, *entries: dict[str, object]) -> None:
    """Let the registry list these as being about everything."""
    index = json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode()

    def odd(request) -> bool:
        if "/referrers/" in request.path:
            request.send(200, index, Content_Type=model.OCI_INDEX)
        return "/referrers/" in request.path

    site.odd = odd


def test_what_is_about_something_else(modern, origin, tmp_path):
    sent(modern, origin)
    root = root_of(origin)
    (wrong,) = referrers.find(origin, NAME, model.decode_index(origin.read(root.digest, 1 << 20), root).manifests[0].digest)
    listing(modern, model.descriptor_value(wrong))
    assert refused(modern, Store(tmp_path / "store")).code == "LK0307"


def test_bombs(modern, origin, tmp_path):
    sent(modern, origin)
    entry = {"mediaType": model.OCI_MANIFEST, "size": 1}
    listing(modern, *({**entry, "digest": f"sha256:{n:064}"} for n in range(300)))
    assert refused(modern, Store(tmp_path / "a")).code == "LK0308"
    listing(modern, *({**entry, "digest": f"sha256:{n:064}", "size": 1 << 30} for n in range(2)))
    assert refused(modern, Store(tmp_path / "b")).code == "LK0308"
    # One that announces more than an artifact may have.
    huge = Descriptor(SBOM, "sha256:" + "3" * 64, 2 << 30)
    evil = model.Manifest(huge, (), (), root_of(origin), SBOM)
    data = model.encode_manifest(evil)
    digest = origin.put(data)
    modern.manifests["team/web"][digest] = (model.OCI_MANIFEST, data)
    listing(modern, {**entry, "digest": digest, "size": len(data)})
    modern.seen.clear()
    assert refused(modern, Store(tmp_path / "c")).code == "LK0308"
    assert not modern.requests("GET", huge.digest)


def test_a_page_for_people_is_no_list(modern, origin, tmp_path):
    sent(modern, origin)

    def odd(request) -> bool:
        if "/referrers/" in request.path:
            request.send(200, b"<html>", Content_Type="text/html")
        return "/referrers/" in request.path

    modern.odd = odd
    store = Store(tmp_path / "store")
    pull.pull(client(), target(modern), AMD, store, artifacts=True)
    assert modern.requests("GET", f"/manifests/{referrers.tag(root_of(origin).digest)}")


def test_refusals_are_told(modern, origin, tmp_path):
    sent(modern, origin)
    modern.odd = lambda request: "/referrers/" in request.path and request.send(403) is None
    assert refused(modern, Store(tmp_path / "store")).code == "LK0321"
