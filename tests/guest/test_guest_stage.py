"""The first program of systems with a root on a disk: how it reads what it shall do."""

from __future__ import annotations

import subprocess

import pytest

from support.guest_world import GUEST
from support.tools import need

STAGE = GUEST / "stage"
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
STRICT = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


@pytest.fixture
def compiled(tmp_path):
    """Makes a program of these sources, under the sanitizers."""
    gcc = need("gcc")

    def make(*sources):
        program = tmp_path / "program"
        words = [gcc, *STRICT, *SANITIZE, *sources, "-o", program]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return program

    return make


def test_reading_a_table(compiled):
    """Right ones, wrong ones and 200,000 damaged ones."""
    program = compiled(STAGE / "table.c", STAGE / "tests" / "test_table.c")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_first_program_of_a_machine_obeys(compiled):
    """What it does then is for the boot tests to show."""
    program = compiled(*sorted(STAGE.glob("*.c")))
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "stage: this is the first program of a machine\n")
