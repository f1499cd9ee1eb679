from __future__ import annotations

import json

import pytest

from linuxkit.spec import load, metadata

TEXT = """
kernel: {image: k:1, cmdline: "console=ttyS0"}
init: [a]
services:
- name: web
  image: nginx
  capabilities.add: [CAP_CHOWN]
  maskedPaths: []
  readonly: false
  rlimits: ["nofile,1,2"]
  tmpfs: [/tmp]
  runtime: {interfaces: [{name: eth0, createInRoot: true}]}
files:
- {path: etc/x, contents: "a\\nb\\n", mode: 0600}
"""

EXPECTED = """\
kernel:
  image: docker.io/library/k:1
  cmdline: console=ttyS0
init:
- docker.io/library/a
services:
- name: web
  image: docker.io/library/nginx
  capabilities.add:
  - CAP_CHOWN
  tmpfs:
  - /tmp
  readonly: false
  maskedPaths: []
  rlimits:
  - nofile,1,2
  runtime:
    interfaces:
    - name: eth0
      createInRoot: true
files:
- path: etc/x
  contents: |
    a
    b
  mode: '0600'
"""


def test_yaml():
    assert metadata.render(load.parse(TEXT), "yaml").decode() == EXPECTED


def test_json():
    rendered = metadata.render(load.parse(TEXT), "json").decode()
    assert rendered.endswith("}\n")
    value = json.loads(rendered)
    assert list(value) == ["kernel", "init", "services", "files"]
    assert value["services"][0]["maskedPaths"] == []
    assert value["files"] == [{"path": "etc/x", "contents": "a\nb\n", "mode": "0600"}]


@pytest.mark.parametrize("kind", ["yaml", "json"])
@pytest.mark.parametrize("text", [TEXT, "{}", "kernel: {image: x}\n"])
def test_reads_back_as_the_same(kind, text):
    spec = load.parse(text)
    assert load.parse(metadata.render(spec, kind).decode()) == spec
