"""Images that ship with the program: found by their tag, taken without making anything."""

from __future__ import annotations

import pytest

import linuxkit
from linuxkit.base import resources
from linuxkit.base.errors import Error
from linuxkit.recipes import prebuilt
from linuxkit.recipes.debian.pool import Pool
from linuxkit.recipes.stock import Shelf

LOCK = '{"version": 1, "suites": {}, "packages": {}, "debs": {}}\n'


def nothing():
    raise AssertionError("nothing is to be fetched")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "prebuilt", lambda: tmp_path / "prebuilt")
    (tmp_path / "prebuilt").mkdir()
    folder = tmp_path / "packages" / "slow"
    folder.mkdir(parents=True)
    (folder / "build.yml").write_text(
        "image: slow\narches: [amd64]\nfiles: [{path: etc/it, contents: it}]\n"
    )
    (tmp_path / "lock").write_text(LOCK)
    return Shelf(tmp_path / "packages", tmp_path / "lock")


def made(shelf, tmp_path):
    """The image, made in a store of its own and put beside the recipes."""
    store = linuxkit.open_store(tmp_path / "maker")
    image = shelf.image("slow", "amd64", store, Pool(store, nothing, nothing))
    return image, prebuilt.write(shelf.reference("slow", "amd64"), "amd64", image, store)


def test_it_is_taken_instead_of_made(shelf, tmp_path, monkeypatch):
    image, _ = made(shelf, tmp_path)
    monkeypatch.setattr(Shelf, "_make", nothing)
    store = linuxkit.open_store(tmp_path / "cache")
    found = shelf.image("slow", "amd64", store, Pool(store, nothing, nothing))
    assert found == image
    assert store.find(shelf.reference("slow", "amd64")).digest == image.digest
    assert linuxkit.default_sources(store)  # the store is whole and usable


def test_one_of_another_recipe_is_not_found(shelf, tmp_path):
    _, place = made(shelf, tmp_path)
    recipe = tmp_path / "packages" / "slow" / "build.yml"
    recipe.write_text(recipe.read_text() + "# another\n")
    other = Shelf(tmp_path / "packages", tmp_path / "lock")
    store = linuxkit.open_store(tmp_path / "cache")
    assert other.present("slow", "amd64", store) is None
    image = other.image("slow", "amd64", store, Pool(store, nothing, nothing))
    new = prebuilt.write(other.reference("slow", "amd64"), "amd64", image, store)
    assert new != place
    assert list(place.parent.iterdir()) == [new]  # the old one is gone


def test_a_file_with_something_else_is_refused(shelf, tmp_path):
    _, place = made(shelf, tmp_path)
    reference = shelf.reference("slow", "amd64")
    liar = prebuilt.path(reference.replace(reference[-4:], "0000"), "amd64")
    place.rename(liar)
    store = linuxkit.open_store(tmp_path / "cache")
    with pytest.raises(Error) as caught:
        prebuilt.take(reference.replace(reference[-4:], "0000"), "amd64", store)
    assert caught.value.code == "LK0575"
    assert list(store.names()) == []


def test_a_damaged_file_is_refused(shelf, tmp_path):
    _, place = made(shelf, tmp_path)
    data = bytearray(place.read_bytes())
    at = data.index(b"blobs/sha256/") + 512  # the first byte of the first blob
    data[at] ^= 1
    place.write_bytes(data)
    with pytest.raises(Error) as caught:
        shelf.present("slow", "amd64", linuxkit.open_store(tmp_path / "cache"))
    assert caught.value.code == "LK0305"
