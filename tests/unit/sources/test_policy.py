"""Trust policies: what a file may say, which rule decides, and which files count."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.oci import keys, ref
from linuxkit.sources import policy
from linuxkit.spec import load as specs


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.pub").write_bytes(keys.generate()[1])
    return tmp_path


def write(folder, text: str, name: str = policy.NAME):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def loaded(folder, text: str) -> policy.Policy:
    found = policy.load(write(folder, text))
    assert found is not None
    return found


RULES = """\
default: digest
rules:
  - {prefix: docker.io/linuxkit, require: cosign-key, keys: [a.pub], signedAs: [h.test/origin]}
  - {prefix: docker.io/linuxkit/init, require: none}
  - {prefix: "localhost:5000/", require: none}
"""


@pytest.mark.parametrize(
    ("image", "wants"),
    [
        ("linuxkit/kernel:1", "cosign-key"),
        ("linuxkit/init:1", "none"),
        ("linuxkit/init/deep:1", "none"),
        ("linuxkit/initx:1", "cosign-key"),
        ("docker.io/linuxkit:1", "cosign-key"),
        ("linuxkit/a/b:1", "cosign-key"),  # Docker Hub's, as ever
        ("index.docker.io/linuxkit/kernel", "cosign-key"),
        ("registry-1.docker.io/linuxkit/kernel", "cosign-key"),
        ("Docker.io:443/linuxkit/kernel", "cosign-key"),
        ("docker.io/linuxkitevil/a/b:1", "digest"),
        ("alpine", "digest"),
        ("localhost:5000/x", "none"),
    ],
)
def test_the_longest_prefix_decides(folder, image, wants):
    demand = loaded(folder, RULES).demand(ref.parse(image))
    assert demand.require == wants
    assert len(demand.keys) == (wants == "cosign-key")
    assert demand.names == (("h.test/origin",) if wants == "cosign-key" else ())


def test_without_a_default_nothing_passes(folder):
    assert loaded(folder, "rules: []\n").demand(ref.parse("a")).require == policy.REFUSE


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("rules:\n- {prefix: h.test/a, require: cosign-key}\n", "LK0208", "2:22"),
        ("rules:\n- {prefix: a, require: none}\n", "LK0208", "2:4"),
        ("rules:\n- {prefix: h.test, require: none, keys: [a.pub]}\n", "LK0208", "2:35"),
        ("rules:\n- {prefix: h.test, require: digest, signedAs: [a]}\n", "LK0208", "2:37"),
        ("rules:\n- {prefix: h.test, require: all}\n", "LK0208", "2:29"),
        ("rules:\n- {prefix: h.test, require: cosign-key, keys: [b.pub]}\n", "LK0102", "2:48"),
        ("rules:\n- {prefix: h.test, require: cosign-key, keys: [trust.yml]}\n", "LK0444", "2:48"),
        ("rules:\n- {prefix: h.test, require: none}\n- {prefix: h.test/, require: none}\n", "LK0443", "3:12"),
        ("ruels: []\n", "LK0203", "1:1"),
        ("default: allow\n", "LK0208", "1:10"),
        ("- x\n", "LK0204", "1:1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(folder, text, code, place):
    with pytest.raises(Error) as caught:
        loaded(folder, text)
    assert caught.value.code == code
    assert str(caught.value.where) == f"{folder / policy.NAME}:{place}"


def test_the_users_and_the_one_beside_the_yaml_both_count(folder):
    home = {"HOME": str(folder / "home")}
    inputs = [folder / "project" / "a.yml"]
    assert policy.find_all(inputs, "", home) == ()
    write(folder / "home", "default: digest\n", ".linuxkit/trust.yml")
    write(folder / "project", "default: none\n")
    found = [p.demand(ref.parse("a")).require for p in policy.find_all(inputs, "", home)]
    assert found == ["digest", "none"]  # somebody's YAML cannot ask for less
    other = write(folder, "default: none\n", "other.yml")
    home[policy.ENVIRONMENT] = str(other)
    assert [p.file for p in policy.find_all([], "", home)] == [str(other)]
    with pytest.raises(Error, match="there is no trust policy"):
        policy.find_all([], str(folder / "none.yml"), home)


@pytest.mark.parametrize(
    ("trust", "told"),
    [
        ("{org: [linuxkit]}", ["docker.io/linuxkit/kernel:1", "docker.io/linuxkit/whole:1"]),
        ("{org: [library]}", ["docker.io/library/web"]),
        ("{image: [web, 'linuxkit/kernel:2']}", ["docker.io/library/web"]),
        ("{image: ['linuxkit/kernel:1']}", ["docker.io/linuxkit/kernel:1"]),
        ("{image: [other], org: [else]}", []),
    ],
)
def test_what_the_yaml_wants_signed_needs_a_key(folder, trust, told):
    spec = specs.parse(
        f"trust: {trust}\n"
        "kernel: {image: 'linuxkit/kernel:1'}\n"
        "init: [web, 'linuxkit.stock/web:0123456789abcdef']\n"
        "volumes: [{name: v, image: 'linuxkit/whole:1', format: oci}]\n"
    )
    errors = list(policy.broken_trust(spec, ()))
    assert [error.message.split()[2] for error in errors] == told
    assert all(error.code == "LK0445" and error.where.line == 1 for error in errors)
    everything = loaded(folder, "rules: [{prefix: docker.io, require: cosign-key, keys: [a.pub]}]")
    assert list(policy.broken_trust(spec, [everything])) == []
    nothing = loaded(folder, "default: none")
    assert len(list(policy.broken_trust(spec, [nothing]))) == len(told)
