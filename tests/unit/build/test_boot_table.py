"""What is compiled into the boot table, and what is refused."""

from __future__ import annotations

import re

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import boot, boottable, mountflags
from linuxkit.build.boot import Unit, Volume, Watchdog, compile_table, dump
from linuxkit.build.runtimes import Daemon, Runtimes, named
from linuxkit.build.supervision import Supervision, notifying, supervision
from linuxkit.spec.load import parse

RDONLY, REMOUNT, BIND, REC = 1, 32, 4096, 16384
PRIVATE, SHARED = 1 << 18, 1 << 20


def unit(section="services", name="web", *, kept=None, args=("/x",), after=(), requires=(), **runtime):
    config = {"process": {"args": list(args)}}
    bundle = f"containers/{section}/{name}"
    return Unit(section, name, bundle, config, runtime, kept or Supervision(), after, requires)


CRUN = Runtimes("/usr/bin/crun")


def table(*units, runtimes=CRUN, volumes=()):
    return dump(compile_table(units, runtimes=runtimes, volumes=volumes))


def codes(*units, volumes=(), runtimes=CRUN):
    with pytest.raises(Error) as caught:
        compile_table(units, runtimes=runtimes, volumes=volumes)
    return [error.code for error in caught.value.all()]


@pytest.mark.parametrize(
    ("options", "kind", "wanted"),
    [
        ([], "tmpfs", [("s", "/t", "tmpfs", 0, "")]),
        (["size=1m", "nosuid", "mode=755"], "tmpfs", [("s", "/t", "tmpfs", 2, "size=1m,mode=755")]),
        (["ro", "rw"], "ext4", [("s", "/t", "ext4", 0, "")]),
        (["rw", "ro", "defaults", ""], "ext4", [("s", "/t", "ext4", RDONLY, "")]),
        (["bind"], "", [("s", "/t", "", BIND, "")]),
        (["rbind"], "bind", [("s", "/t", "", BIND | REC, "")]),
        (
            ["bind", "ro", "nodev"], "",
            [("s", "/t", "", BIND, ""), ("", "/t", "", REMOUNT | BIND | RDONLY | 4, "")],
        ),
        (
            ["rbind", "rshared"], "",
            [("s", "/t", "", BIND | REC, ""), ("", "/t", "", SHARED | REC, "")],
        ),
        (["remount", "private"], "", [("", "/t", "", PRIVATE, "")]),
        (["remount", "ro"], "", [("s", "/t", "", REMOUNT | RDONLY, "")]),
        (["remount", "bind", "ro"], "", [("s", "/t", "", REMOUNT | RDONLY | BIND, "")]),
        (["private", "size=1m"], "tmpfs", [("s", "/t", "tmpfs", 0, "size=1m"), ("", "/t", "", PRIVATE, "")]),
    ],
)  # fmt: skip
def test_mount_options(options, kind, wanted):
    assert [tuple(c) for c in mountflags.calls("s", "/t", kind, options)] == wanted


def test_every_section_in_its_order():
    text = table(
        unit("services", "b"), unit("onshutdown", "000-x"), unit("onboot", "001-y"),
        unit("services", "a"), unit("onboot", "000-z"), volumes=[Volume("v")],
    )  # fmt: skip
    found = [line.split() for line in text.splitlines() if line.startswith("unit")]
    assert [f"{s}/{n}".replace('"', "") for _, s, n in found] == [
        "volumes/v", "onboot/001-y", "onboot/000-z", "services/b", "services/a",
        "onshutdown/000-x",
    ]  # fmt: skip


def test_the_runtime_is_told_what_it_understands():
    assert '"/usr/bin/crun" "--cgroup-manager=cgroupfs" "run" "--detach"' in table(unit())
    text = table(unit(), runtimes=Runtimes("/usr/bin/runc"))
    assert '"/usr/bin/runc" "run" "--detach"' in text
    assert "cgroup-manager" not in text


def test_namespaces_are_kept_between_create_and_start():
    text = table(unit(bindNS={"net": "/run/netns/x", "mnt": ""}))
    steps = [line.split()[0] + (line.split()[3] if "exec" in line else "")
             for line in text.splitlines() if line.startswith("    ")]  # fmt: skip
    assert steps == ['exec"create"', "bind-ns", 'exec"start"', 'exec"delete"']


def test_interfaces_come_between_create_and_start():
    links = [
        {"name": "eth1", "createInRoot": False},
        {"name": "eth2", "createInRoot": True},  # it is there, so it moves in any case
        {"name": "in0", "add": "dummy", "createInRoot": False},
        {"name": "wg0", "add": "wireguard", "createInRoot": True},
        {"name": "a", "peer": "b", "createInRoot": False},
        {"name": "c", "add": "dummy", "peer": "of-no-use", "createInRoot": False},
    ]
    text = table(unit(interfaces=links, bindNS={"net": "/run/netns/x"}))
    steps = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert [step for step in steps if "exec" not in step] == [
        'bind-ns "net" "/run/netns/x"', 'link "eth1" "" "" "container"', 'link "eth2" "" "" "root"',
        'link "in0" "dummy" "" "container"', 'link "wg0" "wireguard" "" "root"', 'link "a" "veth" "b" "root"',
        'link "c" "dummy" "" "container"',
    ]  # fmt: skip
    assert '"create"' in steps[0]
    assert '"start"' in steps[-2]


@pytest.mark.parametrize(
    "link",
    [{"name": "x" * 16}, {"name": "a/b"}, {"name": "a b"}, {"name": "a", "peer": "y" * 16}, {"name": "a", "add": "z" * 32}],
)
def test_names_that_linux_does_not_take(link):
    assert codes(unit(interfaces=[link])) == ["LK0722"]


CONTAINERD = (
    {"org.linuxkit.runtime": "/usr/bin/runc"},
    {"org.linuxkit.runtime.services": "/bin/ctr-runtime", "org.linuxkit.runtime.daemon": "/bin/containerd"},
)


def test_services_may_have_a_runtime_and_a_daemon_of_their_own():
    web = unit(after=(("services", "db"),), bindNS={"net": "/run/netns/x"})
    boots, ends = unit("onboot", "000-a"), unit("onshutdown", "000-z", after=(("services", "web"),))
    text = table(ends, unit(name="db"), web, boots, volumes=[Volume("v")], runtimes=named(CONTAINERD))
    units = dict(zip(re.findall(r'^unit "\w+" "([^"]+)"', text, re.MULTILINE), text.split("\nunit ")[1:], strict=True))
    runtime = '"/bin/ctr-runtime" "--runtime" "/usr/bin/runc"'
    assert list(units) == ["v", "000-a", "containerd", "db", "web", "000-z"]
    assert re.findall(r"after.*|exec.*|pidfile|restart.*", units["containerd"]) == [
        'restart "on-failure"', f'exec {runtime} "daemon" "stdout" "stderr" "/bin/containerd"',
    ]  # fmt: skip
    assert re.findall("after.*", units["db"]) == ['after "2"']
    assert re.findall("after.*", units["web"]) == ['after "2" "3"']
    assert re.findall("after.*", units["000-z"]) == ['after "4"']
    steps = [line.strip().split(" --pid")[0] for line in units["web"].splitlines() if line.startswith("    ")]
    assert [step.split(' "--pid')[0] for step in steps] == [
        f'exec {runtime} "run" "--detach"', 'bind-ns "net" "/run/netns/x"',
        f'exec {runtime} "delete" "--force" "web"',
    ]  # fmt: skip
    assert f'enter {runtime} "exec"' in units["web"]
    assert codes(unit(interfaces=[{"name": "eth1"}]), runtimes=named(CONTAINERD)) == ["LK0722"]
    assert "link" in table(unit("onboot", "000-a", interfaces=[{"name": "eth1"}]), runtimes=named(CONTAINERD))
    for name in ("000-a", "000-z"):
        assert 'exec "/usr/bin/runc" "run"' in units[name]


def test_what_only_containerd_knows():
    apart = unit(namespace="mine")
    text = table(apart, runtimes=named(CONTAINERD))
    assert text.count('"--runtime" "/usr/bin/runc" "--namespace" "mine"') == 3  # run, exec, delete
    assert table(apart) == table(unit())
    alone = Runtimes("/usr/bin/runc", daemons=(Daemon("d", ("/bin/d", "-x")),))
    assert 'exec "/bin/d" "-x"' in table(unit(), runtimes=alone)


def test_without_services_there_is_no_daemon():
    text = table(unit("onboot", "000-a"), runtimes=named(CONTAINERD))
    assert "containerd" not in text
    assert codes(unit(name="containerd"), runtimes=named(CONTAINERD)) == ["LK0728"]
    assert codes(unit(name="containerd", args=())) == ["LK0726"]


def entry(section, keys=""):
    """The one entry of a section, with keys in flow style."""
    return getattr(parse(f"{section}: [{{name: web, image: a/b{keys and ', '}{keys}}}]"), section)[0]


@pytest.mark.parametrize(
    ("section", "keys", "wanted"),
    [
        ("onboot", "", "stop"), ("onboot", "onFailure: continue", "continue"),
        ("onboot", "onFailure: reboot", "reboot"), ("onshutdown", "", "continue"),
        ("onshutdown", "onFailure: stop", "continue"), ("onshutdown", "onFailure: reboot", "reboot"),
        ("services", "", "continue"), ("services", "critical: false", "continue"),
        ("services", "critical: true", "reboot"), ("services", "critical: halt", "halt"),
    ],
)  # fmt: skip
def test_policies(section, keys, wanted):
    assert supervision(section, entry(section, keys)).policy == wanted


@pytest.mark.parametrize(
    ("section", "keys", "wanted"),
    [
        ("services", "", {"restart": "on-failure", "back_off": (1000, 30000, 10, 60000),
                          "timeout": 120_000, "stop_signal": 15, "grace": 10_000}),
        ("services", "restart: no", {"restart": "no"}),
        ("services", "restart: always, backoff: {first: 2m, limit: 0}",
         {"restart": "always", "back_off": (120_000, 120_000, 0, 60_000)}),
        ("services", "stop: {signal: int, grace: 1m30s}", {"stop_signal": 2, "grace": 90_000}),
        ("services", "ready: {tcp: 80, timeout: 5s}",
         {"ready": ("1000", "10000", "tcp", "80"), "timeout": 5000}),
        ("services", "ready: {exec: [/bin/x, -y], interval: 500ms}",
         {"ready": ("500", "10000", "exec", "/bin/x", "-y"), "timeout": 120_000}),
        ("services", "ready: {notify: true}",
         {"ready": ("1000", "10000", "notify", "/run/notify/web/socket")}),
        ("services", "health: {file: /run/ok, retries: 5, startPeriod: 10s}",
         {"health": ("30000", "10000", "5", "10000", "file", "/run/ok")}),
        ("onboot", "", {"timeout": 0, "restart": "no"}),
        ("onboot", "timeout: 1h, stop: {signal: '9'}", {"timeout": 3_600_000, "stop_signal": 9}),
        ("onshutdown", "", {"timeout": 60_000}),
    ],
)  # fmt: skip
def test_how_units_are_kept(section, keys, wanted):
    assert wanted.items() <= supervision(section, entry(section, keys))._asdict().items()


def test_a_service_that_tells_gets_a_socket():
    quiet, telling = entry("services"), entry("services", "ready: {notify: true}, env: [A=b]")
    assert notifying(quiet, quiet, ()) is quiet
    made = notifying(telling, telling, ("PATH=/x",))
    assert made.env == ("A=b", "NOTIFY_SOCKET=/dev/notify/socket")
    (bind,) = made.binds
    assert bind[:2] == ("/run/notify/web", "/dev/notify")
    assert set(bind.options) == {"ro", "rprivate", "nosuid", "nodev", "noexec"}
    bare = entry("services", "ready: {notify: true}")
    assert notifying(bare, bare, ("PATH=/x",)).env == ("PATH=/x", "NOTIFY_SOCKET=/dev/notify/socket")


def test_what_comes_before_is_a_number_in_the_table():
    text = table(
        unit("onshutdown", "000-bye", after=(("services", "db"),)),
        unit("onboot", "000-net"), unit("services", "db"),
        unit("services", "web", kept=Supervision(restart="always", back_off=(1, 2, 3, 4)),
             after=(("onboot", "000-net"), ("services", "db")), requires=(("services", "db"),)),
        volumes=[Volume("v")],
    )  # fmt: skip
    web = text[text.index('"services" "web"'):]
    assert '  after "1" "2"\n  requires "2"\n' in web
    assert '  restart "always"\n  back-off "1" "2" "3" "4"\n' in web
    assert '  after "2"\n' in web[web.index('"onshutdown"'):]


def test_a_watchdog():
    made = dump(compile_table([], runtimes=Runtimes("/r"), watchdog=Watchdog("/dev/watchdog1", 5000)))
    assert 'watchdog "/dev/watchdog1" "5000"\n' in made


def test_places_of_mounts():
    mounts = [
        {"destination": "data", "type": "tmpfs", "source": "tmpfs", "options": []},
        {"destination": "/var/lib/x", "type": "tmpfs", "source": "tmpfs", "options": None},
    ]
    text = table(unit(mounts=mounts, mkdir=["a/../b"], cgroups=["x/y"]))
    assert 'mkdir "/containers/services/web/rootfs/data"' in text
    assert 'mkdir "/containers/services/web/rootfs/b"' in text
    assert 'mkdir "/sys/fs/cgroup/x/y"' in text
    # what the container mounted for others stays; its own goes with it
    assert 'umount "/containers/services/web/rootfs/data"' in text
    assert 'umount "/var/lib/x"' not in text
    assert '    mount "tmpfs" "/containers/services/web/rootfs/data"' in text
    assert '    mount-once "tmpfs" "/var/lib/x"' in text


def test_everything_wrong_is_told_at_once():
    assert codes(
        unit(name="../up"),
        unit(name="ok", interfaces=[{"name": "eth/0"}], args=()),
        volumes=[Volume("a b")],
    ) == ["LK0720", "LK0726", "LK0722", "LK0720"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "é", "x" * 129, "a\n"])
def test_names_that_are_none(name):
    assert codes(unit(name=name)) == ["LK0720"]


def test_limits():
    many = [unit(name=f"n{i}") for i in range(513)]
    assert codes(*many) == ["LK0724"]
    assert 'log-ring "4096"' in table(*many[:512])
    assert codes(unit(mkdir=["/" + "x" * 4095])) == ["LK0723"]
    assert codes(unit(mkdir=["/a\0b"])) == ["LK0723"]
    long = [unit(name=f"n{i}", mkdir=["/" + "x" * 4000] * 10) for i in range(40)]
    assert codes(*long) == ["LK0724"]
    terminal = Unit("services", "t", "b", {"process": {"args": ["x"], "terminal": True}}, {})
    assert codes(terminal) == ["LK0722"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: b"", lambda t: t[:-1], lambda t: t + b"x\0", lambda t: t.replace(b"0 end\0", b""),
        lambda t: t.replace(b"\x001\0", b"\x002\0", 1), lambda t: t.replace(b"2 unit", b"1 unit"),
        lambda t: t.replace(b"0 start", b"0 begin"), lambda t: t.replace(b"0 start", b"start"),
        lambda t: t.replace(b"2 unit", b"9999999 unit"),
    ],
)  # fmt: skip
def test_damaged_tables_are_refused(damage):
    good = compile_table([unit()], runtimes=CRUN)
    with pytest.raises(Error) as caught:
        boot.dump(damage(good))
    assert caught.value.code == "LK0725"


def test_too_many_words():
    with pytest.raises(Error) as caught:
        boottable.encode([("exec", *["x"] * 65)])
    assert caught.value.code == "LK0723"


def test_what_is_run_in_a_confined_container_is_confined_too():
    text = table(unit("services", "web")._replace(confine=("/confine", "/record")))
    assert ' "exec" "--pid-file" "" "web" "/confine" "/record"\n' in text
