"""The verbs about YAML alone: validate, config and schema; and ``--set``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.cli import inputs
from linuxkit.cli import main as program
from linuxkit.spec import schema

BASE = """\
kernel:
  image: k
init:
  - a
services:
  - name: web
    image: nginx:${TAG}
    env: [A=1]
variables: {TAG: "1"}
"""
MORE = """\
include: [base.yml]
kernel: {cmdline: quiet}
services:
  - {name: web, override: true, net: new}
files:
  - path: x
    contents: |
      one
      two
"""
MERGED = """\
# more.yml:2, image: base.yml:2
kernel:
  image: docker.io/library/k
  cmdline: quiet
init:
# base.yml:4
- docker.io/library/a
services:
# base.yml:6, net: more.yml:4
- name: web
  image: docker.io/library/nginx:2
  env:
  - A=1
  net: new
files:
# more.yml:6
- path: x
  contents: |
    one
    two
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yml").write_text(BASE)
    Path("more.yml").write_text(MORE)
    Path("bad.yml").write_text("inti: []\nservices:\n- {name: a, image: 'X'}\n")


def test_config_render(capsys):
    assert program.main(["config", "render", "--set", "TAG=2", "more.yml"]) == 0
    assert capsys.readouterr().out == MERGED


def test_what_it_prints_is_built_as_it_stands(capsys, monkeypatch):
    program.main(["config", "render", "--set", "TAG=2", "more.yml", "--json"])
    first = json.loads(capsys.readouterr().out)
    given = io.TextIOWrapper(io.BytesIO(MERGED.encode()))
    monkeypatch.setattr(sys, "stdin", given)
    program.main(["config", "render", "-", "--json"])
    assert json.loads(capsys.readouterr().out) == first
    assert first["services"][0]["net"] == "new"


def test_config_render_of_nothing(capsys):
    Path("empty.yml").write_text("{}")
    assert program.main(["config", "render", "empty.yml"]) == 0
    assert capsys.readouterr().out == "{}\n"


def test_validate(capsys):
    assert program.main(["validate", "more.yml"]) == 0
    assert capsys.readouterr().out == "no mistakes\n"
    assert program.main(["validate", "-q", "more.yml"]) == 0
    assert capsys.readouterr() == ("", "")
    assert not {path.name for path in Path().iterdir()} - {"base.yml", "more.yml", "bad.yml"}


def test_validate_tells_everything_at_once(capsys):
    assert program.main(["validate", "more.yml", "bad.yml", "none.yml"]) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert [line for line in text.err.splitlines() if line.startswith("error")] == [
        "error: LK0210 there is no file none.yml",
        'error: LK0203 bad.yml:1:1: unknown key "inti" in bad.yml',
        'error: LK0302 bad.yml:3:20: "X" is not an image reference: "X" has upper-case letters',
    ]


def test_validate_for_programs(capsys):
    assert program.main(["validate", "--json", "base.yml"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": ["base.yml"], "valid": True, "errors": [],
    }  # fmt: skip
    assert program.main(["validate", "--json", "bad.yml"]) == 2
    text = capsys.readouterr()
    found = json.loads(text.out)
    assert (found["valid"], text.err) == (False, "")
    assert found["errors"][0] == {
        "code": "LK0203",
        "message": 'unknown key "inti" in bad.yml',
        "hint": 'did you mean "init"?',
        "where": {"file": "bad.yml", "line": 1, "column": 1},
        "detail": "",
    }


def test_schema(capsys):
    assert program.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema.schema()


def test_build_takes_variables(capsys):
    assert program.main(["build", "--dry-run", "--set", "TAG=3", "base.yml"]) == 0
    assert "nginx:3" in capsys.readouterr().out
    assert program.main(["build", "--dry-run", "--set", "TGA=3", "base.yml"]) == 2
    assert 'did you mean "TAG"?' in capsys.readouterr().err


def test_values(monkeypatch):
    monkeypatch.setenv("HERE", "x=y")
    monkeypatch.delenv("GONE", raising=False)
    assert inputs.values(["A=1", "B=", "A=2=3", "HERE"]) == {"A": "2=3", "B": "", "HERE": "x=y"}
    with pytest.raises(Error) as caught:
        inputs.values(["GONE"])
    assert (caught.value.code, caught.value.hint) == ("LK0113", "write --set GONE=VALUE")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["build", "-format", "tar", "x"], "format"),
        (["build", "-name=y", "x"], "name"),
        (["run", "-cpus", "2", "x"], "cpus"),
        (["run", "qemu", "-publish", "1:2", "x"], "publish"),
        (["config", "render", "-set", "A=1", "x"], "set"),
    ],
)
def test_flags_with_one_dash_get_help(capsys, words, flag):
    assert program.main(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        f'error: LK0112 the flag "-{flag}" has one dash', f"hint: write --{flag}",
    ]  # fmt: skip
