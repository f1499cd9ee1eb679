"""``audit`` on YAML and on what was built of it, and its exit status."""

from __future__ import annotations

import json

import pytest

import linuxkit
from linuxkit.cli import main as program
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import archive, image

YML = """\
profile: strict
kernel: {image: "lk/kernel:1", cmdline: "console=ttyS0"}
init: ["lk/init:1", "lk/runtime:1"]
services:
  - {name: shut, image: "lk/app:1"}
  - {name: web, image: "lk/app:1", net: host, ports: {bind: [8080]}}
  - {name: old, image: "lk/app:1", profile: compat, capabilities: [CAP_CHOWN]}
"""


@pytest.fixture(autouse=True)
def system(tmp_path, monkeypatch):
    """A store with images, a YAML file, and the current folder."""
    store = linuxkit.open_store(tmp_path / "cache")
    image(store, "docker.io/lk/kernel:1", {"kernel": b"K" * 9, "kernel.tar": archive({"lib/": ""})})
    init = Entry("init", Kind.FILE, 0o755, content=Bytes(b"#!"))
    image(store, "docker.io/lk/init:1", {"init": init}, labels={"org.linuxkit.boot-table": "1"})
    image(
        store, "docker.io/lk/runtime:1", {"usr/": "", "usr/crun": "x"},
        labels={"org.linuxkit.runtime": "/usr/crun"},
    )  # fmt: skip
    image(store, "docker.io/lk/app:1", {"app": "a"}, cmd=["/app"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "web.yml").write_text(YML)


def audit(*words):
    return program.main(["audit", "--arch", "amd64", *words])


def test_every_container_with_the_lines_that_grant(capsys):
    assert audit("web.yml") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("container profile calls exposure")
    assert "services/shut strict 237 0.3 perfect" in lines
    assert "services/web net: host web.yml:6:41" in lines
    assert "services/old capabilities: CAP_CHOWN web.yml:7:68" in lines
    assert any(line.startswith("CIS 5.10 fail") and "services/web" in line for line in lines)
    assert not any(" pass " in line for line in lines[:-1])
    assert audit("--all", "web.yml") == 0
    assert " pass " in capsys.readouterr().out


@pytest.mark.parametrize(("threshold", "status"), [("10", 0), ("0.2", 1), ("6.5", 0), ("2", 1)])
def test_a_threshold_decides_the_status(threshold, status):
    assert audit("--quiet", "--threshold", threshold, "web.yml") == status


@pytest.mark.parametrize("threshold", ["11", "-1", "x", "1,5"])
def test_thresholds_that_are_none(threshold, capsys):
    assert audit(f"--threshold={threshold}", "web.yml") == 2
    assert "LK0113" in capsys.readouterr().err


def test_for_programs(capsys):
    assert audit("--json", "web.yml") == 0
    value = json.loads(capsys.readouterr().out)
    found = {row["name"]: row for row in value["containers"]}
    assert value["worst"] == found["services/old"]["exposure"]
    assert found["services/web"]["privileges"][1] == {
        "privilege": "ports.bind: 8080", "where": "web.yml:6:62",
    }  # fmt: skip
    assert {row["result"] for row in value["standards"]} == {"pass", "fail", "operator"}


def test_as_markdown(capsys):
    assert audit("--markdown", "web.yml") == 0
    head, rule, *_ = capsys.readouterr().out.splitlines()
    assert head.startswith("| container | profile | calls | exposure |")
    assert set(rule) <= set("|- ")


@pytest.mark.parametrize("name", ["web", "web-initrd.img", "web.tar"])
def test_what_was_built_shows_the_same(name, capsys):
    assert program.main(["build", "--arch", "amd64", "-q", "-f", "kernel+initrd,tar", "web.yml"]) == 0
    capsys.readouterr()
    assert audit("--json", "web.yml") == 0
    planned = json.loads(capsys.readouterr().out)
    assert audit("--json", name) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["standards"] == planned["standards"]
    for mine, theirs in zip(built["containers"], planned["containers"], strict=True):
        assert {**mine, "privileges": None} == {**theirs, "privileges": None}


def test_what_is_no_system(tmp_path, capsys):
    (tmp_path / "odd").write_bytes(archive({"etc/": ""}))
    assert audit("odd") == 2
    assert "LK0757" in capsys.readouterr().err
    assert audit("nothing") != 0


def test_build_tells_what_a_file_without_a_profile_leaves_open(tmp_path, capsys):
    (tmp_path / "web.yml").write_text(YML.replace("profile: strict\n", ""))
    assert program.main(["build", "--arch", "amd64", "web.yml"]) == 2  # ports: needs the profile
    (tmp_path / "web.yml").write_text(YML.replace("profile: strict\n", "").replace(", ports: {bind: [8080]}", ""))
    assert program.main(["build", "--arch", "amd64", "web.yml"]) == 0
    assert "profile: compat" in capsys.readouterr().err
    (tmp_path / "web.yml").write_text(YML)
    assert program.main(["build", "--arch", "amd64", "web.yml"]) == 0
    assert "profile: compat" not in capsys.readouterr().err


def test_no_confinement_has_to_be_allowed_and_is_named(tmp_path, capsys):
    text = YML.replace("profile: compat, capabilities: [CAP_CHOWN]", "profile: none")
    (tmp_path / "bare.yml").write_text(text)
    assert program.main(["build", "--arch", "amd64", "bare.yml"]) == 2
    said = capsys.readouterr().err
    assert "LK0731 bare.yml:7:" in said
    assert "--allow-unsafe" in said
    assert not list(tmp_path.glob("bare-*"))
    assert program.main(["build", "--arch", "amd64", "--allow-unsafe", "--json", "bare.yml"]) == 0
    out = capsys.readouterr()
    profiles = {row["container"]: row["profile"] for row in json.loads(out.out)["confinement"]}
    assert profiles == {"services/old": "none", "services/shut": "strict", "services/web": "strict"}
    assert "nothing confines services/old" in out.err
    assert audit("--json", "bare.yml") == 0  # what may not be built may be looked at
    rows = json.loads(capsys.readouterr().out)["containers"]
    assert {row["name"]: row["profile"] for row in rows} == profiles
