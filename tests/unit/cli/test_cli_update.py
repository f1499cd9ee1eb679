"""``linuxkit update``: what it writes, what others read of it, and what a registry gets."""

from __future__ import annotations

import json
import random
import subprocess

import pytest

from linuxkit.base import digest as digests
from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates, uki
from linuxkit.tree.entry import Bytes
from support import efi, registry
from support.pe import smallest_stub

MIB = 1 << 20
TABLE = "application/vnd.linuxkit.update.table.v1"
SIGNATURE = "application/vnd.linuxkit.update.signature.v1"


@pytest.fixture
def place(tmp_path, monkeypatch, capsys):
    """A folder with a key, and a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LINUXKIT_KEY_PASSWORD", raising=False)
    assert main(["sign", "--generate-key", "key"]) == 0
    capsys.readouterr()
    return tmp_path


def system(place, name: str, cmdline: str, seed: int = 1):
    """A unified kernel image of 3 MiB that nobody will start."""
    kernel, initrd = (Bytes(random.Random(n).randbytes(size)) for n, size in ((0, 2 * MIB), (seed, MIB)))
    with (place / f"{name}.efi").open("wb") as out:
        parts = uki.parts(kernel=kernel, initrd=initrd, cmdline=cmdline, release="ID=x\n")
        uki.write(smallest_stub(), parts, out)


def layers(folder) -> dict[str, list[bytes]]:
    """The parts of an update's folder by their type, each looked up by its digest."""
    blobs = folder / "blobs" / "sha256"
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / digests.hex_of(entry["digest"])).read_bytes())
    assert manifest["artifactType"] == "application/vnd.linuxkit.update.v1"
    found: dict[str, list[bytes]] = {}
    for each in manifest["layers"]:
        data = (blobs / digests.hex_of(each["digest"])).read_bytes()
        assert digests.of_bytes(data) == each["digest"]
        found.setdefault(each["mediaType"], []).append(data)
    return found


def test_an_update_is_signed_and_whole(place, capsys, need):
    need("openssl", "skopeo")
    system(place, "node", "quiet linuxkit.version=1.2")
    assert main(["update", "create", "node", "--key", "key", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["folder"], said["version"], said["arch"]) == ("node.update", "1.2", "amd64")
    parts = layers(place / "node.update")
    ((table,), (signature,)) = parts[TABLE], parts[SIGNATURE]
    (place / "table").write_bytes(table)
    (place / "signature").write_bytes(signature)
    verify = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "table"]
    subprocess.run(verify, check=True, capture_output=True)
    chunks = {digests.of_bytes(data): data for data in parts["application/vnd.linuxkit.update.chunk.v1"]}
    lines = [line.split() for line in table.decode().splitlines()]
    listed = [f"sha256:{words[1]}" for words in lines if words[0] == "chunk"]
    assert len(listed) == said["chunks"]
    whole = b"".join(chunks[each] for each in listed)
    assert whole == (place / "node.efi").read_bytes()
    subprocess.run(["skopeo", "inspect", "--raw", "oci:node.update"], check=True, capture_output=True)


def test_the_same_twice_but_for_the_signature(place):
    system(place, "node", "linuxkit.version=1")
    for name in ("a", "b"):
        assert main(["update", "create", "node.efi", "--key", "key", "-o", name]) == 0
    first, second = layers(place / "a"), layers(place / "b")
    assert first.pop(SIGNATURE) != second.pop(SIGNATURE)  # ECDSA draws a number each time
    assert first == second


def test_a_registry_gets_what_it_lacks(place, capsys, need):
    need("docker-registry")
    system(place, "one", "linuxkit.version=1")
    system(place, "two", "linuxkit.version=2", seed=2)
    with registry.running(place / "hub") as hub:
        held = []
        for name in ("one", "two"):
            assert main(["update", "create", name, "--key", "key"]) == 0
            assert main(["update", "push", f"{name}.update", f"{hub.host}/node:stable", "--override"]) == 0
            blobs = (place / "hub" / "data").rglob("blobs/sha256/*/*/data")
            held.append(sum(path.stat().st_size for path in blobs))
        assert held[1] - held[0] < 1.6 * MIB  # of the 3 MiB, those that are another's
        capsys.readouterr()
        assert main(["update", "push", "two.update", f"{hub.host}/node:stable"]) == 0
        assert "(was there)" in capsys.readouterr().out
        assert main(["update", "push", "one.update", f"{hub.host}/node:stable"]) == 1
        assert "LK0328" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "none", "--key", "key"], "LK0762"),
        (["create", "bad", "--key", "key"], "LK0762"),
        (["create", "junk", "--key", "key"], "LK0764"),
        (["create", "absent", "--key", "key"], "LK0102"),
        (["create", "good", "--key", "key.pub"], "LK0444"),
        (["create", "good", "--key", "key", "-o", "there"], "LK0114"),
        (["push", "absent", "localhost:1/node:1"], "LK0102"),
        (["push", "there", "localhost:1/node:1"], "LK0327"),
        (["push", "image", "localhost:1/node:1"], "LK0765"),
    ],
)
def test_what_is_refused_leaves_nothing(place, capsys, words, code):
    system(place, "good", "linuxkit.version=1")
    system(place, "none", "quiet")
    system(place, "bad", "linuxkit.version=1-rc1")
    (place / "junk.efi").write_bytes(b"MZ" + bytes(5000))
    (place / "there").mkdir()
    (place / "image").mkdir()
    (place / "image" / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    before = set(place.iterdir())
    assert main(["update", *words]) in {1, 2}
    assert code in capsys.readouterr().err
    assert [path for path in place.iterdir() if path not in before and path.name != "cache"] == []


def test_who_signed_it_for_firmware_stands_in_the_table(place, capsys):
    """And a signature that does not hold is told before the machine's firmware finds out."""
    certificates.create(place / "keys")
    signer = certificates.signer(place / "keys", "db")
    with (place / "node.efi").open("w+b") as out:
        parts = uki.parts(
            kernel=Bytes(bytes(MIB)),
            initrd=Bytes(b"x"),
            cmdline="linuxkit.version=1",
            release="ID=x\n",
        )
        uki.write(efi.stub(), parts, out)
        authenticode.sign(out, signer)
    assert main(["update", "create", "node", "--key", "key"]) == 0
    (table,) = layers(place / "node.update")[TABLE]
    fingerprint = digests.hex_of(signer.certificate.fingerprint)
    assert f"\nsigner {fingerprint}\n" in table.decode()
    with efi.flipped(place / "node.efi", MIB // 2, 1):
        assert main(["update", "create", "node", "--key", "key", "-o", "other"]) == 1
    assert "LK0773" in capsys.readouterr().err
    assert not (place / "other").exists()
