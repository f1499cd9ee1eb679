"""Whatever a guest writes to the report port, the host stays up and within its limits."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from linuxkit.runners.report import MAX_LINE, Guest, Lines, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
WORDS = st.sampled_from(["t", "event", "unit", "state", "status", "signal", "phase", "action"])
KNOWN = st.sampled_from(["boot", "unit", "phase", "power", "ready", "failed", "running", "poweroff"])
ALMOST = st.dictionaries(WORDS, JSON | KNOWN | st.integers(0, 9)).map(lambda v: json.dumps(v).encode())


@given(st.lists(st.binary(max_size=3000) | st.just(b"\n"), max_size=30))
def test_any_stream_is_cut_within_the_limit(chunks):
    lines = Lines()
    for chunk in chunks:
        assert all(len(line) <= MAX_LINE and b"\n" not in line for line in lines.feed(chunk))
    assert len(lines._rest) <= MAX_LINE


@given(st.lists(st.sampled_from([b"one", b"two" * 9]), max_size=9), st.integers(1, 9))
def test_how_a_stream_arrives_does_not_matter(words, step):
    stream = b"".join(word + b"\n" for word in words)
    lines = Lines(limit=10)
    got = [x for i in range(0, len(stream), step) for x in lines.feed(stream[i : i + step])]
    assert got == [word for word in words if len(word) <= 10]
    assert lines.dropped == sum(len(word) > 10 for word in words)


@given(st.lists(st.binary(max_size=200) | ALMOST, max_size=20))
def test_any_line_is_a_safe_record_or_none(lines):
    guest = Guest()
    for line in lines:
        record = parse(line)
        if record is None:
            continue
        assert record.name.isprintable()
        assert record.detail.isprintable()
        assert record.t_ms >= 0
        guest.take(record)
    assert isinstance(guest.well, bool)
