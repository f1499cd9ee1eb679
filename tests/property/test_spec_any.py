"""Whatever stands in a YAML file or a label, the answer is a value or one of our errors."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.spec import labels, load, metadata, yaml

WORDS = [
    "kernel", "init", "services", "onboot", "files", "volumes", "trust", "name", "image", "binds",
    "binds.add", "capabilities", "mounts", "resources", "memory", "limit", "devices", "path",
    "type", "uid", "rlimits", "contents", "directory", "mode", "runtime", "bindNS", "net", "new",
    "host", "web", "nginx:1", "CAP_CHOWN", "all", "/a:/b:ro", "true", "null", "~", "0644", "12",
    "include", "variables", "override", "remove", "true", "A", "${A}", "$${A:-x}", "a ${A:-b} c",
    "-1", "99999999999999999999999", "<<", "@pkg:x", "nofile,1,2", "x", "é", "\u2028", "\ufeff",
]  # fmt: skip
GLUE = [": ", ":\n  ", "\n", "\n  ", "\n  - ", "- ", ", ", "[", "]", "{", "}", "'", '"', "&a ",
        "*a", "!!str ", "|\n  ", ">", "#", "?", "\t", "---\n", "%", "\\", "\0", "\x85"]  # fmt: skip
yamlish = st.lists(st.sampled_from(WORDS + GLUE), max_size=40).map("".join)
values = st.recursive(
    st.sampled_from(WORDS) | st.integers() | st.booleans() | st.none() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(text):
    try:
        return load.parse(text)
    except Error as error:
        for one in error.all():
            assert one.code.startswith(("LK02", "LK03"))
            assert str(one)
            if one.where:
                assert one.where.line >= 1
                assert one.where.column >= 1
                one.where.caret()
        return None


@settings(max_examples=300, deadline=None)
@given(st.text() | yamlish)
@example("\ud800")
@example("a: \ufeff")
@example("'\\")
@example("{? {a: b} : c}")
@example("services: [{<<: [*a]}]")
@example("&a [*a]")
@example('files: [{path: x, mode: "\u0664"}]')  # digits of another script
@example('services: [{name: x, image: x, uid: "²"}]')
def test_text_is_read_or_refused(text):
    spec = read(text)
    if spec is not None:
        assert load.parse(metadata.render(spec, "yaml").decode()) == spec
        assert load.parse(metadata.render(spec, "json").decode()) == spec


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS[:7]), values, max_size=3))
def test_values_of_any_shape_are_read_or_refused(value):
    read(yaml.dump(value))


entries = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", 7])},
    optional={
        "image": st.sampled_from(["x", "x:${A}", None]),
        "override": st.booleans() | st.just("yes"),
        "remove": st.booleans(),
        "runtime": st.dictionaries(st.sampled_from(["mkdir", "bindNS"]), values, max_size=2),
        "cwd": st.text(max_size=5),
    },
)
systems = st.fixed_dictionaries(
    {},
    optional={
        "services": st.lists(entries, max_size=3) | values,
        "onboot": st.lists(entries, max_size=3),
        "variables": st.dictionaries(st.sampled_from(["A", "B"]), st.text() | st.none()) | values,
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(systems, min_size=2, max_size=3))
def test_files_that_change_each_other_are_merged_or_refused(tmp_path_factory, several):
    folder = tmp_path_factory.getbasetemp()
    paths = [folder / f"{number}.yml" for number in range(len(several))]
    for path, value in zip(paths, several, strict=True):
        path.write_text(yaml.dump(value))
    try:
        spec = load.load(paths)
    except Error as error:
        for one in error.all():
            assert one.code.startswith(("LK02", "LK03"))
        return
    assert load.parse(metadata.annotated(spec)) == spec
    for index, service in enumerate(spec.services):
        assert service.override is None
        assert spec.where(("services", index, "name")).caret()


@settings(max_examples=100, deadline=None)
@given(st.text() | yamlish | values.map(yaml.dump))
def test_labels_are_read_or_refused(text):
    try:
        labels.decode(text, "docker.io/library/x")
    except Error as error:
        for one in error.all():
            assert "docker.io/library/x" in str(one)


def bomb(levels=9):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(rows)


HOSTILE = {
    "aliases that expand": bomb(),
    "aliases that expand, merged": "\n".join(
        ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 20)}], k{i}: 1}}"
                              for i in range(1, 40)]),
    "many aliases": "a: &a x\nb: [" + "*a, " * 200 + "]",
    "deep lists": "[" * 20_000,
    "deep lists, closed": "[" * 20_000 + "]" * 20_000,
    "deep maps": "{a: " * 20_000,
    "deep blocks": "".join(" " * i + "a:\n" for i in range(1000)),
    "many values": "[" + "x," * 200_000 + "]",
    "many keys": "".join(f"k{i}: x\n" for i in range(150_000)),
    "a long line": "x" * (4 << 20) + "yy",
    "constructed objects": "a: !!python/object/apply:os.system [echo]",
    "a binary": "a: !!binary aGk=",
    "duplicates without end": "a: x\n" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_soon(name):
    before = time.process_time()
    with pytest.raises(Error) as caught:
        yaml.parse(HOSTILE[name], "x.yml")
    assert caught.value.code in {"LK0202", "LK0206", "LK0207"}
    assert time.process_time() - before < 2


def entries(count, line):
    return "\n".join(line.format(i) for i in range(count))


CROWDED = {
    "unknown keys": entries(30_000, "k{0}: x"),
    "unknown keys in entries": "services:\n" + entries(20_000, "- {{nmae: x{0}, imgae: y}}"),
    "unknown choices": "onboot:\n"
    + entries(15_000, "- {{name: x{0}, image: y, onFailure: stpo}}"),
    "a very long key": "x" * (1 << 20) + "a:\n- b\n" + "y" * 1000 + ": z",
    "a very long name": "services: [{name: x, image: y, uid: " + "z" * (1 << 20) + "}]",
    "unknown volumes": "volumes:\n" + entries(15_000, "- {{name: v{0}}}")
    + "\nservices:\n- {name: x, image: y, binds: [" + "w1:/x, " * 15_000 + "]}",
    "unknown ids": "services:\n" + entries(14_000, "- {{name: x{0}, image: y, uid: z{0}}}"),
    "names twice": "services:\n" + entries(20_000, "- {{name: x, image: y}}"),
}  # fmt: skip


@pytest.mark.parametrize("name", CROWDED)
def test_many_mistakes_are_told_soon(name):
    before = time.process_time()
    with pytest.raises(Error) as caught:
        load.parse(CROWDED[name])
    assert 1 <= len(caught.value.all()) <= 100
    assert time.process_time() - before < 4


def test_a_crowd_without_mistakes_is_read_soon():
    text = "services:\n" + entries(14_000, "- {{name: x{0}, image: y, uid: x{0}}}")
    before = time.process_time()
    assert len(load.parse(text).services) == 14_000
    assert time.process_time() - before < 4
