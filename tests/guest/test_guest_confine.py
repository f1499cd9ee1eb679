"""The program that confines: how it reads its record, and what it does on this machine's kernel."""

from __future__ import annotations

import ctypes
import re
import subprocess

import pytest

from linuxkit.base import platform
from linuxkit.build.sandbox import bpf, policy, record
from support.guest_world import GUEST
from support.tools import need

CONFINE = GUEST / "confine"
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
STRICT = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def test_reading_a_record(tmp_path):
    """Right ones, wrong ones and 200,000 damaged ones, under the sanitizers."""
    gcc = need("gcc")
    program = tmp_path / "test_record"
    sources = [CONFINE / "record.c", CONFINE / "tests" / "test_record.c"]
    done = subprocess.run([gcc, *STRICT, *SANITIZE, *sources, "-o", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_sides_have_the_same_limits():
    text = (CONFINE / "record.h").read_text()
    limits = {k: int(v) for k, v in re.findall(r"#define (MAX_\w+) (\d+)", text)}
    assert limits == {
        "MAX_RECORD_BYTES": record.MAX_BYTES, "MAX_PATHS": record.MAX_PATHS,
        "MAX_PORTS": record.MAX_PORTS, "MAX_FILTER": record.MAX_FILTER,
        "MAX_LIMITS": len(record.LIMITS),
    }  # fmt: skip
    words = dict(re.findall(r'#define (\w+) "([^"]*)"', text))
    assert words == {"RECORD_MAGIC": record.MAGIC, "RECORD_VERSION": record.VERSION}


def test_it_stays_small(confine):
    code = 0
    for path in CONFINE.glob("*.[ch]"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        code += sum(1 for line in text.splitlines() if line.strip())
    assert code <= 440
    assert confine.stat().st_size <= 64 * 1024


@pytest.fixture(scope="session")
def confine(build_guest):
    arch = platform.host().oci
    build_guest.build(arch)
    return build_guest.DATA / arch / "confine"


def run(confine, tmp_path, made, *words, **options):
    path = tmp_path / "record"
    path.write_bytes(made if isinstance(made, bytes) else made.encode())
    return subprocess.run([confine, path, *words], capture_output=True, text=True, check=False, **options)


def some(**changes):
    arch = platform.host().oci
    calls = bpf.compile_filter(policy.policy(arch), arch)
    return record.Record("best-effort", ("/tmp",), (), (), (), False, calls)._replace(**changes)


def landlock_abi():
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)


def test_the_program_runs_confined(confine, tmp_path):
    done = run(confine, tmp_path, some(), "/bin/sh", "-c", "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status")
    assert done.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"], done.stderr
    done = run(confine, tmp_path, some(), "/usr/bin/unshare", "-U", "/bin/true")
    assert done.returncode != 0
    assert "not permitted" in done.stderr


def test_landlock_keeps_files_from_it(confine, tmp_path):
    """A machine without Landlock shows that best-effort goes on without it."""
    script = f"echo x > {tmp_path}/new && echo y > /var/tmp/linuxkit-probe"
    done = run(confine, tmp_path, some(writable=(str(tmp_path),)), "/bin/sh", "-c", script)
    assert (tmp_path / "new").read_text() == "x\n", done.stderr
    assert ("ermission denied" in done.stderr) is (landlock_abi() >= 1)


def test_without_all_of_landlock_it_fails_closed(confine, tmp_path):
    done = run(confine, tmp_path, some(landlock="enforce"), "/bin/true")
    if landlock_abi() >= 6:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 125
        assert "Landlock" in done.stderr


@pytest.mark.parametrize("made", [b"", b"\0" * 70000, b"linuxkit-confine\x001\x00jit\x00"])
def test_nothing_runs_without_a_good_record(confine, tmp_path, made):
    done = run(confine, tmp_path, made, "/bin/echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("confine: ")


def test_a_program_that_is_not_there(confine, tmp_path):
    done = run(confine, tmp_path, some(), "/no/such")
    assert done.returncode == 125
    assert "/no/such: No such file" in done.stderr
    assert subprocess.run([confine], capture_output=True, check=False).returncode == 125
