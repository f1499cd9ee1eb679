"""What ``--json`` makes of the results of commands: JSON on standard output, and nothing else there."""

from __future__ import annotations

import json
import re

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.store import Store
from linuxkit.recipes import fragments
from support.images import image

NAME = "docker.io/team/app:1"


@pytest.fixture
def told(capsys):
    """Runs a command that does well; its result."""

    def run(*words: object) -> object:
        capsys.readouterr()
        assert main(["--json", *map(str, words)]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def digest(tmp_path, monkeypatch) -> str:
    """That of the one image in the store."""
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return image(Store(tmp_path / "cache", sync=False), NAME, {"a": "b"}).digest


def test_images_of_the_store(told, digest, tmp_path):
    archive = tmp_path / "a.tar"
    assert main(["--json", "cache", "export", NAME, "--outfile", str(archive)]) == 0
    (one,) = told("cache", "import", archive)
    assert one["name"] == NAME
    assert re.fullmatch("sha256:[0-9a-f]{64}", one["digest"])
    assert told("cache", "rm", NAME) == [{"name": NAME}]
    assert told("cache", "ls") == []


def test_images_of_a_registry(told, digest, hub):
    there = f"{hub.host}/team/app:2"
    pushed = {"name": there, "digest": digest, "sent": True}
    assert told("cache", "push", NAME, "--remote-name", there) == [pushed]
    assert told("cache", "push", NAME, "--remote-name", there) == [{**pushed, "sent": False}]
    assert told("cache", "pull", there, there) == [{"name": there, "digest": digest}] * 2
    made = [{"file": "k"}, {"file": "k.pub"}]
    assert told("sign", "--generate-key", "k") == made
    place = f"{hub.host}/team/app:{digest.replace(':', '-')}.sig"
    signed = {"name": there, "digest": digest, "signature": place}
    assert told("sign", "--key", "k", "--arch", "amd64", there) == [signed]
    assert told("pkg", "remote-tag", there, f"{hub.host}/team/app:3") == [{"name": f"{hub.host}/team/app:3"}]
    assert told("cache", "rm", there, "--published-only") == [{"name": there}]


def test_packages(told, tree, hub, monkeypatch):
    monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
    changed = told("pkg", "lock", "tool", "--arch", "amd64")
    assert changed["lock"].endswith("/tool/debian.lock")
    assert changed["changes"]
    tree.commit()
    name = f"{hub.host}/team/tool:{tree.tag('tool')}"
    assert told("pkg", "push", "tool", "--manifest", "false")
    assert told("pkg", "index", "tool") == [{"name": name, "platforms": ["linux/amd64"]}]


def test_configurations_of_kernels(told):
    lines = fragments.read(fragments.folder(), "amd64", "cloud")
    found = told("kernel", "config", "cloud", "--arch", "amd64")
    assert found == [line._asdict() for line in lines]
    assert set(found[0]) == {"name", "value", "reason", "file", "line"}
    first = (fragments.folder() / found[0]["file"]).read_text().splitlines()[found[0]["line"] - 1]
    assert first.startswith(f"CONFIG_{found[0]['name']}={found[0]['value']} ")
    flavours = fragments.flavours(fragments.folder())
    assert told("kernel", "config") == [{"flavour": name, "parts": parts} for name, parts in flavours.items()]
