"""The C tests of PID 1's parts, each a program that says what is not so."""

from __future__ import annotations

import subprocess

import pytest

from support.guest_world import GUEST

NAMES = sorted(
    ["test_boot", "test_control", "test_log", "test_machine", "test_module", "test_queue", "test_report",
     "test_table", "test_text", "test_unit"]
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_program(link, name):
    program = link(name)
    env = {"ASAN_OPTIONS": "detect_leaks=0"}  # the fake machine never gives back what it mapped
    done = subprocess.run([program], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_none_is_left_out():
    assert sorted(path.stem for path in GUEST.glob("tests/test_*.c")) == NAMES
