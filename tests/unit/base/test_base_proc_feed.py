"""Programs that are fed: they get all of it, and their failure is told, not that of our pipe."""

from __future__ import annotations

import pytest

from linuxkit.base import proc
from linuxkit.base.errors import Error

DATA = b"x" * 1_000_000


def feed(argv) -> None:
    with proc.feeding(argv) as sink:
        for _ in range(50):
            sink.write(DATA)


def test_all_of_it_arrives(tmp_path):
    out = tmp_path / "out"
    with proc.feeding(["/bin/sh", "-c", f"cat > {out}"]) as sink:
        sink.write(DATA)
    assert out.read_bytes() == DATA


@pytest.mark.parametrize("script", ["echo why >&2; exit 3", "head -c 10; echo why >&2; exit 3", "cat; echo why; exit 3"])
def test_a_failure_is_the_programs_own(script):
    with pytest.raises(Error, match="failed with status 3") as caught:
        feed(["/bin/sh", "-c", script])
    assert caught.value.code == "LK0902"
    assert "why" in caught.value.detail
    assert "command: /bin/sh -c" in caught.value.detail


def test_one_that_wants_no_more_may_end_well():
    feed(["/bin/true"])


def test_a_failure_of_the_block_ends_the_program(tmp_path):
    with pytest.raises(ValueError, match="ours"), proc.feeding(["/bin/sleep", "1000"]):
        raise ValueError("ours")


def test_programs_that_cannot_be_started(tmp_path):
    with pytest.raises(Error) as caught, proc.feeding([tmp_path / "none"]):
        pass
    assert caught.value.code == "LK0901"
    (tmp_path / "file").write_text("no program")
    for start in (lambda: proc.run([tmp_path / "file"]), lambda: proc.feeding([tmp_path / "file"]).__enter__()):
        with pytest.raises(Error, match="cannot be started") as caught:
            start()
        assert caught.value.code == "LK0902"
