"""We pull from Debian's docker-registry what skopeo has pushed there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.net.http import Settings
from linuxkit.oci import pull, push, ref, referrers, registry
from linuxkit.oci.image import open_image, write_index
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.oci.registry import Place
from linuxkit.oci.store import Store
from linuxkit.sources.registry import Registries
from linuxkit.sources.store import Stored
from support.images import archive, image
from support.registry import SECRET, TokenServer, docker_config, leave_out_the_user, running
from support.tools import need

if TYPE_CHECKING:
    from pathlib import Path

    from support.registry import Running

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
QUICK = Settings(tries=3, pause_s=0.01, connect_s=5, read_s=20)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    leave_out_the_user(monkeypatch, tmp_path)


@pytest.fixture
def origin(tmp_path) -> Store:
    """An image of two platforms, under the name "web", and one of a single platform, "one"."""
    made = Store(tmp_path / "origin", sync=False)
    shared = {"etc/": "", "etc/os": "linux"}
    parts = [
        image(made, arch, shared, {"arch": arch, "big": os.urandom(300_000)}, arch=arch)
        for arch in ("amd64", "arm64")
    ]
    platforms = [each._replace(platform=Platform("linux", arch)) for each, arch in
                 zip(parts, ("amd64", "arm64"), strict=True)]  # fmt: skip
    made.set_name("web", write_index(made, platforms))
    made.set_name("one", parts[0])
    return made


def client(**changes) -> registry.Client:
    return registry.Client(registry.options()._replace(settings=QUICK, **changes))


def the(store: Store, name: str) -> Descriptor:
    found = store.find(name)
    assert found is not None
    return found


def layers(store: Store, root: Descriptor, platform: Platform) -> list[Descriptor]:
    return list(open_image(store, root, platform).manifest.layers)


def test_an_index_comes_as_it_is_and_only_the_wanted_platform(origin, tmp_path):
    with running(tmp_path / "registry") as site:
        site.push(origin, "web", "team/web:1")
        name = ref.parse(f"{site.host}/team/web:1")
        store = Store(tmp_path / "store")
        pulled = pull.pull(client(), name, AMD, store)
        root = the(origin, "web")
        assert pulled.digest == root.digest
        assert the(store, str(name)).digest == root.digest
        assert all(store.has(x.digest, x.size) for x in layers(origin, root, AMD))
        assert not store.has(layers(origin, root, ARM)[1].digest)
        assert Stored(store).find(name, ARM) is None
        # The other platform comes when it is asked for, and only what it lacks.
        shared = store.path(layers(origin, root, ARM)[0].digest).stat().st_ino
        pull.pull(client(), name, ARM, store)
        assert Stored(store).find(name, ARM) is not None
        assert store.path(layers(origin, root, ARM)[0].digest).stat().st_ino == shared
        with pytest.raises(Error) as error:
            pull.pull(client(), name, Platform("linux", "riscv64"), store)
    assert error.value.code == "LK0306"
    assert error.value.hint == "it is offered for linux/amd64, linux/arm64"


def test_by_digest_without_tag_and_of_one_platform(origin, tmp_path):
    with running(tmp_path / "registry") as site:
        site.push(origin, "one", "one:latest")
        store = Store(tmp_path / "store")
        one = the(origin, "one")
        for text in (f"{site.host}/one", f"{site.host}/one@{one.digest}"):
            assert pull.pull(client(), ref.parse(text), AMD, store).digest == one.digest
            assert the(store, text).digest == one.digest
        fresh = Store(tmp_path / "fresh")
        with pytest.raises(Error) as error:
            pull.pull(client(), ref.parse(f"{site.host}/one"), ARM, fresh)
        assert error.value.code == "LK0306"
        assert not fresh.has(layers(origin, one, AMD)[1].digest)
        for what in (f"{site.host}/one:2", f"{site.host}/two", f"{site.host}/one@{digests.of_bytes(b'')}"):
            with pytest.raises(Error) as error:
                pull.pull(client(), ref.parse(what), AMD, fresh)
            assert error.value.code == "LK0320"
            assert site.host in error.value.message


def test_a_docker_schema_2_image_of_skopeo(origin, tmp_path):
    with running(tmp_path / "registry") as site:
        site.push(origin, "one", "one:v2", "--format", "v2s2")
        store = Store(tmp_path / "store")
        name = ref.parse(f"{site.host}/one:v2")
        found = pull.pull(client(), name, AMD, store)
        assert found.media_type == "application/vnd.docker.distribution.manifest.v2+json"
        raw = subprocess.run(
            [need("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{name}"],
            capture_output=True, check=True,
        ).stdout  # fmt: skip
    assert digests.of_bytes(raw) == found.digest
    ours = open_image(store, found, AMD)
    assert ours.config == open_image(origin, the(origin, "one"), AMD).config


def test_tls_with_an_authority_of_ones_own_and_a_login(origin, tmp_path, monkeypatch):
    with running(tmp_path / "registry", tls=True, login=True) as site:
        site.push(origin, "web", "web:1", "--dest-creds", f"anna:{SECRET}")
        name, store = ref.parse(f"{site.host}/web:1"), Store(tmp_path / "store")

        def code(**changes) -> str:
            with pytest.raises(Error) as error:
                pull.pull(client(**changes), name, AMD, store)
            assert SECRET not in repr(error.getrepr())
            return error.value.code

        assert code() == "LK0416"
        assert code(certs=(site.cert,)) == "LK0321"
        docker_config(tmp_path / "docker", site.host, "wrong")
        assert code(certs=(site.cert,)) == "LK0321"
        docker_config(tmp_path / "docker", "127.0.0.1:1")
        assert code(certs=(site.cert,)) == "LK0321"
        assert code(certs=(str(tmp_path / "none"),)) == "LK0418"
        (tmp_path / "empty").write_text("nothing")
        assert code(certs=(str(tmp_path / "empty"),)) == "LK0418"
        docker_config(tmp_path / "docker", site.host)
        assert pull.pull(client(certs=(site.cert,)), name, AMD, store).digest == the(origin, "web").digest


def test_mirrors(origin, tmp_path, monkeypatch):
    with running(tmp_path / "registry") as site:
        site.push(origin, "one", "library/alpine:3")
        site.push(origin, "one", "team/tool:1")
        one, store = the(origin, "one"), Store(tmp_path / "store")

        def find(text: str, *mirrors: str) -> Descriptor | None:
            return Registries(store, mirrors).find(ref.parse(text), AMD)

        hub = f"docker.io=http://{site.host}"
        for text in ("alpine:3", "docker.io/library/alpine:3", "index.docker.io/library/alpine:3"):
            found = find(text, "docker.io=http://127.0.0.1:1", hub)
            assert found is not None
            assert found.digest == one.digest
        assert find("quay.example/team/tool:1", f"http://{site.host}/") is not None
        monkeypatch.setenv("LINUXKIT_MIRROR", f"docker.io=http://127.0.0.1:1, ghcr.example=http://{site.host}")
        assert find("ghcr.example/team/tool:1") is not None
        store.remove_name("docker.io/library/alpine:3")
        assert find("alpine:3", hub) is not None
    assert {name for name, _ in store.names()} >= {
        "docker.io/library/alpine:3", "quay.example/team/tool:1", "ghcr.example/team/tool:1"
    }  # fmt: skip


def test_fresh_asks_again(origin, tmp_path):
    with running(tmp_path / "registry") as site:
        store, name = Store(tmp_path / "store"), ref.parse(f"{site.host}/tool:1")
        site.push(origin, "one", "tool:1")
        Registries(store).find(name, AMD)
        site.push(origin, "web", "tool:1")
        unasked = Registries(store).find(name, AMD)
        assert unasked is not None
        assert unasked.digest == the(origin, "one").digest
        source = Registries(store, fresh=True)
        found = source.find(name, AMD)
        assert found is not None
        assert found.digest == the(origin, "web").digest
        assert source.missing(name, AMD) == ()
        assert source.missing(ref.parse(f"{site.host}/tool:2"), AMD) == (f"{site.host}/tool:2",)
        pinned = ref.parse(f"{site.host}/tool@{found.digest}")
        source.find(pinned, AMD)
    assert source.find(pinned, AMD) == the(store, str(pinned))  # nobody answers any more


def test_several_pull_the_same_at_once_and_progress_adds_up(origin, tmp_path):
    seen: list[events.Event] = []
    lock = threading.Lock()

    def report(event: events.Event) -> None:
        with lock:
            seen.append(event)

    with running(tmp_path / "registry") as site:
        site.push(origin, "web", "web:1")
        store, name = Store(tmp_path / "store"), ref.parse(f"{site.host}/web:1")
        with events.reporting(report):
            pull.pull(client(), name, AMD, store)
        others = [Store(tmp_path / "shared") for _ in range(8)]
        with ThreadPoolExecutor(8) as workers:
            done = list(workers.map(lambda each: pull.pull(client(), name, AMD, each), others))
    assert {each.digest for each in done} == {the(origin, "web").digest}
    totals = sum(e.total for e in seen if isinstance(e, events.Started))
    assert totals == sum(e.done for e in seen if isinstance(e, events.Advanced))
    assert totals > 300_000
    assert not list((tmp_path / "shared/linuxkit/tmp").iterdir())


def test_what_we_push_skopeo_copies(origin, tmp_path, monkeypatch):
    with running(tmp_path / "registry", tls=True, login=True) as site:
        docker_config(tmp_path / "docker", site.host)
        target, seen = ref.parse(f"{site.host}/team/web:1"), []
        there, web, one = client(certs=(site.cert,)), the(origin, "web"), the(origin, "one")
        with events.reporting(seen.append):
            assert push.push(there, web, target, origin)
        (begun,) = [e for e in seen if isinstance(e, events.Started)]
        assert begun.total == sum(e.done for e in seen if isinstance(e, events.Advanced)) > 600_000
        assert not push.push(there, web, target, origin)
        with pytest.raises(Error) as error:
            push.push(there, one, target, origin)
        assert error.value.code == "LK0328"
        copy = tmp_path / "copy"
        words = ["copy", "-q", "--all", "--preserve-digests", "--src-cert-dir", str(tmp_path / "registry" / "ca"), "--src-creds"]
        subprocess.run(
            [need("skopeo"), *words, f"anna:{SECRET}", f"docker://{target}", f"oci:{copy}:x"], check=True
        )
        assert the(Store(copy), "x").digest == web.digest
        assert push.push(there, one, target, origin, override=True)
        assert there.manifest(Place(site.host, "team/web"), "1")[1].digest == one.digest
        docker_config(tmp_path / "docker", site.host, "wrong")
        with pytest.raises(Error) as error:
            push.push(client(certs=(site.cert,)), web, target, origin)
        assert error.value.code == "LK0321"


def test_artifacts_and_what_skopeo_sees_of_them(origin, tmp_path):
    """Debian's registry has no referrers API, so the tag that lists them is made by us."""
    with running(tmp_path / "registry") as site:
        target, web = ref.parse(f"{site.host}/team/web:1"), the(origin, "web")
        data = Descriptor("application/spdx+json", origin.put(b"{}x"), 3)
        made = referrers.attach(origin, target.name, web, data.media_type, [data])
        assert push.push(client(), web, target, origin)
        listed = f"docker://{target.name}:{referrers.tag(web.digest)}"
        words = [need("skopeo"), "inspect", "--raw", "--tls-verify=false"]
        raw = subprocess.run([*words, listed], capture_output=True, check=True).stdout
        (entry,) = json.loads(raw)["manifests"]
        assert (entry["digest"], entry["artifactType"]) == (made.digest, data.media_type)
        artifact = f"docker://{target.name}@{made.digest}"
        raw = subprocess.run([*words, artifact], capture_output=True, check=True).stdout
        assert json.loads(raw)["subject"]["digest"] == web.digest
        words = ["cache", "pull", "--cache", str(tmp_path / "store"), "--artifacts", str(target)]
        assert main([*words, "--arch", "amd64"]) == 0
    assert referrers.find(Store(tmp_path / "store"), target.name, web.digest) == (made,)


def test_tokens(origin, tmp_path):
    with (
        contextlib.closing(TokenServer(tmp_path / "tokens")) as seller,
        running(tmp_path / "registry", tokens=seller) as site,
    ):
        target, store = ref.parse(f"{site.host}/team/web:1"), Store(tmp_path / "store")
        with pytest.raises(Error) as error:
            pull.pull(client(), target, AMD, store)
        assert error.value.code == "LK0321"
        docker_config(tmp_path / "docker", site.host)
        assert push.push(client(), the(origin, "web"), target, origin)
        assert any("pull%2Cpush" in path or "push%2Cpull" in path for path in seller.asked)
        seller.asked.clear()
        pulled = pull.pull(client(), target, AMD, store)
        assert pulled.digest == the(origin, "web").digest
        assert len(seller.asked) == 1


def test_only_whole_images_are_pushed(origin, tmp_path, monkeypatch, capsys):
    with running(tmp_path / "registry") as site:
        monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "origin"))
        origin.set_name("docker.io/team/web:1", the(origin, "web"))
        lost = layers(origin, the(origin, "web"), ARM)[1].digest
        data = origin.path(lost).read_bytes()
        origin.path(lost).unlink()
        words = ["cache", "push", "team/web:1", "--remote-name", f"{site.host}/w:1"]
        assert main(words) == 1
        assert "LK0303" in capsys.readouterr().err
        origin.put(data)
        assert main(words) == 0
        assert main([*words, "--mirror", "http://127.0.0.1:1"]) == 0
        assert "(was there)" in capsys.readouterr().out


def build(tmp_path: Path, site: Running | None, *flags: str) -> int:
    (tmp_path / "in.yml").write_text("init: [team/tool:1]\nkernel: {image: team/kernel:1}\n")
    mirror = ["--mirror", f"http://{site.host}"] if site else []
    return main(["build", "--cache", str(tmp_path / "cache"), *mirror, "-f", "tar", "--no-sbom",
                 "--dir", str(tmp_path), "--arch", "amd64", *flags, str(tmp_path / "in.yml")])  # fmt: skip


def test_build_pulls_and_then_needs_no_network(origin, tmp_path, capsys):
    kernel = {"kernel": b"\0" * 1024, "kernel.tar": archive({"lib/": "", "lib/modules/": ""})}
    image(origin, "kernel", kernel)
    with running(tmp_path / "registry") as site:
        site.push(origin, "web", "team/tool:1")
        site.push(origin, "kernel", "team/kernel:1")
        assert build(tmp_path, site) == 0, capsys.readouterr().err
        assert build(tmp_path, site, "--pull") == 0
    assert build(tmp_path, None, "--offline") == 0
    assert build(tmp_path, site, "--pull") == 3
    text = capsys.readouterr().err
    assert text.count("LK0410") == 1
    assert f"images of docker.io cannot be fetched from {site.host}" in text
    assert build(tmp_path, site, "--pull", "--offline") == 2


def test_a_text_that_is_no_mirror(tmp_path, capsys):
    assert build(tmp_path, None, "--mirror", "nonsense") == 2
    assert "LK0325" in capsys.readouterr().err
