"""What compat adds to upstream's settings, and to which containers."""

from __future__ import annotations

import pytest

from linuxkit.build.sandbox import compat, strict
from linuxkit.spec import labels
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
