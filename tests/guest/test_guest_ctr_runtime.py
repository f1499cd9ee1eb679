"""The program that makes services tasks of containerd, with a ctr that plays its part."""

from __future__ import annotations

import socket
import subprocess

import pytest

from support.guest_world import GUEST
from support.tools import need

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]  # fmt: skip


CTR = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/calls
while [ $# -gt 0 ]; do
    case $1 in --pid-file) pidfile=$2 ;; esac
    last=$1; shift
done
case $last in
    known) echo "{{}}" ;;
    broken) echo "ctr: no such program" >&2; exit 5 ;;
    stuck) echo "ctr: task is busy" >&2; exit 1 ;;
    *) case $pidfile in
        "") echo "ctr: not found" >&2; exit 1 ;;
        *) echo 4242 > "$pidfile"; exit 7 ;;
    esac ;;
esac
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ctr")
    (folder / "ctr").write_text(CTR.format(folder=folder))
    (folder / "ctr").chmod(0o755)
    paths = {"CTR": folder / "ctr", "SOCKET": folder / "sock", "PIDS": folder / "pids"}
    defines = [f'-D{name}="{path}"' for name, path in paths.items()]
    program = folder / "ctr-runtime"
    argv = [need("gcc"), *FLAGS, *defines, GUEST / "ctr-runtime/main.c", "-o", program]
    subprocess.run(argv, check=True)
    return program


@pytest.fixture
def containerd(runtime):
    runtime.with_name("calls").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        runtime.with_name("sock").unlink(missing_ok=True)
        listening.bind(str(runtime.with_name("sock")))
        listening.listen(64)
        yield


def start(runtime, *words):
    done = subprocess.run(
        [runtime, *words], capture_output=True, text=True, check=False, timeout=60
    )
    calls = runtime.with_name("calls")
    return done.returncode, done.stderr, calls.read_text().splitlines() if calls.exists() else []


def begin(runtime, tmp_path, name):
    words = ("run", "--detach", "--pid-file", tmp_path / "pid", "--bundle", "/containers/x", name)
    return start(runtime, "--runtime", "/usr/bin/runc", *words)


def test_run_leaves_ctr_and_the_task(runtime, containerd, tmp_path):
    status, _err, calls = begin(runtime, tmp_path, "web")
    assert status == 0
    ctr, task = (tmp_path / "pid").read_text().split(" ")
    assert (int(ctr) > 1, task) == (True, "4242")
    pids = runtime.with_name("pids")
    assert calls == [
        "-n services.linuxkit containers info web",
        f"-n services.linuxkit run --pid-file {pids}/web --config /containers/x/config.json web",
    ]  # fmt: skip
    _status, _err, again = begin(runtime, tmp_path, "web")
    assert len(again) == 3  # PID 1 has deleted it in between: nobody asks


def test_what_is_left_of_a_time_before_is_deleted(runtime, containerd, tmp_path):
    status, _err, calls = begin(runtime, tmp_path, "known")
    verbs = [" ".join(call.split()[-3:]) for call in calls]
    assert verbs[:3] == ["containers info known", "delete --force known", "containers delete known"]
    assert status != 0 or len(verbs) == 4


def test_a_task_that_cannot_start_is_told(runtime, containerd, tmp_path):
    status, err, _calls = begin(runtime, tmp_path, "broken")
    assert status == 5
    assert "no such program" in err
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize(("name", "status"), [("gone", 0), ("stuck", 1)])
def test_delete(runtime, containerd, name, status):
    code, err, calls = start(runtime, "--runtime", "/usr/bin/runc", "delete", "--force", name)
    assert code == status
    assert ("task is busy" in err) == bool(status)
    assert calls[0].endswith(f"-n services.linuxkit tasks delete --force {name}")


def test_delete_does_not_wait_for_ever(runtime):
    runtime.with_name("sock").unlink(missing_ok=True)
    code, err, _calls = start(runtime, "--runtime", "/usr/bin/runc", "delete", "--force", "web")
    assert code == 1
    assert "containerd does not answer" in err


def test_exec_goes_to_the_runtime(runtime, tmp_path):
    for name, extra in (("runc", ""), ("crun", "--cgroup-manager=cgroupfs ")):
        fake = tmp_path / name
        fake.write_text('#!/bin/sh\necho "$@"\n')
        fake.chmod(0o755)
        words = ("--runtime", fake, "exec", "--pid-file", "/p", "web", "ls", "-l")
        done = subprocess.run([runtime, *words], capture_output=True, text=True, check=True)
        root = "--root /run/containerd/runc/services.linuxkit"
        assert done.stdout == f"{extra}{root} exec --pid-file /p web ls -l\n"


def test_a_namespace_of_ones_own(runtime, containerd, tmp_path):
    words = ("--runtime", "/usr/bin/runc", "--namespace", "mine")
    assert start(runtime, *words, "delete", "--force", "gone")[2][0].endswith("-n mine tasks delete --force gone")
    run = ("run", "--detach", "--pid-file", tmp_path / "pid", "--bundle", "/containers/x", "web")
    assert start(runtime, *words, *run)[2][-1].startswith("-n mine run --pid-file")
    fake = tmp_path / "runc"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    words = ("--runtime", fake, "--namespace", "mine", "exec", "--pid-file", "/p", "web", "ls")
    done = subprocess.run([runtime, *words], capture_output=True, text=True, check=True)
    assert done.stdout == "--root /run/containerd/runc/mine exec --pid-file /p web ls\n"


SAYS = "echo to-stdout; echo to-stderr >&2; exit 3"


@pytest.mark.parametrize(
    ("out", "error", "wanted"),
    [
        ("stdout", "stderr", ("to-stdout\n", "to-stderr\n", "old\n")),
        ("stderr", "stdout", ("to-stderr\n", "to-stdout\n", "old\n")),
        ("stdout", "LOG", ("to-stdout\n", "", "old\nto-stderr\n")),
        ("LOG", "LOG", ("", "", "old\nto-stdout\nto-stderr\n")),
    ],
)
def test_the_daemon_writes_where_it_is_told(runtime, tmp_path, out, error, wanted):
    log = tmp_path / "log"
    log.write_text("old\n")
    places = [str(log) if place == "LOG" else place for place in (out, error)]
    words = [runtime, "--runtime", "/bin/true", "daemon", *places, "/bin/sh", "-c", SAYS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr, log.read_text()) == (3, *wanted)


def test_the_daemon_finds_the_runtime_as_runc(runtime, tmp_path):
    for name in ("first", "second"):  # it is started again with another
        fake = tmp_path / name
        fake.write_text(f"#!/bin/sh\necho I am {name}: $1\n")
        fake.chmod(0o755)
        words = [runtime, "--runtime", fake, "daemon", "stdout", "stderr", "/bin/sh", "-c", "runc start"]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == f"I am {name}: start\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["/no/such/folder/log", "stderr", "/bin/true"], "cannot open /no/such/folder/log: No such file"),
        (["stdout", "stderr", "/no/such/program"], "cannot start /no/such/program: No such file"),
    ],
)
def test_a_daemon_that_cannot_be_started(runtime, words, why):
    code, err, _calls = start(runtime, "--runtime", "/bin/true", "daemon", *words)
    assert code == 1
    assert why in err


@pytest.mark.parametrize("words", [[], ["--runtime", "/r", "daemon", "stdout", "stderr"], ["--runtime", "/r", "--namespace", "x", "run"], ["run"], ["--runtime", "/r", "run", "x"], ["--runtime", "/r", "delete", "x"]])
def test_nonsense_is_refused(runtime, words):
    code, err, _calls = start(runtime, *words)
    assert code == 2
    assert "usage: ctr-runtime" in err


def test_endless_words_are_refused(runtime, tmp_path):
    words = ["--runtime", "/bin/true", "exec", *["x"] * 200]
    assert start(runtime, *words)[0] == 1
