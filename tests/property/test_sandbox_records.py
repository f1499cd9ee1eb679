"""Records of confinements, and configurations that strangers wrote, whatever is in them."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.build.audit import exposure, posture, standards
from linuxkit.build.sandbox import bpf, policy, record

PATHS = st.text("abc/.-\u00e9", min_size=0, max_size=20).map(lambda text: "/" + text)
PORTS = st.one_of(st.none(), st.lists(st.integers(1, 65535), max_size=20, unique=True).map(tuple))
PATIENT = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no failure
FILTER = bpf.compile_filter(policy.policy("amd64"), "amd64")


@PATIENT
@given(
    st.sampled_from(["enforce", "best-effort", ""]),
    st.lists(PATHS, max_size=20, unique=True).map(tuple), PORTS, PORTS, st.booleans(),
)  # fmt: skip
def test_a_record_is_read_as_it_was_written(landlock, writable, bind, connect, jit):
    made = record.Record(landlock, writable, writable[:2], bind, connect, jit, FILTER)
    assert record.decode(made.encode()) == made


def outcome(act):
    """The code of the error that it raises, or "done"."""
    try:
        act()
    except Error as error:
        return error.code
    return "done"


@PATIENT
@given(st.binary(max_size=400))
def test_any_bytes_are_a_record_or_an_error(data):
    for bytes_ in (data, b"linuxkit-confine\x001\x00" + data):
        assert outcome(lambda b=bytes_: record.decode(b)) in {"done", "LK0752"}


@PATIENT
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_program_ends(program, number):
    assert outcome(lambda: bpf.run(program, "amd64", number)) in {"done", "LK0752"}


KEYS = st.sampled_from(
    ["process", "linux", "root", "mounts", "user", "uid", "args", "capabilities", "bounding",
     "namespaces", "type", "path", "resources", "devices", "allow", "major", "seccomp", "syscalls",
     "names", "action", "options", "destination", "source", "readonly", "rlimits", "hard", "memory"]
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=30,
)


@PATIENT
@given(JSON)
def test_any_configuration_can_be_rated(value):
    found = posture.read("services/x", json.dumps(value).encode(), None, "amd64")
    assert 0 <= exposure.exposure(found).score <= 10
    assert standards.verdicts([found])
