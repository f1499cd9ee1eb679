"""Whatever bytes come: an answer or one of our errors, and never the same question answered twice."""

from __future__ import annotations

import io
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.recipes.debian import control, release, version
from linuxkit.recipes.debian import deb as debs
from linuxkit.recipes.glob import matcher
from support.debian_archive import File, deb

GOOD = deb([File("./usr/"), File("./usr/bin/x", b"#!"), File("./usr/bin/y", link="x")])
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8),
       st.integers(0, len(GOOD)))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_a_deb_with_some_bytes_changed(changes, end):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    with tempfile.TemporaryFile() as scratch:
        try:
            for entry in debs.unpack(io.BytesIO(bytes(data[:end])), scratch):
                assert not entry.path.startswith("/")
                assert ".." not in entry.path.split("/")
        except Error as error:
            assert error.code == "LK0521" or error.code.startswith("LK06")  # noqa: PT017


@given(VERSIONS, VERSIONS, VERSIONS)
@settings(max_examples=500, deadline=None)
def test_versions_are_in_one_order(one, two, three):
    low, middle, high = sorted([one, two, three], key=version.key)
    assert version.key(low) <= version.key(middle) <= version.key(high)
    assert version.key(low) <= version.key(high)


@given(VERSIONS)
def test_a_tilde_comes_before_and_a_suffix_after(text):
    if "-" in text:
        assert version.key(text + "~") < version.key(text) < version.key(text + "+x")


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_as_control_data(text):
    for read in (control.stanza, control.relations, version.key):
        try:
            read(text)
        except Error as error:
            assert error.code in ("LK0504", "LK0505")  # noqa: PT017


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_as_a_pattern(pattern, path):
    fits = matcher([pattern])
    assert isinstance(fits(path), bool)
    if not set(pattern) & set("*?"):
        assert fits(path) == (pattern == path)
    assert matcher(["**"])(path)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_signed_release(data):
    from datetime import UTC, datetime

    try:
        release.parse(data, "trixie", datetime(2026, 1, 1, tzinfo=UTC), live=True)
    except Error as error:
        assert error.code in ("LK0515", "LK0516", "LK0517")  # noqa: PT017
