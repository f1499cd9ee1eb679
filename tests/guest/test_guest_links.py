"""Interfaces that PID 1 gives to containers: made, moved, and given again after a restart."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.guest_world import unit
from support.tools import need

ALONE = ("alone", "wait")


def interfaces(pid: str | int) -> set[str]:
    """Those of a process's network."""
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return {line.split(":")[0].strip() for line in lines}


@pytest.fixture(autouse=True)
def kinds():
    """The kernel of this machine has to know what is made here."""
    for kind in ("veth", "bridge"):
        words = [need("unshare"), "--map-root-user", "--net", need("ip"), "link", "add", "name", "x0", "type", kind]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip(f"this machine's kernel has no {kind}")


def given(section, name, *links, words=ALONE, more=(), **keys):
    return [*unit(section, name, *words, more=more, **keys), *(("link", *link) for link in links)]


def test_they_are_made_and_moved(world):
    world.start(
        given("services", "web", ("br7", "bridge", "", "container"), ("in7", "veth", "out7", "root")),
        given("services", "db", ("out7", "", "", "root"), more=[("after", "0")]),
        head=[("parallel", "1")],
    )
    world.wait(event="boot", state="ready")
    web, db = world.children()
    assert {"br7", "in7"} <= interfaces(web)
    assert "out7" in interfaces(db)
    assert not {"br7", "in7", "out7"} & interfaces(world.pid)
    world.send(b"poweroff\n")
    assert world.ended() == 0


def test_a_restart_gets_them_again(world):
    """Also where the network of the time before is kept under a path, as with bindNS."""
    twice = [("restart", "always"), ("back-off", "10", "10", "0", "60000")]
    kept = ("bind-ns", "net", "/run/netns/web")
    records = [*unit("services", "web", *ALONE, more=twice), kept, ("link", "in7", "veth", "out7", "root")]
    world.start(records)
    world.wait(event="boot", state="ready")
    for times in range(1, 4):
        (web,) = world.children()
        assert "in7" in interfaces(web)
        assert "out7" in interfaces(world.pid)
        os.kill(int(web), signal.SIGKILL)
        world.wait_states("services/web", ["starting", "running", *["restarting", "starting", "running"] * times])
    world.send(b"poweroff\n")
    assert world.ended() == 0


def test_what_is_there_is_left_as_it_is(world):
    """A container in the machine's own network finds again what was made for it."""
    link = ("br7", "bridge", "", "root")
    names = ("000-a", "001-b")
    world.start(*(given("onboot", n, link, words=("wait",), policy="continue") for n in names))
    for name in names:
        world.wait(unit=f"onboot/{name}", state="running")  # with all that it is given
        assert "br7" in interfaces(world.pid)
        (one,) = world.children()
        os.kill(int(one), signal.SIGKILL)
        assert world.wait(unit=f"onboot/{name}", state="failed")["signal"] == signal.SIGKILL
    assert "br7" in interfaces(world.pid)
    world.send(b"poweroff\n")
    assert world.ended() == 0


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (("x7", "no-such-kind", "", "container"), "Not supported"),
        (("x7", "bridge", "", "root"), "Invalid argument"),  # a bridge stays where it was made
        (("x7", "veth", "x7", "root"), "File exists"),
    ],
)
def test_what_cannot_be_given_ends_the_start(world, link, why):
    world.start(given("services", "web", link))
    failed = world.wait(unit="services/web", state="failed")
    assert failed["detail"] == f"cannot give the interface x7: {why}"
    assert "x7" not in interfaces(world.pid)
    world.send(b"poweroff\n")
    assert world.ended() == 0
