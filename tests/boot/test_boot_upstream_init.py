"""An init that knows upstream's layout only, and not our boot table, boots what we build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import linuxkit
from linuxkit.runners.options import Forward
from linuxkit.tree import cpio
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import image
from support.machines import fetch_page, free_port

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PARTS = ROOT / "tests" / "support" / "upstream_init"
INIT = "registry.invalid/test/upstream-init:1"
SEED = "registry.invalid/test/seed:1"
BOOT_S = 420


@pytest.fixture(scope="module")
def images(workshop):
    """The init's image beside those that systems take from the stock packages; a volume's image."""
    store = linuxkit.open_store(workshop.cache)
    script = Bytes((PARTS / "init").read_bytes())
    image(
        store,
        INIT,
        {
            "init": Entry("init", Kind.FILE, 0o755, content=script),
            "sbin/": "",
            "sbin/modprobe": "-> ../usr/bin/busybox",  # the kernel asks for modules there
            "usr/lib/flatten.awk": (PARTS / "flatten.awk").read_bytes(),
            **dict.fromkeys(("mnt/", "run/", "tmp/", "var/"), ""),
        },
    )
    image(store, SEED, {"seed": "from the image\n"})


def head(runtime: str) -> str:
    return f"""\
kernel:
  image: "@pkg:kernel"
  cmdline: "console=ttyS0 quiet panic=-1"
init: ["{INIT}", "@pkg:busybox", "@pkg:{runtime}"]
"""


def step(name: str, script: str, **extra: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in extra.items())
    command = f"[/bin/sh, -c, {json.dumps(script)}]"
    return f'  - {{name: {name}, image: "@pkg:busybox", command: {command}{more}}}\n'


def paths(artifact) -> set[str]:
    """What the initramfs holds; it has to be uncompressed."""
    with artifact.path("initrd").open("rb") as file:
        return {entry.path for entry in cpio.read(file.fileno())}


def ended(machine, section: str) -> list[tuple[str, int | None]]:
    """The containers of a section that ended, in the order in which they did."""
    return [
        (r.name.split("-", 1)[1], r.status) for r in machine.records
        if r.event == "unit" and r.name.startswith(f"{section}/") and r.state == "exited"
    ]  # fmt: skip


VOLUMES = f"""\
volumes:
  - {{name: blank}}
  - {{name: seeded, image: "{SEED}"}}
  - {{name: fixed, image: "{SEED}", readonly: true}}
"""


def test_the_layout_is_enough(images, workshop, boot):
    yml = (
        head("crun")
        + "profile: compat\n"
        + VOLUMES
        + "onboot:\n"
        + step("first", "touch /probe && echo 1 >> /blank/order", binds="['blank:/blank']")
        + step("second", "test ! -e /probe && test $(cat /b/order) = 1", binds="['blank:/b']")
        + step("read-only", "! touch /probe", readonly="true")
        + step("shares", "cd /host/containers/onboot && test -d 000-first/lower -a ! -e 001-second/lower && ls", binds="['/:/host']")
        + step("volume", "grep image /v/seed && echo more > /v/seed", binds="['seeded:/v']")
        + step("kept", "grep more /v/seed && test -e /host/containers/volumes/seeded/tmp/upper/seed", binds="['seeded:/v', '/:/host']")
        + step("fixed", "grep image /v/seed && ! touch /v/seed", binds="['fixed:/v:ro']")
        + step("mounted", "touch /m/file", mounts="[{type: bind, source: blank, destination: /m, options: [rbind]}]")
        + step("made", "grep ' /made/tmp tmpfs' /proc/mounts && test -d /host/var/lib/made",
               binds="['/:/host']",
               runtime="{mkdir: [/var/lib/made, made/here], mounts: [{type: tmpfs, source: tmpfs, destination: made/tmp, options: [size=1m]}]}")
        + step("escaped", "test '<&>' = \"$WORD\"", env="['WORD=<&>']")
        + step("no-privileges", "grep -q 'CapEff:.0000000000000000' /proc/self/status && test $$ = 1")
        + step("fails", "echo why it failed; exit 7")
        + step("file", "grep here /host/etc/marker", binds="['/:/host']")
        + "services:\n"
        + step("stays", "echo lives > /blank/service; while :; do sleep 0.1; done", binds="['blank:/blank']")
        + "onshutdown:\n"
        + step("last", "grep lives /blank/service", binds="['blank:/blank']")
        + "files:\n  - {path: etc/marker, contents: here, mode: '0644'}\n"
    )  # fmt: skip
    artifact = workshop.build(yml, compression="none")
    assert "etc/linuxkit/boot.table" not in paths(artifact)
    machine = boot(artifact, memory_mib=512)
    machine.wait_ready(timeout_s=BOOT_S)
    names = ["first", "second", "read-only", "shares", "volume", "kept", "fixed", "mounted", "made",
             "escaped", "no-privileges", "fails", "file"]  # fmt: skip
    assert ended(machine, "onboot") == [(name, 7 if name == "fails" else 0) for name in names]
    machine.poweroff()
    result = machine.wait(60)
    assert b"why it failed" in machine.console
    assert result.power == "poweroff"
    assert ended(machine, "onshutdown") == [("last", 0)]
    assert result.failed == ("onboot/011-fails",)


# Under this init a strict nginx cannot open /dev/stdout: docs/explanation/sandbox.md, "What it does not do".
WEB = f"""\
profile: compat
kernel: {{image: "@pkg:kernel", cmdline: "console=ttyS0"}}
init: ["{INIT}", "@pkg:busybox", "@pkg:runc"]
onboot:
  - {{name: sysctl, image: "@pkg:sysctl"}}
  - name: dhcpcd
    image: "@pkg:dhcpcd"
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - {{name: nginx, image: "@pkg:nginx", binds: ["/etc/web:/usr/share/nginx/html:ro"]}}
files:
  - {{path: etc/web/index.html, contents: "It works", mode: "0644"}}
"""


def test_a_web_server_with_runc(images, workshop, boot):
    artifact = workshop.build(WEB, compression="none")
    assert "etc/linuxkit/boot.table" not in paths(artifact)
    port = free_port()
    machine = boot(artifact, memory_mib=512, forwards=(Forward(port, 80),))
    machine.wait_unit("services/nginx", timeout_s=BOOT_S)
    assert ended(machine, "onboot") == [("sysctl", 0), ("dhcpcd", 0)]
    assert b"It works" in fetch_page(f"http://127.0.0.1:{port}/", BOOT_S)
    machine.poweroff()
    result = machine.wait(60)
    assert (result.status, result.power) == (0, "poweroff"), result
