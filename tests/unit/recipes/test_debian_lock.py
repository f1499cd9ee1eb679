"""The package lock: one spelling, strict reading."""

from __future__ import annotations

import json

import pytest

from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.recipes.debian.lock import Deb, Lock, Locked, encode, load, path

SHA = "0123456789abcdef" * 4
DEB = Deb("abc", "1.0-1", "trixie", "pool/main/a/abc_1.0-1_amd64.deb", "20260101T000000Z", 7,
          Digest(f"sha256:{SHA}"))  # fmt: skip
LOCK = Lock(
    {"trixie": {"date": "2026-01-01T00:00:00Z", "sha256": SHA}},
    {"web": {"amd64": Locked("f" * 16, ("abc_1.0-1_amd64",))}},
    {"abc_1.0-1_amd64": DEB},
)


def written(tmp_path, value):
    place = tmp_path / "debian.lock"
    place.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return place


def test_round_trip(tmp_path):
    data = encode(LOCK)
    assert load(written(tmp_path, data)) == LOCK
    assert data.endswith(b"}\n")
    assert encode(load(written(tmp_path, data))) == data
    assert LOCK.debs_of("web", "amd64") == (DEB,)
    assert LOCK.debs_of("web", "arm64") == ()
    assert LOCK.of("other", "amd64") is None


def test_unused_debs_and_empty_recipes_are_left_out():
    crowded = LOCK._replace(
        debs={**LOCK.debs, "old_1_amd64": DEB}, packages={**LOCK.packages, "empty": {}}
    )
    assert encode(crowded) == encode(LOCK)


def test_path():
    assert str(path({"LINUXKIT_PACKAGES_LOCK": "/x/y.lock"})) == "/x/y.lock"
    assert path({}).name == "debian.lock"


def change(**changes):
    value = json.loads(encode(LOCK))
    for name, new in changes.items():
        if name in value:
            value[name] = new
        else:
            value["debs"]["abc_1.0-1_amd64"][name] = new
    return value


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff",
        change(version=2), change(debs={}), change(packages=[]), change(packages={"a": {"b": 1}}),
        change(pool="../../etc/passwd"), change(pool="/etc/passwd"), change(sha256="00"),
        change(size="7"), change(seen=None), change(package=1),
    ],
)  # fmt: skip
def test_damaged(tmp_path, value):
    with pytest.raises(Error) as caught:
        load(written(tmp_path, value))
    assert caught.value.code == "LK0531"


def test_missing(tmp_path):
    with pytest.raises(Error) as caught:
        load(tmp_path / "none.lock")
    assert caught.value.code == "LK0530"
    assert "linuxkit pkg lock" in caught.value.hint
