"""What compat adds to upstream's settings, and to which containers."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.build.sandbox import compat, profile, strict
from linuxkit.spec import labels, load
from linuxkit.spec.model import ImageSettings


def guarded(text="{}"):
    return compat.guarded(labels.merge(labels.decode(text, "x"), ImageSettings()), "amd64")


def test_a_container_without_capabilities_is_guarded():
    settings, guard = guarded()
    assert (settings.masked_paths, settings.readonly_paths) == (strict.MASKED, strict.READONLY)
    assert guard.seccomp == compat.seccomp("amd64")
    assert "/proc/sys" in settings.readonly_paths


def test_what_the_entry_says_itself_stays():
    settings, guard = guarded("{maskedPaths: [/x], readonlyPaths: [], capabilities: [none]}")
    assert (settings.masked_paths, settings.readonly_paths) == (("/x",), ())
    assert guard


@pytest.mark.parametrize(
    "text",
    ["capabilities: [CAP_CHOWN]", "ambient: [CAP_CHOWN]", "capabilities: [all]", "pid: host",
     "mounts: [{type: proc, options: [rw]}]", "mounts: [{type: cgroup, options: [rw]}]"],
)  # fmt: skip
def test_who_could_notice_is_left_alone(text):
    settings, guard = guarded("{" + text + "}")
    assert guard is None
    assert settings.masked_paths is settings.readonly_paths is None


def test_an_architecture_without_a_table_is_left_alone():
    assert compat.guarded(ImageSettings(), "ppc64le") == (ImageSettings(), None)


@pytest.mark.parametrize("arch", ["amd64", "arm64", "riscv64", "s390x"])
def test_only_calls_that_the_architecture_has(arch):
    (row,) = compat.seccomp(arch)["syscalls"]
    assert set(row["names"]) <= set(compat.syscalls.numbers(arch))
    assert "bpf" in row["names"]


NONE = "services: [{name: web, image: x, profile: none}, {name: other, image: x}]\n"


def test_none_is_compat_without_what_that_adds():
    spec = load.parse(NONE)
    made = {
        name: profile.confine(entry, name, {}, arch="amd64", first_id=0, where=spec.where)
        for name in ("none", "compat")
        for entry in spec.services[:1]
    }
    assert made["none"].guard is None
    assert made["none"].settings.masked_paths is None
    assert made["compat"].guard is not None
    assert made["none"].privileges == made["compat"].privileges


def test_none_has_to_be_allowed():
    with pytest.raises(Error, match="web: nothing would confine it") as caught:
        profile.require_any(load.parse(NONE))
    assert [(e.code, e.where.column) for e in caught.value.all()] == [("LK0731", 43)]
    with pytest.raises(Error) as caught:
        profile.require_any(load.parse("profile: none\n" + NONE.replace(", profile: none", "")))
    assert [(e.code, e.where.line) for e in caught.value.all()] == [("LK0731", 1)] * 2
    profile.require_any(load.parse(NONE.replace("none", "compat")))
