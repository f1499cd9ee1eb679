"""What upstream's runtime-config.toml makes of the command of containerd."""

from __future__ import annotations

import json

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.build import boot
from linuxkit.sources.store import Stored
from support.images import image

FILE = "etc/containerd/runtime-config.toml"
YML = "init: [lk/init:1, lk/runtime:1, lk/containerd:1]\nservices:\n- {name: a, image: lk/app:1}\nfiles:\n- {path: other, contents: '='}\n"
CONTAINERD = {
    "org.linuxkit.runtime.services": "/bin/ctr-runtime", "org.linuxkit.runtime.daemon": "/bin/containerd",
    "org.linuxkit.runtime.daemon.settings": f"/{FILE}",
}  # fmt: skip


@pytest.fixture
def resolve(tmp_path):
    """The plan of a system with containerd, and this file."""
    store = linuxkit.open_store(tmp_path / "cache")
    image(store, "docker.io/lk/init:1", {"init": "x"}, labels={"org.linuxkit.boot-table": "1"})
    image(store, "docker.io/lk/runtime:1", {"runc": "x"}, labels={"org.linuxkit.runtime": "/bin/runc"})
    image(store, "docker.io/lk/containerd:1", {"c": "x"}, labels=CONTAINERD)
    image(store, "docker.io/lk/app:1", {"d": "x"}, cmd=["/app"])

    def make(said: str, text: str = YML):
        spec = linuxkit.load(["-"], arch="amd64", stdin=(text + said).encode())
        return linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")

    return make


def file(contents: str) -> str:
    return f"- {{path: /{FILE}, contents: {json.dumps(contents)}}}\n"


def started(plan) -> str:
    """The line that starts containerd."""
    items = next(s for s in plan.segments if s.name == "files").items
    table = boot.dump(next(item.data for item in items if item.path == boot.PATH))
    line = next(line for line in table.splitlines() if '"/bin/containerd"' in line)
    return " ".join(line.replace('"', "").split()[4:])


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("", "daemon stdout stderr /bin/containerd"),
        (file(""), "daemon stdout stderr /bin/containerd"),
        (file('cliopts = "--log-level  debug\\t-l x"'), "daemon stdout stderr /bin/containerd --log-level debug -l x"),
        (file('stderr="/var/log/c.log"'), "daemon stdout /var/log/c.log /bin/containerd"),
        (file('stdout="stderr"\ncliopts="-l x"'), "daemon stderr stderr /bin/containerd -l x"),
    ],
)
def test_what_it_says_is_done(resolve, said, wanted):
    assert started(resolve(said)) == wanted


def test_without_containerd_nobody_reads_it(resolve):
    assert resolve(file("="), YML.replace(", lk/containerd:1", "")).init == "/init"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (file("cliopts ="), "is not TOML: Invalid value (at end of document)"),
        (file("cliopts = 5"), '"cliopts" is not a text'),
        (file('stdout = "log"'), 'stdout cannot go to "log"'),
        (file('cli-opts = "-l"'), 'has a key that nobody reads: "cli-opts"'),
        (file('[stdout]\nx = "1"'), '"stdout" is not a text'),
    ],
)
def test_what_nobody_can_heed_is_told(resolve, said, why):
    with pytest.raises(Error) as caught:
        resolve(said)
    assert (caught.value.code, caught.value.where.line) == ("LK0729", 6)
    assert why in caught.value.message


@pytest.mark.parametrize(("data", "why"), [(b"#" * 70000, "has 70000 bytes"), (b"\xff", "is not TOML")])
def test_so_are_files_of_the_host(resolve, tmp_path, data, why):
    (tmp_path / "c.toml").write_bytes(data)
    with pytest.raises(Error, match=why) as caught:
        resolve(f"- {{path: {FILE}, source: {tmp_path}/c.toml}}\n")
    assert caught.value.code == "LK0729"
