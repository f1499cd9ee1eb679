"""PID 1 in namespaces keeps services: it restarts, waits, probes, and stops in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.guest_world import memory_kib, unit

REBOOTED = 75


def kept(restart="on-failure", first=10, most=20, limit=0, stable=60_000):
    return [("restart", restart), ("back-off", *map(str, (first, most, limit, stable)))]


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


ENTER = ("enter", "/act", "enter", "")


def test_what_crashes_comes_again(world):
    world.start(
        unit("services", "flaky", "flaky", "/out/tries", "4", more=kept()),
        unit("services", "web", "wait"),
    )
    assert world.wait(event="boot", state="ready")["services"] == 2
    world.wait_states("services/flaky", ["starting", "running", "restarting"] * 3 + ["starting", "running"])
    again = world.wait(unit="services/flaky", state="restarting")
    assert (again["status"], again["detail"]) == (1, "status 1")
    assert world.states("services/web") == ["starting", "running"]
    assert world.console.count("services/flaky failed") == 1  # the first time only
    world.send(b"poweroff\n")
    assert world.ended() == 0
    assert world.states("services/flaky")[-1] == "stopped"


def test_a_thousand_crashes(world):
    """Nothing wears out: no descriptor, no memory, no pid file is left behind."""
    world.start(
        unit("services", "mad", "flaky", "/out/tries", "1001", more=kept(first=0, most=0)),
        unit("services", "web", "polite", "/out/gone"),
    )
    world.wait(event="boot", state="ready")
    before = world.open_files()
    world.until(lambda: size(world.out / "tries") == 1001, timeout_s=120)
    world.wait_states("services/mad", ["starting", "running"], last=True)
    assert world.open_files() <= before + 4
    assert memory_kib(world.pid) <= 4096
    assert world.states("services/web") == ["starting", "running"]
    world.send(b"poweroff\n")
    assert world.ended() == 0
    assert (world.out / "gone").exists()


@pytest.mark.parametrize(
    ("policy", "result"), [("continue", None), ("reboot", REBOOTED), ("halt", 0), ("poweroff", 0)]
)
def test_what_is_given_up(world, policy, result):
    world.start(unit("services", "bad", "fail", "no", policy=policy, more=kept(limit=3)))
    assert world.wait(unit="services/bad", state="failed")["detail"] == "no"
    assert world.states("services/bad") == ["starting", "running", "restarting"] * 2 + [
        "starting", "running", "failed",
    ]  # fmt: skip
    if result is None:
        world.send(b"poweroff\n")
    assert world.ended() == (result or 0)
    assert world.states("services/bad")[-1] == "failed"
    assert world.records[-1]["action"] == ("poweroff" if policy == "continue" else policy)


def test_restart_always_and_never(world):
    world.start(
        unit("services", "always", "note", "/out/n", more=kept("always", limit=4)),
        unit("services", "done", "exit", "0", more=kept()),
        unit("services", "never", "exit", "3", more=kept("no")),
    )
    world.wait(unit="services/always", state="exited")
    assert (world.out / "n").stat().st_size == 4
    assert world.wait(unit="services/never", state="failed")["status"] == 3
    assert world.states("services/done") == ["starting", "running", "exited"]


def test_order_there_and_back(world):
    """c after b after a; the way down is the other way round."""
    slow = [("ready", "20", "1000", "file", "/out/a-ready")]
    world.start(
        unit("services", "a", "polite", "/out/a-gone", more=slow),
        unit("services", "b", "polite", "/out/b-gone", more=[("after", "0")]),
        unit("services", "c", "polite", "/out/c-gone", more=[("after", "1"), ("requires", "1")]),
        unit("services", "free", "polite", "/out/free-gone"),
        unit("onshutdown", "000-bye", "is", "/out/b-gone"),
        unit("onshutdown", "001-last", "wait", timeout=200, more=[("after", "0")]),
        head=[("parallel", "4")],
    )
    world.wait(unit="services/free", state="running")
    world.wait(unit="services/a", state="running")
    assert not world.states("services/b")
    (world.out / "a-ready").touch()
    world.wait(event="boot", state="ready")
    order = world.order()
    assert order.index("services/a ready") < order.index("services/b starting")
    assert order.index("services/b running") < order.index("services/c starting")
    world.send(b"poweroff\n")
    assert world.ended() == 0
    down = world.order()[len(order) :]
    ends = [down.index(f"services/{name} stopped") for name in "cba"]
    assert ends == sorted(ends)
    # an onshutdown unit keeps what it needs, and finds gone what it does not
    assert "onshutdown/000-bye exited" in down
    assert down.index("services/b stopped") < down.index("onshutdown/000-bye starting")
    assert down.index("services/a stopped") > down.index("onshutdown/001-last failed")


def test_what_is_required_and_missing(world):
    world.start(
        unit("onboot", "000-bad", "exit", "1", policy="continue"),
        unit("services", "db", "exit", "2", more=[("ready", "20", "5000", "file", "/never")]),
        unit("services", "web", "wait", more=[("after", "1"), ("requires", "1")]),
        unit("services", "more", "wait", more=[("after", "2"), ("requires", "2")]),
        unit("services", "soft", "wait", more=[("after", "0", "1")]),
        unit("services", "net", "wait", more=[("after", "0"), ("requires", "0")]),
    )
    ready = world.wait(event="boot", state="ready")
    why = "a unit that it requires is not there"
    for name in ("web", "more", "net"):
        assert world.wait(unit=f"services/{name}", state="failed")["detail"] == why
        assert world.states(f"services/{name}") == ["failed"]
    world.wait(unit="services/soft", state="running")
    assert ready["failed"] >= 3
    world.send(b"poweroff\n")
    assert world.ended() == 0


@pytest.mark.parametrize(
    ("words", "probe"),
    [
        (("listen", "8080", "/out/ok"), ("tcp", "8080")),
        (("polite", "/out/gone"), ("file", "/out/ok")),
        (("polite", "/out/gone"), ("exec", "is", "/out/ok")),
        (("notify", "/run/notify/x/socket", "/out/ok"), ("notify", "/run/notify/x/socket")),
    ],
)
def test_ready_is_found_out(world, words, probe):
    world.start(
        unit("services", "x", *words, more=[ENTER, ("ready", "30", "2000", *probe)]),
        unit("services", "later", "wait", more=[("after", "0")]),
    )
    world.wait(unit="services/x", state="running")
    world.watch(0.15)  # it is probed some times
    assert world.states("services/x") == ["starting", "running"]
    assert not world.states("services/later")
    (world.out / "ok").touch()
    ready = world.wait(unit="services/x", state="ready")
    assert world.wait(event="boot", state="ready")["failed"] == 0
    assert world.wait(unit="services/later", state="running")["t"] >= ready["t"]


@pytest.mark.parametrize("enter", ["enter", "late"])
def test_never_ready(world, enter):
    """The start's limit counts until it is ready, and a probe that hangs is ended, all of it."""
    world.start(
        unit("services", "x", "deaf", grace=100, timeout=2000,
             more=[("enter", "/act", enter, ""), *kept(limit=2), ("ready", "20", "100", "exec", "deaf")]),
        unit("services", "web", "wait"),
    )  # fmt: skip
    assert world.wait(unit="services/x", state="failed")["detail"] == "took too long"
    assert world.states("services/x") == ["starting", "running", "restarting", "starting", "running", "failed"]
    world.wait_children(1)


def test_health(world):
    (world.out / "ok").touch()
    world.start(
        unit("services", "x", "polite", "/out/gone",
             more=[ENTER, *kept(), ("health", "50", "10000", "2", "0", "exec", "is", "/out/ok", "/out/asked")]),
        unit("services", "web", "wait"),
    )  # fmt: skip
    world.wait(event="boot", state="ready")
    world.until(lambda: size(world.out / "asked") > 5)
    assert world.states("services/x") == ["starting", "running"]
    (world.out / "ok").unlink()
    again = world.wait(unit="services/x", state="restarting")
    assert again["detail"] == "its health check failed"
    assert (world.out / "gone").exists()  # it was asked, not killed
    (world.out / "ok").touch()
    world.wait_states("services/x", ["starting", "running"], last=True)
    assert world.states("services/web") == ["starting", "running"]


def test_stale_state_stops_no_start(world):
    """A pid file of the time before, and cleaning that goes wrong every time."""
    units = world.root / "run/units"
    units.mkdir(parents=True)
    (units / "services-x.pid").write_text("1")
    world.start(
        unit("services", "x", "flaky", "/out/tries", "101", clean=("fail", "cannot clean"),
             more=kept(first=0, most=0)),
    )  # fmt: skip
    world.until(lambda: size(world.out / "tries") == 101, timeout_s=60)
    world.wait_states("services/x", ["starting", "running"], last=True)


def test_stopping_in_any_state(world):
    """One that rests, one that starts, one that waits for another, one whose probe hangs."""
    world.start(
        unit("services", "rests", "exit", "1", more=kept(first=60_000, most=60_000)),
        [("unit", "services", "starts"), ("pidfile", "/run/x"), ("grace", "200"), ("log", "/out/starts.log"),
         ("start",), ("exec", "/act", "deaf")],
        unit("services", "waits", "wait", more=[("after", "1")]),
        unit("services", "probed", "wait", grace=200,
             more=[ENTER, ("ready", "20", "60000", "exec", "deaf")]),
        unit("onshutdown", "000-bye", "touch", "/out/bye"),
        head=[("parallel", "4")],
    )  # fmt: skip
    world.wait(unit="services/rests", state="restarting")
    world.wait(unit="services/probed", state="running")
    world.until(lambda: "deaf" in world.said("starts") and size(world.root / "run/units/services-probed.pid.probe"))
    world.send(b"poweroff\n")
    assert world.ended() == 0
    assert (world.out / "bye").exists()
    assert world.states("services/waits") == []
    assert world.states("services/rests")[-1] == "stopped"
