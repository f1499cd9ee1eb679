"""Stock packages as a source of images."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.net.http import Settings
from linuxkit.oci.model import Platform
from linuxkit.oci.ref import Ref
from linuxkit.oci.store import Store
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.packages import StockPackages
from support.site import RECIPE, Site

AMD64 = Platform("linux", "amd64")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An archive, a recipe, and the settings that lead there."""
    Site(tmp_path, monkeypatch)
    return tmp_path


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_lock_build_find(site, capsys):
    assert main(["pkg", "lock", "--arch", "amd64", "-q"]) == 0
    assert lines(capsys) == ["web (amd64): +web 1.0-1"]
    assert main(["pkg", "lock", "--arch", "amd64", "--check"]) == 0
    assert lines(capsys) == ["no package changes"]
    store = Store(site / "cache")
    source = StockPackages(store, Shelf())
    reference = Shelf().reference("web", "amd64")
    name, _, tag = reference.rpartition(":")
    ref = Ref(name, tag, "")
    assert source.missing(ref, AMD64) == []  # the .deb was fetched to lock it
    assert main(["pkg", "build", "web", "--arch", "amd64"]) == 0
    assert lines(capsys) == [reference]
    found = source.find(ref, AMD64)
    assert found == store.find(reference)._replace(annotations=())
    assert source.missing(ref, AMD64) == []
    assert source.find(Ref(name, "", ""), AMD64) == found
    assert main(["pkg", "ls", "--arch", "amd64"]) == 0
    assert lines(capsys) == [f"web  {reference}"]


def test_missing_says_what_to_fetch(site, capsys):
    main(["pkg", "lock", "--arch", "amd64"])
    fresh = StockPackages(Store(site / "fresh"), Shelf())
    (line,) = fresh.missing(Ref("linuxkit.stock/web", "", ""), AMD64)
    assert line.startswith("web 1.0-1 (")


def test_others_are_not_ours(site):
    source = StockPackages(Store(site / "cache"), Shelf())
    ref = Ref("docker.io/library/alpine", "3", "")
    assert source.find(ref, AMD64) is None
    assert source.missing(ref, AMD64) is None


def test_hash_of_another_version(site, capsys):
    main(["pkg", "lock", "--arch", "amd64"])
    source = StockPackages(Store(site / "cache"), Shelf())
    with pytest.raises(Error) as caught:
        source.find(Ref("linuxkit.stock/web", "0" * 16, ""), AMD64)
    assert caught.value.code == "LK0543"
    assert '"@pkg:web"' in caught.value.hint


def test_unknown_name(site):
    source = StockPackages(Store(site / "cache"), Shelf())
    with pytest.raises(Error) as caught:
        source.find(Ref("linuxkit.stock/wep", "", ""), AMD64)
    assert caught.value.code == "LK0501"


def test_check_fails_when_something_would_change(site, capsys):
    assert main(["pkg", "lock", "--arch", "amd64", "--check"]) == 1
    out, err = capsys.readouterr()
    assert out == "web (amd64): +web 1.0-1\n"
    assert "LK0544" in err
    assert not (site / "debian.lock").exists()


def test_only_what_needs_it_is_locked(site, capsys):
    main(["pkg", "lock", "--arch", "amd64"])
    (site / "debian" / "dists" / "trixie" / "InRelease").unlink()
    assert main(["pkg", "lock", "--arch", "amd64"]) == 0  # nothing is stale: nothing is asked
    assert main(["pkg", "lock", "--arch", "amd64", "--update"]) != 0
    (site / "packages" / "web" / "build.yml").write_text(RECIPE.replace("[web]", "[web], drop: [x]"))
    assert main(["pkg", "lock", "--arch", "amd64"]) != 0
    assert "LK0411" in capsys.readouterr().err


def test_keyring_flag(site, capsys, monkeypatch):
    monkeypatch.delenv("LINUXKIT_DEBIAN_KEYRING")
    assert main(["pkg", "lock", "--arch", "amd64"]) == 1
    assert "LK0512" in capsys.readouterr().err
    assert main(["pkg", "lock", "--arch", "amd64", "--keyring", str(site / "key.gpg")]) == 0


def test_mirror_of_the_configuration_file(site, capsys, monkeypatch):
    monkeypatch.delenv("LINUXKIT_DEBIAN_MIRROR")
    (site / ".linuxkit").mkdir()
    config = site / ".linuxkit" / "config.yml"
    config.write_text(f"debian: {{mirror: {(site / 'debian').as_uri()}}}\n")
    assert main(["pkg", "lock", "--arch", "amd64"]) == 0
    (site / "packages" / "web" / "build.yml").write_text(RECIPE.replace("[web]", "[web], drop: [x]"))
    config.write_text("debian: {miror: x}\n")
    assert main(["pkg", "lock", "--arch", "amd64"]) != 0
    err = capsys.readouterr().err
    assert "LK0542" in err
    assert "config.yml:1:10" in err


@pytest.mark.parametrize("text", ["", "# nothing\n", "pkg: {}\n", "debian:\n"])
def test_empty_configuration(site, text, capsys):
    (site / ".linuxkit").mkdir()
    (site / ".linuxkit" / "config.yml").write_text(text)
    assert main(["pkg", "lock", "--arch", "amd64"]) == 0


def test_unreachable_mirror_says_what_to_set(site, capsys, monkeypatch):
    monkeypatch.setenv("LINUXKIT_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    monkeypatch.setattr("linuxkit.net.http.Transport.__init__.__defaults__", (Settings(tries=1),))
    assert main(["pkg", "lock", "--arch", "amd64"]) == 3
    err = capsys.readouterr().err
    assert "127.0.0.1" in err
    assert "LINUXKIT_DEBIAN_MIRROR" in err
