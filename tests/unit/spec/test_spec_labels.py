from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.oci.ref import Ref
from linuxkit.spec import labels
from linuxkit.spec.model import Container, ImageSettings
from linuxkit.spec.parts import Namespaces, Runtime
from linuxkit.spec.text import Bind

IMAGE = "docker.io/linuxkit/x:1"


def merged(label: str, **own):
    entry = Container(name="x", image=Ref("docker.io/linuxkit/x", "1"), **own)
    return labels.settings(entry, {labels.LABEL: label, "other": "{"}, IMAGE)


def test_no_label():
    entry = Container(name="x", image=Ref("x"), cwd="/y")
    assert labels.settings(entry, {}, IMAGE) == ImageSettings(cwd="/y")
    assert labels.settings(entry, {labels.LABEL: ""}, IMAGE) == ImageSettings(cwd="/y")


def test_json_and_yaml():
    value = ImageSettings(capabilities=("CAP_CHOWN",), binds=(Bind("/a", "/b"),))
    assert labels.decode('{"capabilities": ["CAP_CHOWN"], "binds": ["/a:/b"]}', IMAGE) == value
    assert labels.decode("capabilities:\n- CAP_CHOWN\nbinds:\n- /a:/b\n", IMAGE) == value


# field, label, YAML, outcome
PRECEDENCE = [
    ("readonly", "readonly: true", None, True),
    ("readonly", "readonly: true", False, False),
    ("command", "command: [a, b]", None, ("a", "b")),
    ("command", "command: [a, b]", (), ()),
    ("env", "env: [A=1]", ("B=2",), ("B=2",)),
    ("cwd", "cwd: /l", "/y", "/y"),
    ("cwd", "cwd: /l", "", "/l"),
    ("net", "net: new", "", "new"),
    ("net", "net: new", "host", "host"),
    ("hostname", "hostname: l", "", "l"),
    ("cgroups_path", "cgroupsPath: /l", "", ""),
    ("capabilities", "capabilities: [CAP_CHOWN]", ("CAP_KILL",), ("CAP_KILL",)),
    ("capabilities", "capabilities: [CAP_CHOWN]", (), ()),
    ("oom_score_adj", "oomScoreAdj: 5", 0, 0),
    ("uid", "uid: 5", 0, 0),
    ("uid", "uid: 5", None, 5),
    ("sysctl", 'sysctl: {a: "1", b: "2"}', {"a": "3"}, {"a": "3"}),
]


@pytest.mark.parametrize(("field", "label", "own", "outcome"), PRECEDENCE)
def test_the_yaml_overrides_whole_fields(field, label, own, outcome):
    assert getattr(merged(label, **{field: own}), field) == outcome


def test_added_capabilities_and_binds():
    label = "capabilities: [CAP_CHOWN, CAP_KILL]\nbinds: ['/a:/b', '/c:/d:ro']"
    found = merged(
        label,
        capabilities_add=("CAP_KILL", "CAP_SETUID"),
        binds_add=(Bind("/a", "/b"), Bind("/e", "/f")),
    )
    assert found.capabilities == ("CAP_CHOWN", "CAP_KILL", "CAP_SETUID")
    assert found.binds == (Bind("/a", "/b"), Bind("/c", "/d", ("ro",)), Bind("/e", "/f"))
    assert found.capabilities_add is found.binds_add is None


def test_added_lists_give_way_to_whole_ones():
    found = merged(
        "capabilities: [CAP_CHOWN]\nbinds: ['/a:/b']",
        capabilities=("CAP_SETUID",),
        capabilities_add=("CAP_KILL",),
        binds=(),
        binds_add=(Bind("/e", "/f"),),
    )
    assert found.capabilities == ("CAP_SETUID",)
    assert found.binds == ()


def test_added_lists_without_a_label():
    assert merged("{}", capabilities_add=("CAP_KILL",)).capabilities == ("CAP_KILL",)
    assert merged("{}").capabilities is None
    assert merged("capabilities.add: [CAP_KILL]").capabilities == ("CAP_KILL",)


def test_runtime_is_merged_key_by_key():
    label = "runtime: {mkdir: [/a], cgroups: [c], bindNS: {net: /n, uts: /u}, namespace: x}"
    own = Runtime(mkdir=(), bind_ns=Namespaces(net="", pid="/p"))
    assert merged(label, runtime=own).runtime == Runtime(
        mkdir=(), cgroups=("c",), bind_ns=Namespaces(net="", uts="/u", pid="/p"), namespace="x"
    )
    assert merged(label).runtime.mkdir == ("/a",)
    assert merged("{}", runtime=own).runtime == own
    assert merged("{}").runtime is None


REFUSED = {
    '{"name": "x"}': f'the label {labels.LABEL} of {IMAGE} must not set "name"',
    '{"image": "x"}': f'the label {labels.LABEL} of {IMAGE} must not set "image"',
    '{"nonsense": 1}': f'unknown key "nonsense" in the label {labels.LABEL} of {IMAGE}',
    '{"onFailure": "stop"}': f'unknown key "onFailure" in the label {labels.LABEL} of {IMAGE}',
    "[]": f"the label {labels.LABEL} of {IMAGE} must be a map of keys, not a list",
    '{"binds": "x"}': "binds must be a list, not a text",
    '{"binds": ["x"]}': '"x" is not a bind',
    "{": "a value is missing here",
    " ": f"the label {labels.LABEL} of {IMAGE} is empty",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    with pytest.raises(Error) as caught:
        labels.decode(text, IMAGE)
    (error,) = caught.value.all()
    assert error.message == REFUSED[text]
    assert error.where.file == f"the label {labels.LABEL} of {IMAGE}"
    assert "label" in str(error)
    assert IMAGE in str(error)


def test_refused_all_at_once():
    with pytest.raises(Error) as caught:
        labels.decode('{"name": "x", "image": "y", "foo": 1, "net": 2}', IMAGE)
    assert [error.code for error in caught.value.all()] == ["LK0213", "LK0213", "LK0203", "LK0204"]
