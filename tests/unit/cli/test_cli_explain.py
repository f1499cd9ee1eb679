"""``linuxkit explain``: who has an image, who is taken, and that nothing is fetched."""

from __future__ import annotations

import json

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes.debian import lock as locks
from support.images import image
from support.registry import running

AMD = Platform("linux", "amd64")
NAMES = ["files", "store", "stock packages", "package folders", "registries"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    origin = Store(tmp_path_factory.mktemp("origin"), sync=False)
    parts = [image(origin, arch, {"a": arch}, arch=arch) for arch in ("amd64", "arm64")]
    both = [
        p._replace(platform=Platform("linux", a))
        for p, a in zip(parts, ("amd64", "arm64"), strict=True)
    ]
    origin.set_name("web", write_index(origin, both))
    with running(tmp_path_factory.mktemp("registry")) as made:
        made.push(origin, "web", "team/web:1")
        yield made, origin


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def explained(capsys, *words: str, status: int = 0) -> list[dict]:
    assert main(["explain", "--json", "--arch", "amd64", *words]) == status, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def row(each: dict, name: str) -> dict:
    return next(one for one in each["sources"] if one["name"] == name)


def test_an_image_that_only_its_registry_has(site, cache, capsys):
    registry, origin = site
    text = f"{registry.host}/team/web:1"
    (found,) = explained(capsys, text)
    assert [one["name"] for one in found["sources"]] == NAMES
    assert (found["taken"], found["digest"]) == ("registries", origin.find("web").digest)
    seen = row(found, "registries")
    assert seen["platforms"] == ["linux/amd64", "linux/arm64"]
    assert seen["where"] == f"{registry.host}/team/web"
    assert seen["size"] > 1000
    assert row(found, "store")["has"] is False
    assert row(found, "files")["has"] is None
    assert not cache.exists(), "nothing was fetched"
    (found,) = explained(capsys, text, "--offline", status=1)
    assert found["taken"] is None
    assert row(found, "registries")["note"] == "not asked"


def test_a_mirror_and_what_a_pull_changes(site, cache, capsys):
    registry, _ = site
    mirror = ["--mirror", f"http://{registry.host}"]
    assert main(["cache", "pull", "team/web:1", "--arch", "amd64", *mirror]) == 0
    capsys.readouterr()
    (found,) = explained(capsys, "team/web:1", *mirror)
    assert found["taken"] == "store"
    assert row(found, "store")["where"] == str(cache)
    assert row(found, "registries")["note"] == "mirror of docker.io"
    (found,) = explained(capsys, "team/web:1", "--pull", *mirror)
    assert found["taken"] == "registries"
    assert main(["explain", "--arch", "arm64", "--json", "team/web:1", *mirror]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["taken"] == "registries"
    assert row(found, "store")["note"] == "not all of it for linux/arm64"


def test_every_image_of_a_yaml_file(site, cache, capsys, tmp_path):
    registry, origin = site
    file = tmp_path / "x.yml"
    file.write_text(
        f'init: ["oci:{origin.root}:amd64", "@pkg:init"]\n'
        f'services: [{{name: web, image: "{registry.host}/team/web:1"}},'
        f' {{name: two, image: "{registry.host}/team/web:1"}}, {{name: no, image: "tar:none.tar"}}]\n'
    )
    found = explained(capsys, str(file), "--offline", status=1)
    assert [each["where"].rpartition("x.yml:")[2].partition(":")[0] for each in found] == [
        "1",
        "1",
        "2",
        "2",
    ]
    assert [each["taken"] for each in found] == ["files", "stock packages", None, None]
    assert row(found[3], "files")["note"] == "there is no such file"
    assert "Debian packages" in row(found[1], "stock packages")["note"]
    assert not (cache / "index.json").exists()
    assert main(["explain", str(file), "--arch", "amd64"]) == 1
    said = capsys.readouterr().out
    assert f"{file}:1:8" in said
    assert "  >  files " in said
    assert "nobody has it" in said


def test_what_the_lock_pins(site, cache, capsys, tmp_path):
    registry, origin = site
    file = tmp_path / "x.yml"
    file.write_text(f'init: ["{registry.host}/team/web:1"]\n')
    assert main(["lock", str(file), "--arch", "amd64"]) == 0
    capsys.readouterr()
    (found,) = explained(capsys, str(file))
    assert found["taken"] == "lock"
    assert row(found, "lock")["digest"] == origin.find("web").digest
    assert row(found, "lock")["note"].startswith("pinned")


def test_the_lock_holds_what_stock_packages_are_made_of(cache, capsys, tmp_path):
    file = tmp_path / "x.yml"
    file.write_text('init: ["@pkg:init", "@pkg:busybox"]\n')
    (_, before) = explained(capsys, str(file), "--arch", "amd64")
    assert str(locks.path()) in row(before, "stock packages")["note"]
    assert main(["lock", str(file), "--arch", "amd64"]) == 0
    capsys.readouterr()
    for found in explained(capsys, str(file), "--arch", "amd64"):
        assert row(found, "lock")["note"] == "holds what it is made of"
        assert not row(found, "lock")["has"]
    assert row(found, "stock packages")["note"].startswith("Debian packages: 1, of linuxkit.lock")


def test_registries_that_do_not_answer_are_an_answer(cache, capsys):
    (found,) = explained(capsys, "127.0.0.1:1/x:1", "@pkg:init", status=1)[:1]
    assert "cannot reach" in row(found, "registries")["note"]
