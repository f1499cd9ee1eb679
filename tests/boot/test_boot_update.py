"""A machine that takes updates from a registry: the good one stays, the broken one is given up, and
wherever the power is cut it starts again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from linuxkit.cli.main import main
from linuxkit.disk import update
from support import bootloader, registry, writelog
from support.machines import HEAD
from support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1800)]

CUTS = 50
SEED = 20260
BOOT_S = 600
MIB = 1 << 20
SYSTEM = HEAD.replace("panic=-1", "panic=-1 linuxkit.version={version}") + """\
onboot:
  - name: dhcpcd
    image: "@pkg:dhcpcd"
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: update
    image: "@pkg:update"
    command: ["/usr/bin/update", "watch", "http://10.0.2.2:{port}/node:stable", "5"]
    env: [PATH=/usr/bin:/usr/sbin, UPDATE_TRIES=2, UPDATE_LIMIT={limit}, UPDATE_SETTLE=3]
{more}files:
  - {{path: etc/linuxkit/update.pub, contents: {key}}}
  - {{path: etc/version, contents: "{version}"}}
"""
BROKEN = """\
  - name: broken
    image: "@pkg:busybox"
    command: [/bin/false]
"""


def until(machine, text: str, timeout_s: float = BOOT_S) -> None:
    """Wait until the console has said ``text``."""
    deadline = time.monotonic() + timeout_s
    while text.encode() not in machine.console:
        assert not machine.ended, f"the machine ended before: {text}"
        assert time.monotonic() < deadline, f"not said in time: {text}"
        time.sleep(0.3)


class World:
    """A registry, keys, three versions, and the machine that had the first."""

    def __init__(self, workshop, hub, folder, monkeypatch) -> None:
        self.folder, self.workshop, self.target = folder, workshop, f"{hub.host}/node:stable"
        monkeypatch.setenv("LINUXKIT_CACHE", str(workshop.cache))
        for name in ("key", "foreign"):
            assert main(["sign", "--generate-key", str(folder / name)]) == 0
        self.blobs = hub.folder / "data/docker/registry/v2/blobs/sha256"
        self.port = hub.host.rpartition(":")[2]

    def text(self, version: int, more: str = "", limit: int = 200) -> str:
        key = json.dumps((self.folder / "key.pub").read_text())
        return SYSTEM.format(version=version, port=self.port, key=key, more=more, limit=limit)

    def publish(self, version: int, more: str = "", limit: int = 200, key: str = "key") -> bytes:
        artifact = self.workshop.build(self.text(version, more, limit), form="uki", name=f"v{version}")
        folder = str(self.folder / f"v{version}-{key}.update")
        file = artifact.path("uki")
        assert main(["update", "create", str(file), "--key", str(self.folder / key), "-o", folder]) == 0
        assert main(["update", "push", folder, self.target, "--override"]) == 0
        return file.read_bytes()

    @contextlib.contextmanager
    def damaged(self, new: bytes, old: bytes) -> Iterator[None]:
        """For as long, the registry has something else where it has a chunk of ``new`` alone."""
        shared = set(update.cut(io.BytesIO(old), len(old)))
        chunk = next(data for data in update.cut(io.BytesIO(new), len(new)) if data not in shared)
        found = hashlib.sha256(chunk).hexdigest()
        path = self.blobs / found[:2] / found / "data"
        assert path.read_bytes() == chunk
        path.write_bytes(bytes(len(chunk)))
        try:
            yield
        finally:
            path.write_bytes(chunk)


@pytest.fixture(scope="module")
def history(workshop, tmp_path_factory):
    """What happened to a machine: the versions, its first disk, and all that was written to it."""
    for program in ("qemu-system-x86_64", "docker-registry", "mdir", "fsck.fat", "sfdisk"):
        need(program)
    folder = tmp_path_factory.mktemp("update")
    with registry.running(folder / "hub") as hub, pytest.MonkeyPatch.context() as patch:
        world = World(workshop, hub, folder, patch)
        artifact = workshop.build(world.text(1), form="raw-ab", name="node")
        disk = artifact.path("disk")
        before = folder / "before.img"
        shutil.copy(disk, before)
        versions = {1: workshop.build(world.text(1), form="uki", name="v1").path("uki").read_bytes()}
        world.publish(2, key="foreign")
        program = writelog.recorder(folder, folder / "log")
        with workshop.boot(artifact, reboot=True, program=program, memory_mib=384) as machine:
            try:
                until(machine, "is not signed with the key of this system")
                versions[2] = world.publish(2)
                with world.damaged(versions[2], versions[1]):
                    until(machine, "did not come as it was signed")
                until(machine, "update: version 2 will start next")
                until(machine, "update: version 2 is good")
                world.publish(1)
                until(machine, "update: version 1 is older than 2")
                versions[3] = world.publish(3, BROKEN, limit=8)
                until(machine, "update: version 3 will start next")
                until(machine, "update: version 3 has failed on this machine", 3 * BOOT_S)
                machine.poweroff()
                machine.wait(120)
            finally:
                said = machine.console.decode(errors="replace")
                print(said)  # noqa: T201 - for a failure's report
    # By now the registry has gone.
    shutil.move(disk, folder / "after.img")
    return folder, artifact, versions, said


def offset_of(disk) -> int:
    done = subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True)
    return json.loads(done.stdout)["partitiontable"]["partitions"][0]["start"] * writelog.SECTOR


def number_of(entry, versions) -> int:
    """Which version an entry is, byte for byte."""
    return next((n for n, data in versions.items() if data == entry.data), 0)


def test_the_good_stays_and_the_broken_goes(history, tmp_path):
    folder, _, versions, said = history
    assert said.count("update: this version is not well") == 2
    fetched = re.search(r"version 2 will start next; fetched (\d+) chunks, (\d+) bytes of (\d+)", said)
    assert int(fetched[2]) * 10 < int(fetched[3]) == len(versions[2])
    after = folder / "after.img"
    found = bootloader.entries(after, offset_of(after), tmp_path)
    assert [(e.version, e.left) for e in found] == [((2,), None), ((3,), 0)]
    assert [number_of(e, versions) for e in found] == [2, 3]


def test_wherever_the_power_is_cut_a_whole_version_starts(history, tmp_path):
    folder, _, versions, _ = history
    before = folder / "before.img"
    offset = offset_of(before)
    work = folder / "work.img"
    shutil.copy(before, work)
    writes = list(writelog.read(folder / "log"))
    draw = random.Random(SEED)
    moments = set(draw.sample(range(len(writes)), CUTS))
    disk, seen, cut = writelog.Disk(work), [], tmp_path / "cut.img"
    worst = 0
    for number, write in enumerate(writes):
        if number in moments:
            disk.cut(cut, draw)
            found = bootloader.entries(cut, offset, tmp_path)
            started = [number_of(entry, versions) for entry in found]
            assert started, f"nothing starts after write {number} of {len(writes)}"
            assert all(started), f"write {number}: {[e[:3] for e in found]} is not whole"
            # Whatever comes of one on trial, a version that was good is behind it.
            good = [n for n, e in zip(started, found, strict=True) if e.left is None]
            assert set(good) & {1, 2}, (number, found)
            seen.append(started[0])
            if len(disk.open) > worst:
                worst = len(disk.open)
                shutil.copy(cut, folder / "worst.img")
        disk.take(write)
    disk.close()
    assert {1, 2} <= set(seen)


def test_a_machine_with_such_a_disk_starts_and_mends_it(history, boot, tmp_path):
    folder, artifact, *_ = history
    shutil.copy(folder / "worst.img", tmp_path / artifact.files[0].name)
    machine = boot(artifact._replace(directory=tmp_path))
    machine.wait_ready(timeout_s=BOOT_S)
    until(machine, "update: there is no update at")  # the registry has gone
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"
    disk = tmp_path / artifact.files[0].name
    with disk.open("rb") as source, (tmp_path / "esp").open("wb") as out:
        source.seek(offset_of(disk))
        shutil.copyfileobj(source, out)
    done = subprocess.run(["fsck.fat", "-n", tmp_path / "esp"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    listed = subprocess.run(["mdir", "-b", "-i", tmp_path / "esp", "::"], capture_output=True, check=True)
    assert b"FSCK" not in listed.stdout.upper()  # nor is room lost
