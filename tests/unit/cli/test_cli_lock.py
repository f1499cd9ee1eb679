"""``linuxkit lock`` and builds that keep to it, with a real registry and a small Debian archive."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.images import image
from support.site import RECIPE, Site


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = Site(tmp_path, monkeypatch)
    assert main(["pkg", "lock", "--arch", "amd64", "-q"]) == 0
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return made


def put(hub, root, text: str, name: str = "app:1") -> str:
    """Let the registry have an image of two platforms that holds ``text``; its digest."""
    origin = Store(root / "origin", sync=False)
    parts = [
        image(origin, f"{arch}", {"text": text + arch}, arch=arch)._replace(
            platform=Platform("linux", arch)
        )
        for arch in ("amd64", "arm64")
    ]
    found = write_index(origin, parts)
    origin.set_name("web", found)
    hub.push(origin, "web", name)
    return found.digest


def tree() -> bytes:
    return Path("x.tar").read_bytes()


def build(*words: str) -> int:
    return main(["build", "-q", "-f", "tar", "--name", "x", "--no-sbom", "--arch", "amd64", *words, "a.yml"])


def lock(*words: str) -> int:
    return main(["lock", "a.yml", "--arch", "amd64", *words])


def locked() -> dict:
    return json.loads(Path("linuxkit.lock").read_text())


def forget(site: Site) -> None:
    shutil.rmtree(site.root / "cache")


def test_a_tag_that_moves_does_not_change_the_build(site, hub, capsys):
    name = f"{hub.host}/app:1"
    (site.root / "project/a.yml").write_text(f'init: ["{name}"]\n')
    first = put(hub, site.root, "one")
    assert lock() == 0
    assert capsys.readouterr().out == f"{name}: none → {first[:19]}\n"
    pin = locked()["images"][name]
    assert pin["digest"] == first
    assert list(pin["platforms"]) == ["linux/amd64"]
    assert build("--locked") == 0
    before = tree()
    second = put(hub, site.root, "two")
    forget(site)
    assert build() == 0
    assert tree() == before
    assert b"oneamd64" in before
    assert build("--pull") == 0
    assert tree() == before
    # Without the lock, the tag means what it means now, and there is a word of warning.
    capsys.readouterr()
    assert build("--no-lock", "--pull") == 0
    assert "LK0436" in capsys.readouterr().err
    assert b"twoamd64" in tree()
    assert build() == 0  # what the store has under the tag is not what is locked
    assert tree() == before
    # Other platforms come of the same index; nothing moves until that is asked for.
    assert lock("--arch", "arm64") == 0
    assert locked()["images"][name]["digest"] == first
    assert list(locked()["images"][name]["platforms"]) == ["linux/amd64", "linux/arm64"]
    capsys.readouterr()
    assert main(["lock", "a.yml", "--check"]) == 0
    assert capsys.readouterr().out == "no changes\n"
    text = Path("linuxkit.lock").read_text()
    assert main(["lock", "a.yml", "--update", "--check"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{name}: {first[:19]} → {second[:19]}\n"
    assert "LK0437" in err
    assert Path("linuxkit.lock").read_text() == text
    assert main(["lock", "a.yml", "--update", name]) == 0
    assert locked()["images"][name]["digest"] == second
    assert list(locked()["images"][name]["platforms"]) == ["linux/amd64", "linux/arm64"]


def test_what_the_registry_has_no_more(site, hub, capsys):
    (site.root / "project/a.yml").write_text(f'init: ["{hub.host}/app:1"]\n')
    put(hub, site.root, "one")
    assert lock() == 0
    value = locked()
    value["images"][f"{hub.host}/app:1"]["digest"] = "sha256:" + "0" * 64
    Path("linuxkit.lock").write_text(json.dumps(value))
    assert build() == 1
    err = capsys.readouterr().err
    assert "LK0432" in err
    assert "linuxkit lock FILE... --update" in err
    assert not (site.root / "project/x.tar").exists()


def test_locked_tells_everything_with_its_place(site, hub, capsys):
    put(hub, site.root, "one")
    (site.root / "project/a.yml").write_text(
        f'init:\n  - "{hub.host}/app:1"\n  - "@pkg:web"\n  - "{hub.host}/app:2"\n'
    )
    assert build("--locked") == 2
    err = capsys.readouterr().err
    for line in (2, 3, 4):
        assert f"a.yml:{line}:5" in err
    assert err.count("LK0435") == 3
    assert main(["lock", "a.yml", "--arch", "amd64"]) == 1  # there is no app:2
    assert "a.yml:4:5" in capsys.readouterr().err
    assert not (site.root / "project/linuxkit.lock").exists()
    (site.root / "project/b.yml").write_text(f'init:\n  - "{hub.host}/app:1"\n')
    assert main(["lock", "b.yml", "--arch", "amd64"]) == 0
    capsys.readouterr()
    put(hub, site.root, "x", "app:2")
    assert build() == 0
    assert "not in linuxkit.lock: linuxkit.stock/web:" in capsys.readouterr().err
    assert main(["build", "--locked", "--no-lock", "a.yml"]) == 2


def test_what_a_registry_never_had_is_locked_as_it_is_in_the_store(site, hub, capsys):
    mine = image(Store(site.root / "cache"), f"{hub.host}/mine:1", {"a": "b"})
    (site.root / "project/a.yml").write_text(f'init: ["{hub.host}/mine:1"]\n')
    assert lock("--update") == 0
    assert locked()["images"][f"{hub.host}/mine:1"]["digest"] == mine.digest
    image(Store(site.root / "cache"), f"{hub.host}/mine:1", {"a": "c"})
    assert build("--locked") == 0
    assert lock("--check") == 0


def test_the_lock_speaks_for_stock_packages(site, capsys):
    """The archive moves on: the user's own lock follows, and the one that is shipped stays."""
    (site.root / "project/a.yml").write_text('init: ["@pkg:web"]\n')
    assert lock() == 0
    assert capsys.readouterr().out == "web (amd64): +web 1.0-1\n"
    assert build("--locked") == 0
    before = tree()
    site.publish("2.0-1")
    forget(site)
    assert build() == 1
    err = capsys.readouterr().err
    assert "LK0527" in err
    assert "linuxkit lock FILE... --update" in err
    assert lock("--update", "web") == 0
    assert capsys.readouterr().out == "web (amd64): web 1.0-1 → 2.0-1\n"
    assert build("--locked") == 0
    assert tree() != before
    assert b"2.0-1" in tree()
    shipped = json.loads((site.root / "debian.lock").read_text())
    assert list(shipped["debs"]) == ["web_1.0-1_amd64"]
    assert list(locked()["debs"]) == ["web_2.0-1_amd64"]
    assert build("--offline", "--locked") == 0
    assert main(["config", "render", "a.yml", "--arch", "amd64"]) == 0
    assert locked()["packages"]["web"]["amd64"]["tag"] in capsys.readouterr().out


def test_a_package_that_needs_none_of_debians(site, capsys):
    folder = site.root / "packages" / "plain"
    folder.mkdir()
    (folder / "build.yml").write_text("image: plain\nfiles: [{path: etc/plain, contents: x}]\n")
    (site.root / "project/a.yml").write_text('init: ["@pkg:plain"]\n')
    assert lock() == 0
    assert capsys.readouterr().out == "plain (amd64): made without Debian packages\n"
    (site.archive.root / "dists/trixie/InRelease").unlink()
    assert lock("--update") == 0  # nobody is asked for it
    assert build("--locked") == 0


def test_a_recipe_that_changes_under_the_lock(site, capsys):
    (site.root / "project/a.yml").write_text('init: ["@pkg:web"]\n')
    assert lock() == 0
    assert build() == 0
    before = tree()
    site.recipe.write_text(RECIPE + "entrypoint: [x]\n")  # of the same .debs
    assert build("--locked") == 0  # it is in the store
    assert tree() == before
    forget(site)
    assert build("--locked") == 1
    assert "LK0438" in capsys.readouterr().err
    assert lock("--check") == 1
    assert capsys.readouterr().out == "web: made otherwise of the same packages\n"
    assert lock() == 0
    assert build("--locked") == 0
    site.recipe.write_text(RECIPE.replace("[web]", "[web], drop: [usr/bin/x]"))  # perhaps of others
    forget(site)
    assert lock() == 1
    err = capsys.readouterr().err
    assert "LK0540" in err
    assert "linuxkit lock FILE... --update web" in err
    assert lock("--update", "@pkg:web") == 0
    assert build("--locked") == 0


def test_an_archive_that_is_not_there_leaves_the_lock_alone(site, capsys):
    (site.root / "project/a.yml").write_text('init: ["@pkg:web"]\n')
    assert lock() == 0
    text = Path("linuxkit.lock").read_text()
    (site.archive.root / "dists/trixie/InRelease").unlink()
    assert lock("--update") == 1
    assert Path("linuxkit.lock").read_text() == text


@pytest.fixture
def web():
    """A server that says what ``text`` is now."""
    class Answers(BaseHTTPRequestHandler):
        text = b""

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Answers.text)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    Answers.url = f"http://127.0.0.1:{server.server_port}/base.yml"
    yield Answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_yaml_of_another_machine(site, web, capsys):
    web.text = b"files: [{path: etc/a, contents: one}]\n"
    (site.root / "project/a.yml").write_text(f"include: [{web.url}]\n")
    assert build("--locked") == 2
    assert "a.yml:1:11" in capsys.readouterr().err
    assert lock() == 0
    assert build("--locked") == 0
    web.text = b"files: [{path: etc/a, contents: two}]\n"
    assert build("--locked", "--offline") == 0  # the store has it
    forget(site)
    assert build("--offline") == 3
    assert build() == 1
    err = capsys.readouterr().err
    assert "LK0433" in err
    assert "a.yml:1:11" in err
    assert lock("--check") == 1
    assert lock("--update", web.url) == 0
    assert build("--locked") == 0
    assert b"two" in tree()
    assert build("--offline", "--no-lock") == 0  # as it was read last


def test_names_and_pruning(site, hub, capsys):
    put(hub, site.root, "one")
    (site.root / "project/a.yml").write_text(f'init: ["{hub.host}/app:1", "@pkg:web"]\n')
    assert lock() == 0
    assert lock("--update", "wep") == 2
    assert 'did you mean "web"?' in capsys.readouterr().err
    (site.root / "project/a.yml").write_text('init: ["@pkg:web"]\n')
    assert lock() == 0
    assert locked()["images"]  # another file of the folder may need it
    assert lock("--prune", "--json") == 0
    assert "images" not in locked()
    (site.root / "project/a.yml").write_text("files: [{path: a, contents: b}]\n")
    assert lock("--prune") == 0
    assert locked() == {"version": 1}


def test_fetch_then_offline(site, hub, capsys):
    put(hub, site.root, "one")
    (site.root / "project/a.yml").write_text(f'init: ["{hub.host}/app:1", "@pkg:web"]\n')
    assert lock() == 0
    forget(site)
    capsys.readouterr()
    assert build("--offline") == 3
    assert main(["fetch", "a.yml", "--arch", "amd64", "--locked", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"arch", "images", "size"}
    assert len(told["images"]) == 2
    assert build("--offline", "--locked", "--mirror", "http://127.0.0.1:9") == 0
    assert main(["fetch", "a.yml", "--arch", "amd64"]) == 0
    assert "2 images, " in capsys.readouterr().out
