from __future__ import annotations

import time

import pytest
import yaml as pyyaml

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.spec import yaml
from linuxkit.spec.node import Mapping, Scalar, Sequence, find, scalars


def parse(text):
    return yaml.parse(text, "x.yml")


def refused(text):
    with pytest.raises(Error) as caught:
        parse(text)
    return [f"{e.where.line}:{e.where.column} {e.code} {e.message}" for e in caught.value.all()]


# text → (kind, boolean, integer)
SCALARS = {
    "true": ('the truth value "true"', True, None),
    "False": ('the truth value "False"', False, None),
    "TRUE": ('the truth value "TRUE"', True, None),
    "yes": ("a text", None, None),
    "no": ("a text", None, None),
    "on": ("a text", None, None),
    "tRue": ("a text", None, None),
    '"true"': ("a text", None, None),
    "0": ("the number 0", None, 0),
    "-7": ("the number -7", None, -7),
    "18446744073709551615": ("the number 18446744073709551615", None, 2**64 - 1),
    "1234567890123456789012": ("a text", None, None),
    "007": ("a text", None, None),
    "0644": ("a text", None, None),
    "0x1f": ("a text", None, None),
    "1_000": ("a text", None, None),
    "+5": ("a text", None, None),
    "-0": ("a text", None, None),
    "1.5": ("a text", None, None),
    "12:30:45": ("a text", None, None),
    "2026-01-01": ("a text", None, None),
    "'7'": ("a text", None, None),
    "٣": ("a text", None, None),
    "~": ("nothing", None, None),
    "null": ("nothing", None, None),
    "": ("nothing", None, None),
    "''": ("a text", None, None),
    "|\n  7": ("a text", None, None),
}


@pytest.mark.parametrize("text", SCALARS)
def test_scalars(text):
    node = find(parse(f"a: {text}\n"), ("a",))
    assert isinstance(node, Scalar)
    assert (node.kind, node.boolean, node.integer) == SCALARS[text]
    assert node.is_text == (node.kind == "a text")


SYNTAX = {
    "a: [\n": "1:4 LK0201 a value is missing here",
    "a:\n\tb: 1\n": "2:1 LK0201 a tab cannot be used to indent",
    "a: `x`\n": '1:4 LK0201 a value cannot begin with "`"',
    "a: %x\n": '1:4 LK0201 a value cannot begin with "%"',
    "a: b: c\n": '1:5 LK0201 a ":" cannot stand here',
    "a:\n    b: 1\n  c: 2\n": "3:3 LK0201 this does not fit what stands before it",
    'a: "x\nb: 2\n': "1:4 LK0201 this quote is never closed",
    "a: 'it's'\n": "1:8 LK0201 nothing can follow the closing quote",
    "a:\n  - b\n  c: 1\n": '3:3 LK0201 a list item, beginning with "- ", is expected here',
    "a: [b, c\nd: 1\n": '1:4 LK0201 this list has no "]" or lacks a ","',
    'a: ["b" "c"]\n': '1:4 LK0201 this list has no "]" or lacks a ","',
    "a: {b: c\nd: 1\n": '1:4 LK0201 this map has no "}" or lacks a ","',
    'a: "\\q"\n': "1:5 LK0201 unknown escape in double quotes",
    'a: "\\xg"\n': "1:7 LK0201 this escape lacks hexadecimal digits",
    'a: "\\ud800"\n': "1:7 LK0201 this escape stands for no character",
    "a: 1\nb\n": '2:1 LK0201 this line has no ":" after its key',
    "a: - b\n": '1:4 LK0201 a list item "- " cannot stand here',
    "a: *x\n": '1:4 LK0201 there is no anchor "&x" before this alias',
    "a: &x [*x]\n": '1:8 LK0201 there is no anchor "&x" before this alias',
    "a: |x\n": "1:5 LK0201 a line break is expected here",
    "a: 1\n...\nb\n": "3:1 LK0201 nothing can follow the end of the document",
    "a: !e!x y\n": '1:4 LK0201 a value cannot begin with "!"',
    "%YAML 9.9\n---\na\n": "1:1 LK0201 this is not YAML: found incompatible YAML document",
    'a: "\\0"\n': "1:4 LK0201 a text must not hold the character NUL",
    "a: 1\nb: \x07\n": "2:4 LK0201 the character U+0007 is not allowed in YAML",
    "ä: \x80\n": "1:4 LK0201 the character U+0080 is not allowed in YAML",
    "a: x\ufeff\n": "1:5 LK0201 the character U+FEFF is not allowed in YAML",
    "": "1:1 LK0201 x.yml is empty",
    "# only a comment\n": "1:1 LK0201 x.yml is empty",
    "a: 1\n---\nb: 2\n": "2:1 LK0207 a second document begins here",
    "a: !!str 7\n": '1:4 LK0207 tags such as "!!str" are not allowed',
    "a: !local 7\n": '1:4 LK0207 tags such as "!local" are not allowed',
    "a: !<tag:x,2000:y> [7]\n": '1:4 LK0207 tags such as "!<tag:x,2000:y>" are not allowed',
    "a: ! 7\n": '1:4 LK0207 tags such as "!" are not allowed',
    "7: x\n": "1:1 LK0207 a key must be a text, not the number 7",
    "true: x\n": '1:1 LK0207 a key must be a text, not the truth value "true"',
    "? [a]\n: x\n": "1:3 LK0207 a key must be a text, not a list",
    "{a: 1}: x\n": "1:1 LK0207 a key must be a text, not a map of keys",
    "a: {<<: 7}\n": '1:9 LK0207 "<<" takes a map of keys, not the number 7',
    "a: 1\r\nb: 2\r\na: 3\r\n": '3:1 LK0206 duplicate key "a"',
    'a: 1\n"a": 2\n': '2:1 LK0206 duplicate key "a"',
    "b: {a: 1, c: 2, a: 3}\n": '1:17 LK0206 duplicate key "a"',
}


@pytest.mark.parametrize("text", SYNTAX)
def test_refused(text):
    assert refused(text) == [SYNTAX[text]]


def test_faults_that_leave_the_text_readable_come_at_once():
    assert refused("a: 1\na: 2\nb: !!str x\n7: {c: 1, c: 2}\n") == [
        '2:1 LK0206 duplicate key "a"',
        '3:4 LK0207 tags such as "!!str" are not allowed',
        "4:1 LK0207 a key must be a text, not the number 7",
        '4:11 LK0206 duplicate key "c"',
    ]


def test_the_pure_python_scanner_refuses_the_same_places(monkeypatch):
    monkeypatch.delattr(pyyaml, "CSafeLoader")
    told = []
    with events.reporting(told.append):
        assert refused("a: b: c\n")[0].startswith('1:5 LK0201 a ":" cannot stand here')
        assert refused("a:\n\tb: 1\n")[0].startswith("2:1 LK0201 a tab cannot be used to indent")
        assert refused("a: 'x\n")[0] == "1:4 LK0201 this quote is never closed"
        assert refused("a: [b\n")[0].startswith("1:")
        assert refused("a: *x\n") == ['1:4 LK0201 there is no anchor "&x" before this alias']
        assert isinstance(parse("a: [1, {b: c}]"), Mapping)
    assert told[0].text.startswith("PyYAML has no libyaml here")


def test_limits(monkeypatch):
    for name, limit in (("TEXT_LIMIT", 50), ("DEPTH_LIMIT", 3), ("ALIAS_LIMIT", 2)):
        monkeypatch.setattr(yaml, name, limit)
    monkeypatch.setattr(yaml, "NODE_LIMIT", 10)
    parse("a: " + "x" * 47)
    assert refused("a: " + "x" * 48)[0].startswith("1:1 LK0202")
    parse("[[[a]]]")
    assert refused("[[[[a]]]]") == ["1:4 LK0202 values lie in each other more than 3 deep"]
    parse("[&a x, *a, *a]")
    assert refused("[&a x, *a, *a, *a]") == ["1:16 LK0202 more than 2 aliases"]
    parse("[1,2,3,4,5,6,7,8,9]")
    assert refused("[1,2,3,4,5,6,7,8,9,0]") == ["1:1 LK0202 more than 10 values"]
    parse("[&a [1,2,3], *a]")  # 1 + 4 + 4
    assert refused("[&a [1,2,3], *a, 1, 2]")[0].endswith("more than 10 values")


def test_places():
    root = parse("a:\n  - b: 'x y'\n    c: |\n      text\nd: {e: f}\n")
    for path, place in {
        ("a",): "2:3:-",
        ("a", 0): "2:5:-",
        ("a", 0, "b"): "2:8:'x y'",
        ("a", 0, "c"): "3:8:|",
        ("d", "e"): "5:8:f",
    }.items():
        where = find(root, path).where
        shown = where.text[where.column - 1 :][: where.width]
        if path in {("a",), ("a", 0)}:
            shown = "-"
        assert f"{where.line}:{where.column}:{shown}" == place
    assert find(root, ("a", 1)) is None
    assert find(root, ("a", "b")) is None
    assert find(root, ("z",)) is None
    key, _ = root.items["d"]
    assert str(key.where) == "x.yml:5:1"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_as_the_scanner_counts(end):
    root = parse(f"# é{end}a: 1{end}b: äöü x{end}")
    where = find(root, ("b",)).where
    assert (where.line, where.column, where.text, where.width) == (3, 4, "b: äöü x", 5)


def test_a_very_long_line_is_not_shown():
    root = parse("a: " + "x" * 500)
    assert find(root, ("a",)).where.caret() == ""


def test_byte_order_mark_and_encodings():
    assert isinstance(parse("\ufeffa: 1"), Mapping)
    assert yaml.decode_text("ä".encode(), "x.yml") == "ä"
    with pytest.raises(Error) as caught:
        yaml.decode_text(b"a: 1\nb: \xe4\n", "x.yml")
    assert str(caught.value) == "x.yml is not UTF-8: byte 0xe4 in line 2 [LK0201]"


def test_aliases_and_merge_keys():
    root = parse(
        "base: &b {x: 1, y: 2}\n"
        "more: &m {y: 7, z: 8}\n"
        "one: {<<: *b, y: 3}\n"
        "two: {<<: [*b, *m]}\n"
        'three: {"<<": 1}\n'
        "list: [*b, *b]\n"
    )

    def row(name):
        return {key: value.value for key, (_, value) in find(root, (name,)).items.items()}

    assert row("one") == {"y": "3", "x": "1"}
    assert row("two") == {"x": "1", "y": "2", "z": "8"}
    assert row("three") == {"<<": "1"}
    first, second = find(root, ("list",)).items
    assert first is second is find(root, ("base",))


def test_scalars_come_once_each_and_in_order():
    root = parse("a: &a x\nb: [*a, y, {c: z}]\nd: w\n")
    assert [node.value for node in scalars(root)] == ["x", "y", "z", "w"]


VALUES = [
    {},
    {"a": "text", "b": ["1", "true", "null", "~", "", "0644", "12:30", "<<", "yes"]},
    {"contents": "several\nlines\n", "other": "ends\n\n", "trailing": "a \nb", "tab": "\ta\n"},
    {"n": -5, "t": True, "empty": [], "map": {"x.y": "ü \U0001f600"}},
    {"same": [{"a": "b"}] * 3},
]


@pytest.mark.parametrize("value", VALUES)
def test_what_is_dumped_is_read_back(value):
    def plain(node):
        if isinstance(node, Mapping):
            return {key: plain(item) for key, (_, item) in node.items.items()}
        if isinstance(node, Sequence):
            return [plain(item) for item in node.items]
        if node.boolean is not None:
            return node.boolean
        return node.value if node.integer is None else node.integer

    text = yaml.dump(value)
    assert plain(parse(text)) == value
    assert pyyaml.safe_load(text) == value


def test_speed():
    """5,000 lines within 60 ms, with room for a busy machine."""
    entry = (
        "  - name: svc{}\n    image: linuxkit/redis:{}\n    capabilities:\n      - CAP_CHOWN\n"
        '    binds:\n      - /a:/b\n    net: host\n    env: ["A=1", "B=2"]\n    resources:\n'
        "      memory:\n        limit: 1000\n"
    )
    text = "services:\n" + "".join(entry.format(i, i) for i in range(460))
    assert text.count("\n") > 5000
    best = 1.0
    for _ in range(5):
        before = time.process_time()
        parse(text)
        best = min(best, time.process_time() - before)
    assert best < 0.12
