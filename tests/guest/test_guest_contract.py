"""Both sides of the boot table agree: names, limits, and how they read one and the same table."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from linuxkit.base import resources
from linuxkit.build import boot, boottable, supervision
from linuxkit.build.runtimes import Runtimes
from linuxkit.build.supervision import Supervision
from support.guest_world import GUEST

LAYOUT = (GUEST / "include/layout.h").read_text()
GOLDEN = Path(__file__).parent / "golden"


def numbers() -> dict[str, int]:
    return {k: int(v) for k, v in re.findall(r"#define (MAX_\w+) (\d+)", LAYOUT)}


def strings() -> dict[str, str]:
    return dict(re.findall(r'#define (\w+) "([^"]*)"', LAYOUT))


def names(what: str) -> tuple[str, ...]:
    return tuple(re.findall(r'"([^"]+)"', re.search(rf"#define {what}_NAMES (.*)", LAYOUT)[1]))


def test_limits():
    limits = numbers()
    for name in ("MAX_TABLE_BYTES", "MAX_UNITS", "MAX_FIELDS", "MAX_STRING", "MAX_NAME", "MAX_LINK_NAME", "MAX_LINK_KIND"):
        assert getattr(boottable, name) == limits[name], name


def test_names():
    texts = strings()
    assert texts["TABLE_PATH"] == f"/{boot.PATH}"
    assert (texts["TABLE_MAGIC"], texts["TABLE_VERSION"]) == (boottable.MAGIC, boottable.VERSION)
    assert texts["UNITS_DIR"] == boot.UNITS_DIR
    assert names("SECTION") == boot.SECTIONS
    assert names("POLICY") == boot.POLICIES
    assert names("NAMESPACE") == boot.NAMESPACES
    assert names("LINK_PLACE") == boot.LINK_PLACES
    assert names("RESTART") == boot.RESTARTS
    assert names("PROBE") == boot.PROBES
    assert texts["PROBE_SUFFIX"] == boot.PROBE_SUFFIX
    assert texts["NOTIFY_DIR"] == supervision.NOTIFY_DIR


def test_records():
    rows = re.findall(r'X\(\w+, "([^"]+)", (\w+), (\d+), (\w+)\)', LAYOUT)
    limits = numbers()
    there = {
        name: (place.lower(), int(least), limits.get(most) or int(most))
        for name, place, least, most in rows
    }
    assert there == boottable.RECORDS


def test_the_report_is_described():
    from linuxkit.runners import report

    assert strings()["REPORT_PORT"] == report.PORT
    assert numbers()["MAX_REPORT_LINE"] == report.MAX_LINE


def container(section, name, *, readonly=False, runtime=None, args=("/x",), after=(), requires=(), **kept):
    base = f"containers/{section}/{name}"
    if readonly:
        own = [{"destination": f"/{base}/rootfs", "type": "", "source": f"/{base}/rootfs", "options": ["bind"]}]
    else:
        data = [f"lowerdir=/{base}/lower", f"upperdir=/{base}/tmp/upper", f"workdir=/{base}/tmp/work"]
        own = [
            {"destination": f"/{base}/tmp", "type": "tmpfs", "source": "tmpfs", "options": []},
            {"destination": f"/{base}/tmp", "type": "", "source": "", "options": ["remount", "private"]},
            {"destination": f"/{base}/rootfs", "type": "overlay", "source": "overlay", "options": data},
        ]
    rest = dict(runtime or {})
    mounts = [*own, *rest.pop("mounts", [])]
    return boot.Unit(section, name, base, {"process": {"args": list(args)}}, {"mounts": mounts, **rest}, Supervision(**kept), after, requires)


CASES = {
    "empty": {"units": []},
    "minimal": {
        "units": [
            container("onboot", "000-sysctl", readonly=True),
            container("onboot", "001-dhcpcd", policy="stop"),
            container("services", "getty"),
            container("onshutdown", "000-poweroff", timeout=60_000),
        ]
    },
    "everything": {
        "units": [
            container("onshutdown", "000-bye", policy="reboot", after=[("services", "web")]),
            container(
                "services", "db", policy="halt", restart="always", back_off=(10, 1000, 0, 60_000),
                ready=("1000", "500", "notify", "/run/notify/db/socket"),
                health=("30000", "10000", "3", "0", "exec", "/bin/check", "-q"),
            ),
            container(
                "services", "web", policy="poweroff", stop_signal=2, grace=500,
                restart="on-failure", back_off=(1000, 30_000, 10, 60_000),
                after=[("services", "db")], requires=[("services", "db")],
                ready=("1000", "500", "tcp", "80"), health=("10", "10", "1", "500", "file", "/ok"),
                runtime={
                    "cgroups": ["system/web", "/x"],
                    "mkdir": ["var/data", "/var/lib/web"],
                    "bindNS": {"net": "/run/netns/web", "uts": "run/uts", "pid": ""},
                    "interfaces": [
                        {"name": "eth1", "createInRoot": False},
                        {"name": "wg0", "add": "wireguard", "createInRoot": True},
                        {"name": "in0", "add": "dummy", "createInRoot": False},
                        {"name": "veth0", "peer": "web0", "createInRoot": False},
                    ],
                    "mounts": [
                        {"destination": "/var/lib/web", "type": "", "source": "/var/x", "options": ["rbind", "ro", "rshared"]},
                        {"destination": "inside", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "nosuid", "mode=700"]},
                    ],
                },
            ),
        ],
        "runtimes": Runtimes("/usr/bin/runc"),
        "watchdog": boot.Watchdog(),
        "volumes": [boot.Volume("data"), boot.Volume("fixed", readonly=True)],
    },
    "odd": {"units": [container("services", "web", runtime={"mkdir": ['/a "b"\\c', "/é\n"]})]},
}  # fmt: skip


def table(name: str) -> bytes:
    return boot.compile_table(**{"runtimes": Runtimes("/usr/bin/crun"), **CASES[name]})


@pytest.mark.parametrize("name", CASES)
def test_golden_tables(name, request):
    found = boot.dump(table(name))
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--accept"):
        path.write_text(found)
    assert found == path.read_text()


def test_both_read_the_same(link, tmp_path):
    dump = link("dump")
    for name in CASES:
        path = tmp_path / name
        path.write_bytes(table(name))
        done = subprocess.run([dump, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == boot.dump(table(name))
    path.write_bytes(b"nonsense\0")
    done = subprocess.run([dump, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "refused: it is no boot table\n")


def test_budgets():
    """Small enough to be read in an afternoon."""
    files = [*GUEST.glob("include/*.h"), *GUEST.glob("init/*.[ch]")]
    code = 0
    for path in files:
        text = path.read_text()
        assert text.count("\n") <= 450, path.name
        assert max(map(len, text.expandtabs(8).splitlines())) <= 110, path.name
        stripped = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        code += sum(1 for line in stripped.splitlines() if line.strip())
    assert code <= 4_800


def test_only_sys_calls_the_system():
    """The seam is whole: nothing else includes a header that has system calls in it."""
    allowed = {"errno.h", "fcntl.h", "signal.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "string.h",
               "linux/rtnetlink.h", "linux/veth.h", "sys/mount.h", "sys/reboot.h", "sys/epoll.h", "sys/types.h"}  # fmt: skip
    calls = r"(?<![\w.])(mount|umount2?|open|close|read|write|fork|kill|reboot|mkdir|execve|printf|malloc)\("
    for path in GUEST.glob("init/*.[ch]"):
        if path.name in {"sys.c", "sys_socket.c"}:
            continue
        text = re.sub(r'/\*.*?\*/|"[^"\n]*"', "", path.read_text(), flags=re.DOTALL)
        assert set(re.findall(r"#include <([^>]+)>", text)) <= allowed, path.name
        assert not re.search(calls, text), (path.name, re.search(calls, text))


def test_size_and_reproducibility(build_guest, init, tmp_path, monkeypatch):
    """Not larger than promised, and the same bytes from another folder."""
    import shutil

    assert init.stat().st_size <= 150 * 1024
    copy = tmp_path / "elsewhere" / "guest"
    shutil.copytree(GUEST, copy, ignore=shutil.ignore_patterns("build"))
    monkeypatch.setattr(build_guest, "GUEST", copy)
    build_guest.compile_for(init.parent.name, tmp_path / "init")
    assert (tmp_path / "init").read_bytes() == init.read_bytes()
    assert resources.guest(init.parent.name, "init") == init
