"""Debian's docker-registry under hard use: wires that are cut, a crowd at once, foreign builders."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.net.patience import Settings
from linuxkit.oci import pull, push, ref, registry
from linuxkit.oci.image import closure, is_whole
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.cutting import Wire
from support.images import image
from support.registry import SECRET, USER, TokenServer, leave_out_the_user, running
from support.tools import need

if TYPE_CHECKING:
    from linuxkit.oci.model import Descriptor
    from support.registry import Running

AMD = Platform("linux", "amd64")
QUICK = Settings(tries=6, pause_s=0.01, connect_s=5, read_s=30)
SOURCE = Path(__file__).resolve().parents[2] / "src"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    leave_out_the_user(monkeypatch, tmp_path)


@pytest.fixture
def origin(tmp_path) -> Store:
    made = Store(tmp_path / "origin", sync=False)
    image(made, "big", *({f"f{n}": os.urandom(6 * MIB)} for n in range(3)))
    return made


def the(store: Store, name: str) -> Descriptor:
    found = store.find(name)
    assert found is not None
    return found


def client(**changes) -> registry.Client:
    return registry.Client(registry.options()._replace(**{"settings": QUICK, **changes}))


def undamaged(store: Store, root: Descriptor) -> bool:
    assert is_whole(store, root, AMD)
    for blob in closure(store, root):
        with store.open(blob.digest, blob.size) as file:
            assert digests.of_file(file) == blob.digest
    return True


def test_a_pull_over_a_wire_that_is_cut(origin, tmp_path):
    with running(tmp_path / "registry") as site:
        site.push(origin, "big", "big:1")
        with contextlib.closing(Wire(site.host, 6, after_down=2 * MIB)) as wire:
            store = Store(tmp_path / "store", sync=False)
            root = pull.pull(client(), ref.parse(f"{wire.host}/big:1"), AMD, store)
    assert root.digest == the(origin, "big").digest
    assert undamaged(store, root)
    assert wire.cut == 6
    # What had come was kept; what was under way in buffers when the wire was cut comes again.
    assert wire.bytes["down"] < 18 * MIB + wire.cut * 2 * MIB


@pytest.mark.parametrize("chunk", [MIB, 32 * MIB], ids=["chunks", "whole"])
def test_a_push_over_a_wire_that_is_cut(origin, tmp_path, chunk):
    seen: list[events.Event] = []
    with running(tmp_path / "registry") as site:
        with contextlib.closing(Wire(site.host, 3, after_up=4 * MIB)) as wire, events.reporting(seen.append):
            push.push(client(chunk=chunk), the(origin, "big"), ref.parse(f"{wire.host}/big:1"), origin)
        assert wire.cut == 3
        store = Store(tmp_path / "store", sync=False)
        root = pull.pull(client(), ref.parse(f"{site.host}/big:1"), AMD, store)
    assert root.digest == the(origin, "big").digest
    assert undamaged(store, root)
    (begun,) = [e for e in seen if isinstance(e, events.Started)]
    assert begun.total == sum(e.done for e in seen if isinstance(e, events.Advanced))


def crowd(tmp_path: Path, site: Running, words: list[list[str]]) -> None:
    """Run these commands all at once, each a process with a cache of its own or a shared one."""
    program = "import sys; from linuxkit.cli.main import main; sys.exit(main(sys.argv[1:]))"
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    many = [
        subprocess.Popen([sys.executable, "-c", program, "cache", *each], env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for each in words
    ]  # fmt: skip
    said = [each.communicate(timeout=250)[0] for each in many]
    assert [(each.returncode, text) for each, text in zip(many, said, strict=True) if each.returncode] == []


@pytest.mark.slow
def test_twenty_at_once(tmp_path):
    """Ten push images that share a layer, five of them under one tag; ten pull into two caches."""
    origin = Store(tmp_path / "origin")
    shared = {"shared": os.urandom(2 * MIB)}
    for n in range(6):
        image(origin, f"127.0.0.1/it{n}:1", shared, {"own": os.urandom(MIB // 2)})
    with running(tmp_path / "registry") as site:
        site.push(origin, "127.0.0.1/it0:1", "base:1")
        words = []
        for n in range(1, 6):
            mine = ["push", "--cache", str(origin.root), "--override", f"127.0.0.1/it{n}:1", "--remote-name"]
            words += [[*mine, f"{site.host}/team/it{n}:1"], [*mine, f"{site.host}/team/one:1"]]
        for n in range(10):
            words.append(["pull", "--cache", str(tmp_path / f"cache{n % 2}"), "--arch", "amd64", f"{site.host}/base:1"])
        crowd(tmp_path, site, words)
        store = Store(tmp_path / "store", sync=False)
        for n in range(1, 6):
            root = pull.pull(client(), ref.parse(f"{site.host}/team/it{n}:1"), AMD, store)
            assert root.digest == the(origin, f"127.0.0.1/it{n}:1").digest
            assert undamaged(store, root)
        last = pull.pull(client(), ref.parse(f"{site.host}/team/one:1"), AMD, store)
        assert last.digest in {the(origin, f"127.0.0.1/it{n}:1").digest for n in range(1, 6)}
    for n in range(2):
        cache = Store(tmp_path / f"cache{n}")
        assert undamaged(cache, the(cache, f"{site.host}/base:1"))
        assert not list((cache.root / "linuxkit/tmp").iterdir())


def test_a_part_that_is_not_to_be_found_for_a_moment(origin, tmp_path):
    """As it is while somebody else sends the same blob: this registry empties its link and fills it again."""
    with running(tmp_path / "registry") as site:
        there, big, place = client(), the(origin, "big"), registry.place_of(ref.parse(f"{site.host}/big:1"))
        push.push(there, big, ref.parse(f"{site.host}/big:1"), origin)
        (link, *_) = site.folder.rglob("_layers/sha256/*/link")
        words, data = link.read_text(), origin.read(big.digest, MIB)
        link.write_text("")
        with pytest.raises(Error) as refusal:
            client().send_manifest(place, "2", data, big.media_type)
        assert refusal.value.code == "LK0412"
        assert "blob unknown to registry" in refusal.value.hint
        later = threading.Timer(0.2, link.write_text, [words])
        later.start()
        patient = client(settings=Settings(tries=5, pause_s=0.2))
        patient.send_manifest(place, "2", data, big.media_type)
        later.join()
        assert patient.manifest(place, "2")[1].digest == big.digest


def test_blobs_are_mounted_not_sent(origin, tmp_path):
    with running(tmp_path / "registry") as site:
        there, big = client(), the(origin, "big")
        push.push(there, big, ref.parse(f"{site.host}/one:1"), origin)
        with contextlib.closing(Wire(site.host, 0)) as wire:
            # The wire has another name, so that only what the source tells is known.
            push.push(client(), big, ref.parse(f"{wire.host}/two:1"), origin, source=f"{wire.host}/one")
        assert wire.bytes["up"] < MIB
        store = Store(tmp_path / "store", sync=False)
        assert undamaged(store, pull.pull(client(), ref.parse(f"{site.host}/two:1"), AMD, store))


def test_mounting_with_tokens(origin, tmp_path):
    """The token has to be good for the other repository too."""
    with (
        contextlib.closing(TokenServer(tmp_path / "tokens")) as seller,
        running(tmp_path / "registry", tokens=seller) as site,
    ):
        logins = dict(registry.options(logins=[f"{site.host}={USER}:{SECRET}"]).logins)
        there, big = client(logins=logins), the(origin, "big")
        push.push(there, big, ref.parse(f"{site.host}/one:1"), origin)
        push.push(there, big, ref.parse(f"{site.host}/two:1"), origin)
        assert any("scope=repository%3Aone%3Apull" in path and "two" in path for path in seller.asked)
        store = Store(tmp_path / "store", sync=False)
        assert undamaged(store, pull.pull(there, ref.parse(f"{site.host}/two:1"), AMD, store))


def test_logins_of_the_command_line(tmp_path, monkeypatch, capfd):
    cache = Store(tmp_path / "cache")
    image(cache, "docker.io/team/web:1", {"a": "1"})
    with running(tmp_path / "registry", tls=True, login=True) as site:
        always = ["--cache", str(tmp_path / "cache"), "--cert-file", site.cert, "-v3", "--json"]
        there = f"{site.host}/team/web:1"
        words = ["cache", "push", "team/web:1", "--remote-name", there, *always]
        assert main(words) == 1
        assert "LK0321" in capfd.readouterr().err
        assert main([*words, "--registry-creds", f"{site.host}={USER}:wr0ng-{SECRET}"]) == 1
        assert main([*words, f"--registry-creds={site.host}={USER}:{SECRET}"]) == 0
        assert main(["cache", "pull", there, *always]) == 1
        monkeypatch.setenv("LINUXKIT_REGISTRY_CREDS", f"other.example=t {site.host}={USER}:{SECRET}")
        assert main(["cache", "pull", there, *always]) == 0
        assert main(["cache", "pull", there, *always, "--registry-creds", f"{site.host}={SECRET}"]) == 1
        assert main(["cache", "pull", there, *always, "--registry-creds", SECRET]) == 2
        monkeypatch.delenv("LINUXKIT_REGISTRY_CREDS")
        login = [need("skopeo"), "login", "--authfile", str(tmp_path / "auth.json"), "--cert-dir"]
        login += [str(Path(site.cert).parent), "-u", USER, "-p", SECRET, site.host]
        subprocess.run(login, check=True, capture_output=True)
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        assert main(["cache", "pull", there, *always]) == 0
    said = capfd.readouterr()
    assert "LK0321" in said.err
    assert "LK0332" in said.err
    assert SECRET not in said.err + said.out


@pytest.mark.root
def test_buildah_pulls_what_we_push(tmp_path):
    store = Store(tmp_path / "store", sync=False)
    root = image(store, "it", {"etc/": "", "etc/os": "linux"}, {"hello": "-> etc/os"}, entrypoint=["/hello"])
    buildah = [need("buildah"), "--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"),
               "--storage-driver", "vfs"]  # fmt: skip

    env = {name: value for name, value in os.environ.items() if name != "DOCKER_CONFIG"}

    def run(*words: str) -> str:
        done = subprocess.run([*buildah, *words], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with running(tmp_path / "registry") as site:
        target = ref.parse(f"{site.host}/team/web:1")
        push.push(client(), root, target, store)
        run("pull", "--quiet", "--tls-verify=false", f"docker://{target}")
        made = run("from", "--pull-never", str(target))
        folder = Path(run("mount", made))
        assert (folder / "etc/os").read_text() == "linux"
        assert (folder / "hello").readlink() == Path("etc/os")
        run("umount", made)
        # And what buildah makes of it comes back to us.
        run("config", "--cmd", "/x", made)
        run("commit", "--quiet", "--rm", made, "changed")
        run("push", "--quiet", "--tls-verify=false", "changed", f"docker://{site.host}/team/changed:1")
        found = pull.pull(client(), ref.parse(f"{site.host}/team/changed:1"), AMD, store)
    config = json.loads(run("inspect", "--type", "image", str(target)))["OCIv1"]["config"]
    assert config["Entrypoint"] == ["/hello"]
    assert is_whole(store, found, AMD)
