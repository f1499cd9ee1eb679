"""Signing, verifying and trust policies, against a real registry."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from linuxkit.base import digest as digests
from linuxkit.cli.main import main
from linuxkit.oci import cosign, image, keys, model, referrers, registry, signatures
from linuxkit.oci import ref as refs
from linuxkit.oci.keys import PrivateKey
from linuxkit.oci.model import Descriptor, Manifest, Platform
from linuxkit.oci.store import Store
from support.images import image as make
from support.registry import running

CONFIG = model.OCI_CONFIG


class World:
    """A registry with an index of one image, a key, and a project that needs it signed."""

    def __init__(self, root: Path, hub) -> None:
        self.hub = hub
        self.root = root
        self.name = f"{hub.host}/team/app:1"
        self.ref = refs.parse(self.name)
        self.origin = Store(root / "origin", sync=False)
        self.client = registry.Client(registry.options())
        self.digest = self.put("app:1", "one")
        self.key = PrivateKey((root / "k").read_bytes(), "k")

    def put(self, name: str, text: str):
        part = make(self.origin, "part", {"text": text})._replace(platform=Platform("linux", "amd64"))
        root = image.write_index(self.origin, [part])
        self.origin.set_name("x", root)
        self.hub.push(self.origin, "x", f"team/{name}")
        return root.digest

    def cache(self) -> Store:
        return Store(self.root / "cache")

    def forget(self) -> None:
        shutil.rmtree(self.root / "cache", ignore_errors=True)

    def send(self, manifest: Manifest | bytes, reference: str, *blobs: bytes, kind: str = model.OCI_MANIFEST):
        """Put a document that nobody checked into the repository."""
        place = registry.place_of(self.ref)
        for each in blobs:
            blob = Descriptor("", self.origin.put(each), len(each))
            self.client.send_blob(place, blob, self.origin)
        data = manifest if isinstance(manifest, bytes) else model.encode_manifest(manifest)
        self.client.send_manifest(place, reference or digests.of_bytes(data), data, kind)

    def sign_by_hand(self, data: bytes, signature: str, count: int = 1) -> None:
        layer = Descriptor(cosign.PAYLOAD_TYPE, digests.of_bytes(data), len(data), ((cosign.SIGNATURE, signature),))
        config = Descriptor(CONFIG, digests.of_bytes(b"{}"), 2)
        self.send(Manifest(config, (layer,) * count), signatures.tag(self.digest), b"{}", data)


@pytest.fixture
def world(tmp_path, monkeypatch, capsys):
    for name in ("LINUXKIT_TRUST_POLICY", "LINUXKIT_KEY_PASSWORD", "LINUXKIT_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LINUXKIT_DEBUG", "1")
    monkeypatch.chdir(tmp_path)
    assert main(["sign", "--generate-key", "k"]) == 0
    with running(tmp_path / "registry") as hub:
        made = World(tmp_path, hub)
        (tmp_path / "a.yml").write_text(f'init: ["{made.name}"]\n')
        policy(made)
        capsys.readouterr()
        yield made


def policy(world: World, require: str = "cosign-key", more: str = "keys: [k.pub]") -> None:
    rule = f'{{prefix: "{world.hub.host}/team", require: {require}, {more}}}'
    (world.root / "trust.yml").write_text(f"rules: [{rule}]\n")


def build(*words: str) -> int:
    return main(["build", "-q", "-f", "tar", "--name", "x", "--arch", "amd64", *words, "a.yml"])


def sign(world: World, *words: str) -> int:
    return main(["sign", world.name, "--key", "k", "--arch", "amd64", *words])


def verify(world: World, *words: str) -> int:
    return main(["verify", world.name, "--arch", "amd64", *words])


def test_keys_are_made_and_never_overwritten(world, capsys, monkeypatch):
    assert (world.root / "k").stat().st_mode & 0o777 == 0o600
    assert main(["sign", "--generate-key", "k"]) == 2
    assert main(["sign", "--generate-key", "k2", "--key", "k"]) == 2
    assert main(["sign", world.name]) == 2
    monkeypatch.setenv("LINUXKIT_KEY_PASSWORD", "pw")
    assert main(["sign", "--generate-key", "k3"]) == 0
    assert b"ENCRYPTED" in (world.root / "k3").read_bytes()
    monkeypatch.delenv("LINUXKIT_KEY_PASSWORD")
    assert main(["sign", world.name, "--key", "k3", "--arch", "amd64"]) == 2
    assert main(["sign", world.name, "--key", "no", "--arch", "amd64"]) == 2
    assert "LINUXKIT_KEY_PASSWORD" in capsys.readouterr().err


def test_signed_images_build_and_unsigned_ones_do_not(world, capsys):
    assert build() == 1
    err = capsys.readouterr().err
    assert "LK0442" in err
    assert "it has no signature" in err
    assert not (world.root / "x.tar").exists()
    assert sign(world, "--push") == 0
    assert capsys.readouterr().out == f"{world.ref.name}:{signatures.tag(world.digest)}\n"
    assert main(["build", "--json", "-f", "tar", "--name", "x", "--arch", "amd64", "a.yml"]) == 0
    told = json.loads(capsys.readouterr().out)
    fingerprint = keys.PublicKey(world.key.public_pem, "").fingerprint
    assert told["verified"] == {world.name: fingerprint}
    assert main(["lock", "a.yml", "--arch", "amd64"]) == 0
    assert json.loads(Path("linuxkit.lock").read_text())["images"][world.name]["verified"] == fingerprint
    # Somebody else's cache: the signature comes along and is checked again, then also offline.
    world.forget()
    assert main(["fetch", "-q", "--locked", "a.yml", "--arch", "amd64"]) == 0
    assert build("--offline", "--locked") == 0
    assert world.cache().remove_name(f"{world.ref.name}:{signatures.tag(world.digest)}")
    capsys.readouterr()
    assert build("--offline") == 1
    assert "linuxkit fetch" in capsys.readouterr().err
    assert build() == 0


def test_bundles_carry_signatures(world):
    sign(world, "--push")
    assert main(["lock", "-q", "a.yml", "--arch", "amd64"]) == 0
    assert main(["bundle", "export", "-q", "--locked", "a.yml", "--arch", "amd64", "-o", "b.tar"]) == 0
    world.forget()
    assert main(["bundle", "import", "-q", "b.tar"]) == 0
    assert build("--offline", "--locked") == 0


def test_several_keys_sign_one_image(world, capsys):
    assert main(["sign", "--generate-key", "two"]) == 0
    sign(world, "--push")
    world.forget()
    assert main(["sign", world.name, "--key", "two", "--push", "--arch", "amd64"]) == 0
    world.forget()
    for name in ("k.pub", "two.pub"):
        assert verify(world, "--key", name) == 0
    assert main(["sign", "--generate-key", "three"]) == 0
    capsys.readouterr()
    assert verify(world, "--key", "three.pub") == 1
    err = capsys.readouterr().err
    assert "no signature of it holds" in err
    assert err.count("no key of ours made it") == 2
    assert verify(world, "--key", "three.pub", "--key", "two.pub", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["digest"] == world.digest


def test_a_signature_in_the_store_only(world, capsys):
    assert sign(world) == 0
    assert verify(world, "--offline") == 1  # the image itself is not there
    assert build() == 0
    assert verify(world, "--offline") == 0
    assert f"{world.name}  {world.digest}  signed by sha256:" in capsys.readouterr().out
    world.forget()
    assert verify(world) == 1  # nobody else has it


def test_that_of_another_image(world, capsys):
    other = world.put("other:1", "two")
    data = cosign.payload(world.ref.name, other)
    world.sign_by_hand(data, cosign.sign(world.key, data))
    assert verify(world) == 1
    assert f"about another image: {other}" in capsys.readouterr().err


def test_a_copy_is_signed_as_what_it_was(world, capsys):
    data = cosign.payload("h.test/origin/app", world.digest)
    world.sign_by_hand(data, cosign.sign(world.key, data))
    assert verify(world) == 1
    assert "for images of h.test/origin/app" in capsys.readouterr().err
    policy(world, more="keys: [k.pub], signedAs: [h.test/origin/app]")
    assert verify(world) == 0


def test_a_payload_that_was_changed(world, capsys):
    signature = cosign.sign(world.key, cosign.payload(world.ref.name, digests.of_bytes(b"old")))
    world.sign_by_hand(cosign.payload(world.ref.name, world.digest), signature)
    assert build() == 1
    assert "no key of ours made it" in capsys.readouterr().err


@pytest.mark.parametrize("case", ["large", "many", "index", "no manifest", "large config"])
def test_what_should_not_lie_under_the_tag(world, capsys, case):
    good = cosign.payload(world.ref.name, world.digest)
    tag = signatures.tag(world.digest)
    config = Descriptor(CONFIG, digests.of_bytes(b"{}"), 2)
    if case == "large":
        data = b" " * (cosign.PAYLOAD_LIMIT + 1)
        world.sign_by_hand(data, cosign.sign(world.key, data))
    elif case == "many":
        world.sign_by_hand(good, cosign.sign(world.key, good), signatures.COUNT_LIMIT + 1)
    elif case == "index":
        data = world.origin.read(world.digest, model.MANIFEST_LIMIT)
        world.send(data, tag, kind=model.OCI_INDEX)
    elif case == "large config":
        data = b" " * (65 << 10)
        config = Descriptor(CONFIG, digests.of_bytes(data), len(data))
        world.send(Manifest(config, ()), tag, data)
    else:
        layer = Descriptor("text/plain", digests.of_bytes(b"x"), 1)
        world.send(Manifest(config, (layer,)), tag, b"{}", b"x")
    assert verify(world) == 1
    err = capsys.readouterr().err
    assert {"large": "LK0308", "many": "LK0308", "index": "LK0309", "large config": "LK0308", "no manifest": "LK0442"}[case] in err
    assert build() == 1
    assert not (world.root / "x.tar").exists()


def artifact(world: World, data: bytes, subject: Descriptor | None, kind: str = cosign.BUNDLE_TYPE) -> Manifest:
    empty = Descriptor(referrers.EMPTY_TYPE, digests.of_bytes(b"{}"), 2)
    layer = Descriptor(kind, digests.of_bytes(data), len(data))
    return Manifest(empty, (layer,), (), subject, kind)


def statement(world: World, digest: str) -> bytes:
    body = json.dumps({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}}], "predicate": {},
    }).encode()  # fmt: skip
    kind = "application/vnd.in-toto+json"
    signature = world.key.sign(cosign.pre_authentication(kind, body))
    return json.dumps({
        "mediaType": cosign.BUNDLE_TYPE, "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {"payload": base64.b64encode(body).decode(), "payloadType": kind,
                         "signatures": [{"sig": base64.b64encode(signature).decode()}]},
    }).encode()  # fmt: skip


def list_referrers(world: World, *manifests: Manifest, kind: str = cosign.BUNDLE_TYPE) -> None:
    """As a registry without referrers API is told: an index under a tag."""
    entries = []
    for each in manifests:
        data = model.encode_manifest(each)
        entries.append(Descriptor(model.OCI_MANIFEST, digests.of_bytes(data), len(data), artifact_type=kind))
    data = model.encode_index(model.Index(tuple(entries)))
    world.send(data, referrers.tag(world.digest), kind=model.OCI_INDEX)


def test_a_sigstore_bundle_counts_as_well(world, capsys):
    index = Descriptor(model.OCI_INDEX, world.digest, world.origin.path(world.digest).stat().st_size)
    other = world.put("other:1", "two")
    wrong = statement(world, other)
    good = statement(world, world.digest)
    first = artifact(world, wrong, index)
    world.send(first, "", wrong, b"{}")
    list_referrers(world, first)
    assert verify(world) == 1
    assert "about another image" in capsys.readouterr().err
    second = artifact(world, good, index)
    world.send(second, "", good, b"{}")
    # As cosign 3 lists it there.
    list_referrers(world, first, second, kind=referrers.EMPTY_TYPE)
    assert verify(world) == 0
    assert build() == 0
    assert build("--offline") == 0
    assert main(["lock", "-q", "a.yml", "--arch", "amd64"]) == 0
    assert main(["bundle", "export", "-q", "--locked", "a.yml", "--arch", "amd64", "-o", "b.tar"]) == 0
    world.forget()
    assert main(["bundle", "import", "-q", "b.tar"]) == 0
    assert build("--offline", "--locked") == 0


def test_a_bundle_that_is_listed_and_says_nothing_of_the_image(world, capsys):
    good = statement(world, world.digest)
    elsewhere = artifact(world, good, Descriptor(model.OCI_INDEX, digests.of_bytes(b"x"), 1))
    world.send(elsewhere, "", good, b"{}")
    list_referrers(world, elsewhere)
    assert verify(world) == 1
    assert "it has no signature" in capsys.readouterr().err
    many = [
        elsewhere._replace(annotations=(("n", str(n)),)) for n in range(signatures.COUNT_LIMIT + 1)
    ]
    for each in many:
        world.send(each, "")
    list_referrers(world, *many)
    assert verify(world) == 1
    assert "LK0308" in capsys.readouterr().err


def test_by_digest_or_by_lock(world, capsys):
    policy(world, "digest", "")
    assert build() == 1
    assert "LK0440" in capsys.readouterr().err
    assert main(["lock", "-q", "a.yml", "--arch", "amd64"]) == 0
    assert build() == 0
    assert build("--no-lock") == 1
    Path("a.yml").write_text(f'init: ["{world.ref.name}@{world.digest}"]\n')
    assert build("--no-lock") == 0
    assert verify(world) == 1
    policy(world, "none", "")
    assert verify(world) == 0
    assert "needs no signature" in capsys.readouterr().out


def test_what_no_rule_is_for(world, capsys):
    Path("trust.yml").write_text("rules: [{prefix: h.test, require: none}]\n")
    assert build() == 1
    assert "LK0441" in capsys.readouterr().err
    Path("trust.yml").write_text("default: none\n")
    assert build() == 0
    (world.root / ".linuxkit").mkdir()
    Path(".linuxkit/trust.yml").write_text("default: refuse\n")
    assert build() == 1  # the project's file does not loosen the user's
    assert build("--trust-policy", "trust.yml") == 0
    Path("trust.yml").unlink()
    Path(".linuxkit/trust.yml").unlink()
    assert build() == 0
    assert verify(world) == 2
    assert "LK0443" in capsys.readouterr().err


def test_what_the_yaml_wants_signed(world, capsys):
    Path("a.yml").write_text(f'init: ["{world.name}"]\ntrust: {{image: ["{world.name}"]}}\n')
    Path("trust.yml").unlink()
    assert build() == 2
    err = capsys.readouterr().err
    assert "LK0445" in err
    assert "a.yml:2:8" in err
    assert build("--ignore-trust") == 0
    assert "LK0446" in capsys.readouterr().err
    assert build("--disable-content-trust") == 0
    policy(world)
    assert build("--ignore-trust") == 1  # the policy still holds
    sign(world, "--push")
    assert build() == 0
