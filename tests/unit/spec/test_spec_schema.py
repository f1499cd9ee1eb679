"""What is derived from the model: the schema, and the tables of docs/reference/yaml.md.

After a change of the model run this file as a program, which writes the tables anew::

    PYTHONPATH=src python tests/unit/spec/test_spec_schema.py
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from linuxkit.spec import load, schema
from linuxkit.spec.node import Mapping, Scalar, Sequence
from linuxkit.spec.yaml import parse

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "yaml.md"
MARK = "tests/unit/spec/test_spec_schema.py -->\n\n"


class Packages:
    def reference(self, text, *, base, where):
        return f"linuxkit.stock/{text}:0123456789abcdef"


def page() -> str:
    head, _, _ = PAGE.read_text().partition(MARK)
    return head + MARK + schema.reference()


def test_the_page_lists_every_key():
    assert PAGE.read_text() == page()


def test_links_in_the_page_lead_somewhere():
    titles = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page().splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", page())) <= titles


def test_the_schema_is_whole():
    made = schema.schema()
    assert json.loads(json.dumps(made)) == made
    named = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(made)))
    assert named == set(made["$defs"])
    assert made["additionalProperties"] is False
    step = made["$defs"]["Step"]
    assert step["anyOf"][0] == {"required": ["name", "image"]}
    assert made["$defs"]["Mount"].get("anyOf") is None
    assert step["properties"]["onFailure"]["enum"] == ["stop", "continue", "reboot", "poweroff"]
    assert step["properties"]["uid"] == {
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": 2**32 - 2,
        "description": "User it runs as: a number, or the name of a container.",
    }
    assert step["properties"]["sysctl"]["additionalProperties"] == {"type": "string"}
    assert step["properties"]["mounts"]["items"] == {"$ref": "#/$defs/Mount"}


FEATURES = """
kernel: {image: k, cmdline: c, binary: b, tar: none, ucode: u}
init: [i]
volumes: [{name: v, image: x, format: oci, platforms: [linux/amd64], readonly: false}]
onboot:
- name: a
  image: x
  onFailure: continue
  uid: a
  additionalGids: [a, 7]
  resources: {memory: {limit: 5}, hugepageLimits: [{pageSize: 2, limit: 1}]}
  sysctl: {a.b: "1"}
services:
- {name: s, image: x, restart: always, critical: true, ready: {tcp: 80, interval: 1s}, after: [a]}
- {name: t, image: x, critical: halt, health: {exec: [/x], retries: 2}, stop: {signal: INT}}
watchdog: {timeout: 10s}
files: [{path: x, contents: "", mode: "0600"}]
include: [y]
variables: {A: "b", C: }
"""
WRONG = [
    ("image: k", "imgae: k"),
    ("cmdline: c", "cmdline: 7"),
    ("tar: none", "tar: [none]"),
    ("format: oci", "format: zip"),
    ("readonly: false", "readonly: 'false'"),
    ("onFailure: continue", "onFailure: 3"),
    ("  image: x\n", ""),
    ("[a, 7]", "[a, true]"),
    ("[a, 7]", "[a, -7]"),
    ("limit: 5", "limit: five"),
    ('a.b: "1"', "a.b: 1"),
    ('A: "b"', "A: 5"),
    ("include: [y]", "include: y"),
    ("critical: true", "critical: maybe"),
    ("critical: halt", "critical: 1"),
    ("restart: always", "restart: true"),
    ("tcp: 80", "tcp: 0"),
    ("after: [a]", "after: a"),
    ("  image: x\n", "  override: false\n"),
]


def test_the_schema_takes_what_the_decoder_takes():
    load.parse(FEATURES.replace("include: [y]", ""))
    assert faults(plain(parse(FEATURES, "x"))) == []
    patch = "services: [{name: a, override: true, net: new}]\nfiles: [{path: x, remove: true}]\n"
    assert faults(plain(parse(patch, "x"))) == []


EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))
UPSTREAM = Path(os.environ.get("LINUXKIT_COMPAT", ROOT.parent / "shared" / "compat"))
EXAMPLES += sorted((UPSTREAM / "upstream-examples").glob("*.yml"))
NO_YAML = {"static-ip.yml"}  # a comment that no parser takes ends one of its texts


@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES if path.name not in NO_YAML],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_examples_satisfy_both(path):
    load.load([path], packages=Packages())
    assert faults(plain(parse(path.read_text(), path.name))) == []


@pytest.mark.parametrize(("right", "wrong"), WRONG)
def test_the_schema_refuses_what_the_decoder_refuses(right, wrong):
    text = FEATURES.replace(right, wrong, 1)
    assert text != FEATURES
    with pytest.raises(load.Error):
        load.parse(text)
    assert faults(plain(parse(text, "x"))) != []


def plain(node):
    if isinstance(node, Mapping):
        return {key: plain(value) for key, (_, value) in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    for value in (node.boolean, node.integer):
        if value is not None:
            return value
    return None if node.is_null else node.value


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
TYPES["null"] = type(None)
WHOLE = schema.schema()


def partly(value, rule, at) -> list[str]:
    """The words of a rule about some of a map's keys."""
    found = [f"{at}: no {key}" for key in rule.get("required", ()) if key not in value]
    for key, wish in rule.get("properties", {}).items():
        if "const" in wish and value.get(key) is not wish["const"]:
            found.append(f"{at}.{key}: const")
    ways = [faults(value, way, at) for way in rule.get("anyOf", ())]
    return found + min(ways, key=len, default=[])


def faults(value, rule=None, at="") -> list[str]:
    """A checker for the few words of JSON Schema that are used."""
    rule = WHOLE if rule is None else rule
    if "$ref" in rule:
        rule = WHOLE["$defs"][rule["$ref"].rsplit("/", 1)[1]]
    if "type" not in rule:
        return partly(value, rule, at)
    names = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    if not any(type(value) is TYPES[name] for name in names):
        return [f"{at}: type"]
    found = []
    if isinstance(value, dict):
        for key, item in value.items():
            more = rule.get("properties", {}).get(key, rule["additionalProperties"])
            found += (
                [f"{at}.{key}: unknown"] if more is False else faults(item, more, f"{at}.{key}")
            )
        found += partly(value, rule, at)
    if isinstance(value, list):
        for item in value:
            found += faults(item, rule["items"], f"{at}[]")
    if "enum" in rule and value not in rule["enum"]:
        found.append(f"{at}: enum")
    if isinstance(value, int) and not rule.get("minimum", value) <= value <= rule.get(
        "maximum", value
    ):
        found.append(f"{at}: range")
    return found


if __name__ == "__main__":
    PAGE.write_text(page())
