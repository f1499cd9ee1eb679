"""index.json: the names of a store, also as other tools write them."""

from __future__ import annotations

import fcntl
import json
import threading

import pytest

from linuxkit.oci import model
from linuxkit.oci.store import Store
from support.stores import AMD, NOTHING, D, X, refused


def test_names(kept: Store) -> None:
    kept.set_name("a", D)
    kept.set_name("b", D._replace(platform=AMD, annotations=(("k", "v"),)))
    found = kept.find("a")
    assert found == D._replace(annotations=(("org.opencontainers.image.ref.name", "a"),))
    assert [name for name, _ in kept.names()] == ["a", "b"]
    assert kept.find("b") == D._replace(
        platform=AMD, annotations=(("k", "v"), ("org.opencontainers.image.ref.name", "b"))
    )
    assert kept.find("c") is None
    other = D._replace(digest=NOTHING)
    kept.set_name("a", other)
    assert [name for name, _ in kept.names()] == ["a", "b"]
    assert kept.find("a")._replace(annotations=()) == other  # type: ignore[union-attr]
    assert kept.remove_name("a")
    assert not kept.remove_name("a")
    assert [name for name, _ in kept.names()] == ["b"]


def test_setting_the_same_again_writes_nothing(kept: Store) -> None:
    kept.set_name("a", D)

    def written() -> tuple[int, int]:
        found = (kept.root / "index.json").stat()  # reading it changes the time of access
        return found.st_ino, found.st_mtime_ns

    before = written()
    kept.set_name("a", D)
    found = kept.find("a")
    assert found is not None
    kept.set_name("a", found)
    assert written() == before


def test_another_store_sees_a_change_at_once(kept: Store) -> None:
    other = Store(kept.root)
    for n in range(50):
        kept.set_name("a", D._replace(size=n))
        found = other.find("a")
        assert found is not None
        assert found.size == n


FOREIGN = {
    "schemaVersion": 2,
    "mediaType": model.OCI_INDEX,
    "vendor": {"x": [1, 1.5, None, "ä\ud800"]},
    "annotations": {"whole": "index"},
    "manifests": [
        {
            "digest": "sha512:" + "0" * 128,
            "size": 7,
            "mediaType": "x/y",
            "platform": {"os": "windows", "architecture": "amd64", "os.features": ["win32k"]},
            "annotations": {"io.containerd.image.name": "theirs"},
            "urls": ["https://example.com/"],
        },
        {
            "digest": X,
            "size": 1,
            "mediaType": model.OCI_MANIFEST,
            "artifactType": "a/b",
            "annotations": {"org.opencontainers.image.ref.name": "named", "more": "m"},
        },
    ],
}


def test_keeps_what_other_tools_wrote(kept: Store) -> None:
    kept.put(b"x")
    index = kept.root / "index.json"
    index.write_text(json.dumps(FOREIGN, indent=3))
    kept.set_name("new", D)
    assert kept.remove_name("new")
    assert json.loads(index.read_text()) == FOREIGN
    assert list(json.loads(index.read_text())) == [
        *(k for k in FOREIGN if k != "manifests"),
        "manifests",
    ]
    assert [name for name, _ in kept.names()] == ["named"]


def test_go_writes_an_empty_list_as_null(kept: Store) -> None:
    kept.put(b"x")
    (kept.root / "index.json").write_text('{"schemaVersion":2,"manifests":null}')
    assert kept.names() == ()
    kept.set_name("a", D)
    assert kept.find("a") is not None


def test_several_entries_of_one_name(kept: Store) -> None:
    kept.set_name("a", D)
    kept.set_name("b", D)
    index = kept.root / "index.json"
    value = json.loads(index.read_text())
    again = dict(value["manifests"][0], size=99)
    index.write_text(json.dumps(value | {"manifests": [*value["manifests"], again]}))
    found = kept.find("a")
    assert found is not None
    assert found.size == 1
    kept.set_name("a", D._replace(size=5))
    assert [(name, d.size) for name, d in kept.names()] == [("a", 5), ("b", 1)]
    assert len(json.loads(index.read_text())["manifests"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"schemaVersion":1,"manifests":[]}',
        '{"schemaVersion":2,"manifests":{}}',
        '{"schemaVersion":2,"manifests":[1]}',
        '{"schemaVersion":2,"manifests":[],"x":NaN}',
        '{"schemaVersion":2,"manifests":[],"x":1e999}',
        '{"schemaVersion":2,"manifests":[],"x":"\udcff"}',
    ],
)
def test_damaged_index(kept: Store, text: str) -> None:
    kept.put(b"x")
    index = kept.root / "index.json"
    index.write_bytes(text.encode(errors="surrogateescape"))
    with refused("LK0310", "put a good copy back"):
        kept.find("a")
    with refused("LK0310", str(index)):
        kept.set_name("a", D)
    with refused("LK0310"):
        kept.remove_name("a")
    assert index.read_bytes() == text.encode(errors="surrogateescape")
    index.unlink()
    kept.set_name("a", D)
    assert kept.find("a") is not None


def test_damaged_entry(kept: Store) -> None:
    kept.put(b"x")
    bad = {"digest": "sha256:../../x", "annotations": {"org.opencontainers.image.ref.name": "bad"}}
    bad |= {"mediaType": "a/b", "size": 1}
    (kept.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [bad]}))
    kept.set_name("good", D)
    assert kept.find("good") is not None
    for look in (lambda: kept.find("bad"), kept.names):
        with refused("LK0310", 'manifests[0].digest: "sha256:../../x" is not a sha256 digest'):
            look()
    assert kept.remove_name("bad")
    assert [name for name, _ in kept.names()] == ["good"]


def test_index_has_a_limit(kept: Store) -> None:
    kept.put(b"x")
    with (kept.root / "index.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with refused("LK0308", "index.json"):
        kept.find("a")


@pytest.mark.parametrize("text", ['{"imageLayoutVersion":"2.0.0"}', "{", "[]", '"1.0.0"'])
def test_layout_of_another_version(kept: Store, text: str) -> None:
    kept.set_name("a", D)
    (kept.root / "oci-layout").write_text(text)
    with refused("LK0310", "oci-layout"):
        Store(kept.root).find("a")


def test_waits_for_the_go_tool_that_rewrites_the_file_in_place(kept: Store) -> None:
    kept.set_name("a", D)
    index = kept.root / "index.json"
    whole = index.read_bytes()
    held, go_on = threading.Event(), threading.Event()

    def rewrite() -> None:
        with (kept.root / ".lock").open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)  # a classic POSIX lock, as the Go tool takes
            index.write_bytes(whole[:20])
            held.set()
            go_on.wait(10)
            index.write_bytes(whole)

    other = threading.Thread(target=rewrite)
    other.start()
    held.wait(10)
    threading.Timer(0.1, go_on.set).start()
    assert Store(kept.root).find("a") is not None
    assert go_on.is_set()
    other.join()
