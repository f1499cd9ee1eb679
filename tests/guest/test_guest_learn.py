"""The program that counts system calls: no call is missed, and the program under it is as without it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from linuxkit.base import platform
from linuxkit.build.sandbox import bpf, learned, policy, record, strict
from support.guest_world import GUEST

# Behind confine these hold already; a filter may only be loaded with them.
NO_NEW_PRIVILEGES = "import ctypes, os, sys; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(scope="session")
def programs(build_guest):
    arch = platform.host().oci
    build_guest.build(arch)
    return build_guest.DATA / arch


@pytest.fixture
def start(programs, tmp_path):
    def run(*words, **options):
        argv = [sys.executable, "-c", NO_NEW_PRIVILEGES, programs / "learn", tmp_path, *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def finish(*words, **options):
        started = start_one(*words, **options)
        out, err = started.communicate(timeout=60)
        return subprocess.CompletedProcess(words, started.returncode, out, err)

    start_one = run
    finish.start = run
    return finish


def counts(folder):
    return learned.counted((folder / "calls").read_bytes())[platform.host().oci]


CALLS = """
import os, threading
def work():
    for _ in range(2000): os.getppid()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if os.fork() == 0:
    os.getpgid(0)
    os._exit(0)
os.wait()
"""


def test_every_call_is_counted(start, tmp_path):
    for runs in (1, 2):  # a second one adds to the first
        assert start(sys.executable, "-c", CALLS).returncode == 0
        found = counts(tmp_path)
        assert found["getppid"] == runs * 8000
        assert found["getpgid"] == runs
        assert found["execve"] == runs


def test_a_program_that_is_killed_was_counted(start, tmp_path):
    done = start(sys.executable, "-c", "import os; [os.getppid() for _ in range(50)]; os.kill(os.getpid(), 9)")
    assert done.returncode == 128 + signal.SIGKILL
    assert (counts(tmp_path)["getppid"], counts(tmp_path)["kill"]) == (50, 1)


def test_output_and_status_are_the_programs(start):
    done = start("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = start("/no/such")
    assert (done.returncode, done.stderr) == (125, "learn: /no/such: No such file or directory\n")


def test_signals_reach_the_program(start):
    script = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\nprint('up', flush=True)\ntime.sleep(60)"
    running = start.start(sys.executable, "-c", script)
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 3
    running.communicate()


def test_the_program_ends_with_it(start):
    running = start.start("/bin/sh", "-c", "echo $$; exec sleep 1000")
    pid = int(running.stdout.readline())
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not os.path.exists(f"/proc/{pid}")


def test_what_it_cannot_write_to_ends_it(start, tmp_path):
    (tmp_path / "calls").symlink_to("/etc/passwd")
    done = start("/bin/echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert "learn: " in done.stderr


def test_what_the_profile_refuses_is_not_counted(programs, tmp_path):
    """Behind confine, as in a container: what is refused is so before it is asked about."""
    arch = platform.host().oci
    made = record.Record(
        "best-effort", (str(tmp_path), str(programs / "learn")), (str(programs / "learn"),), None, None, False,
        bpf.compile_filter(policy.policy(arch), arch),
    )  # fmt: skip
    (tmp_path / "record").write_bytes(made.encode())
    words = [programs / "confine", tmp_path / "record", programs / "learn", tmp_path]
    done = subprocess.run([*words, "/usr/bin/unshare", "-U", "/bin/true"], capture_output=True, text=True, check=False)
    assert "not permitted" in done.stderr
    found = counts(tmp_path)
    assert "unshare" not in found
    assert {"execve", "write", "exit_group"} <= found.keys() <= policy.policy(arch).known


def test_both_sides_count_the_same_calls():
    text = (GUEST / "include/layout.h").read_text()
    assert re.search(r"#define LEARNED_CALLS (\d+)", text)[1] == str(learned.COUNTED)
    assert re.search(r'#define LEARNED_DIR "(.*)"', text)[1] == strict.LEARNED


def test_it_stays_small(programs):
    text = (GUEST / "learn/main.c").read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert sum(1 for line in code.splitlines() if line.strip()) <= 170
    assert (programs / "learn").stat().st_size <= 64 * 1024
