"""Programs that run on while we do something else, and those that may take too long."""

from __future__ import annotations

import os
import time

import pytest

from linuxkit.base import proc
from linuxkit.base.errors import Error


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9)])
def test_an_attempt_tells_the_status(script, status):
    assert proc.attempt(["sh", "-c", script], timeout_s=60) == status


def test_an_attempt_that_takes_too_long_is_killed(tmp_path):
    began = time.monotonic()
    assert proc.attempt(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], timeout_s=3) is None
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_started_program_has_its_own_session_and_the_descriptors_it_is_given():
    read, write = os.pipe()
    with proc.start(
        ["sh", "-c", f"echo there > /dev/fd/{write}; cat"], stdin=proc.PIPE, stdout=proc.PIPE, pass_fds=[write]
    ) as process:
        os.close(write)
        assert os.getsid(process.pid) == process.pid
        assert os.read(read, 100) == b"there\n"
        os.close(read)
        assert process.communicate(b"echo") == (b"echo", None)


def test_a_missing_program():
    with pytest.raises(Error) as caught:
        proc.start(["/nonexistent/program"])
    assert caught.value.code == "LK0901"


def test_a_file_that_is_no_program(tmp_path, monkeypatch):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF no")
    path.chmod(0o755)
    # Without setpriv in between, the failure to start it is seen at once.
    monkeypatch.setattr(proc.shutil, "which", lambda name: None)
    with pytest.raises(Error) as caught:
        proc.start([path])
    assert caught.value.code == "LK0902"


def test_words_for_statuses():
    assert [proc.status(code) for code in (3, -15)] == ["failed with status 3", "was ended by SIGTERM"]
