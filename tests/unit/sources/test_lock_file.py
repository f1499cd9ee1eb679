"""The text of linuxkit.lock: one spelling, and every mistake in it with its place."""

from __future__ import annotations

import json

import pytest

from linuxkit.base import digest
from linuxkit.base.errors import Error
from linuxkit.oci import ref
from linuxkit.oci.model import Platform
from linuxkit.recipes.debian.lock import Deb, Locked
from linuxkit.recipes.debian.lock import Lock as DebianLock
from linuxkit.recipes.stock import Pins
from linuxkit.sources import lock

A, B = digest.of_bytes(b"a"), digest.of_bytes(b"b")
DEB = Deb("web", "1.0-1", "trixie", "pool/w/web.deb", "20260102T030405Z", 7, A)
FULL = lock.Lock(
    {"docker.io/library/x:1": lock.Pin(A, {"linux/amd64": B}, "key"), "h.test/y": lock.Pin(B, {})},
    {"https://h.test/z.yml": A},
    Pins(
        DebianLock({}, {"web": {"amd64": Locked("0", ("web_1",))}}, {"web_1": DEB, "other": DEB}),
        {"web": {"amd64": "0123456789abcdef"}},
    ),
)


def test_what_is_written_is_what_is_read():
    data = lock.encode(FULL)
    assert data == lock.encode(lock.decode(data, "x"))
    found = lock.decode(data, "x")
    assert found.images == FULL.images
    assert found.includes == FULL.includes
    assert found.pins.tags == FULL.pins.tags
    assert found.pins.lock.debs == {"web_1": DEB}  # nobody uses the other one
    assert lock.encode(lock.decode(lock.encode(lock.EMPTY), "x")) == b'{\n "version": 1\n}\n'


def test_a_line_for_each_item_so_that_merges_are_small():
    more = FULL._replace(images={**FULL.images, "h.test/new": lock.Pin(A, {})})
    before, after = lock.encode(FULL).splitlines(), lock.encode(more).splitlines()
    assert set(before) <= set(after)
    assert len(after) - len(before) == 4


def test_what_it_settles():
    amd, arm = Platform("linux", "amd64"), Platform("linux", "arm64")
    assert FULL.holds(ref.parse("x:1"), arm)  # the index settles every platform
    assert FULL.holds(ref.parse(f"z@{A}"), arm)
    assert not FULL.holds(ref.parse("x:2"), amd)
    assert FULL.holds(ref.Ref("linuxkit.stock/web", "0123456789abcdef"), amd)
    assert not FULL.holds(ref.Ref("linuxkit.stock/web", "0123456789abcdef"), arm)


def broken(change) -> str:
    value = json.loads(lock.encode(FULL))
    change(value)
    return json.dumps(value, indent=1)


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (lambda v: v["images"]["h.test/y"].update(digest="md5:1"), '"md5:1"', "not a sha256 digest"),
        (lambda v: v["images"].update(x={"digest": A}), '"x": {', "docker.io/library/x"),
        (lambda v: v["images"].update({"A b": {"digest": A}}), '"A b"', "not an image reference"),
        (lambda v: v["images"].update({"h.test/q": 3}), '"h.test/q": 3', "must be an object"),
        (lambda v: v["images"]["h.test/y"].update(x=1), '"x": 1', 'no "x" here'),
        (lambda v: v["images"]["h.test/y"].update(platforms={"amd": A}), '"amd":', "linux/amd64"),
        (lambda v: v["images"]["h.test/y"].update(verified=1), '"verified": 1', '"verified"'),
        (lambda v: v.update(extra=1), '"extra": 1', 'no "extra" in a lock'),
        (lambda v: v["includes"].update(x=[]), '"x": []', "not a sha256 digest"),
        (lambda v: v["packages"]["web"].update(m68k={"tag": "0" * 16, "inputs": "", "debs": []}), '"m68k"', "architecture"),
        (lambda v: v["packages"]["web"]["amd64"].update(tag="../x"), '"../x"', 'no proper "tag"'),
        (lambda v: v["packages"]["web"]["amd64"].update(debs=["q"]), '"q"', "not described"),
        (lambda v: v["packages"]["web"]["amd64"].update(debs=3), '"debs": 3', "list of names"),
        (lambda v: v["debs"]["web_1"].pop("pool"), '"web_1": {', "pool"),
        (lambda v: v["debs"]["web_1"].update(pool="../../x"), '"web_1": {', "package archive"),
        (lambda v: v["debs"]["web_1"].update(sha256="x"), '"web_1": {', "not a sha256 digest"),
        (lambda v: v["debs"]["web_1"].update(size="7"), '"web_1": {', "wrong type"),
    ],
)  # fmt: skip
def test_edited_badly(change, line, said):
    text = broken(change)
    with pytest.raises(Error) as caught:
        lock.decode(text.encode(), "linuxkit.lock")
    error = next(e for e in caught.value.all() if said in e.message)
    assert error.code == "LK0430"
    row = next(n for n, each in enumerate(text.splitlines(), 1) if line in each)
    assert (error.where.file, error.where.line) in [("linuxkit.lock", row), ("linuxkit.lock", row + 1)]


def test_everything_at_once():
    def change(value):
        value["images"]["h.test/y"]["digest"] = "x"
        value["includes"]["https://h.test/z.yml"] = "y"

    with pytest.raises(Error) as caught:
        lock.decode(broken(change).encode(), "x")
    assert len(caught.value.all()) == 2


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{\n "version": 1,\n}', 3, "not proper JSON"),
        ('{\n<<<<<<< mine\n "version": 1\n}', 2, "not proper JSON"),
        ('{\n "version": 1,\n "images": {},\n "images": {}\n}', 4, "stands there twice"),
    ],
)
def test_no_json(text, line, said):
    with pytest.raises(Error, match=said) as caught:
        lock.decode(text.encode(), "x")
    assert (caught.value.code, caught.value.where.line) == ("LK0430", line)
    assert ("merge conflict" in caught.value.hint) == ("<<<" in text)


@pytest.mark.parametrize("data", [b"\xff", b"[" * 100_000, b" " * (5 << 20)])
def test_no_text_and_too_much(data):
    with pytest.raises(Error) as caught:
        lock.decode(data, "x")
    assert caught.value.code == "LK0430"


def test_of_another_version(tmp_path):
    (tmp_path / lock.NAME).write_text('{"version": 2}')
    with pytest.raises(Error) as caught:
        lock.load(tmp_path / lock.NAME)
    assert caught.value.code == "LK0431"
    assert lock.load(tmp_path / "not there") is None
    (tmp_path / lock.NAME).write_text("[]")
    with pytest.raises(Error, match="must be an object"):
        lock.load(tmp_path / lock.NAME)


def test_where_it_lies():
    assert str(lock.place(["a/b.yml", "c.yml"])) == "a/linuxkit.lock"
    assert str(lock.place(["-", "c/c.yml"])) == str(lock.place(["https://h.test/x.yml"])) == lock.NAME
