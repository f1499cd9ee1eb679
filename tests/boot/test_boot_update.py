"""A machine with Secure Boot that takes updates over TLS: the good one stays, the broken one is given
up, what is sealed to its TPM stays, and wherever the power is cut it starts again.
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
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from linuxkit import runners
from linuxkit.base.errors import Error
from linuxkit.cli.main import main
from linuxkit.disk import authenticode, certificates, measure, update
from support import bootloader, efi, registry, writelog
from support.machines import HEAD
from support.proofs import BOOTED, UEFI
from support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.build.artifact import Artifact

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(3000)]

PROGRAMS = "qemu-system-x86_64", "swtpm", "docker-registry", "mdir", "fsck.fat", "sfdisk", "mke2fs"
PCRS = 7, 9, 11, 12  # 4 has the boot loader before each version
CUTS = 50
SEED = 20260
BOOT_S = 900
MIB = 1 << 20
SYSTEM = (
    HEAD.replace("panic=-1", "panic=-1 linuxkit.version={version}").replace(
        "@pkg:kernel", "@pkg:kernel-hardened"
    )
    + """\
onboot:
  - name: state
    image: "@pkg:state"
    command: [/usr/bin/state, /var/lib/state]
  - name: diary
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "cd /host/var/lib/state && echo {version} >>diary && sync && echo diary: $(cat diary) end &&
      for n in {pcrs}; do echo pcr $n: $(cat /host/sys/class/tpm/tpm0/pcr-sha256/$n); done"]
    binds: ["/:/host"]
  - name: mount
    image: "@pkg:mount"
    command: [/usr/bin/mountie, -label, updates, /var/updates]
  - name: dhcpcd
    image: "@pkg:dhcpcd"
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: update
    image: "@pkg:update"
    command: ["/usr/bin/update", "watch", "https://{registry}:{port}/node:stable", "36000"]
    env: [PATH=/usr/bin:/usr/sbin, UPDATE_TRIES=2, UPDATE_LIMIT={limit}, UPDATE_SETTLE=3]
    binds.add: ["/etc/hosts:/etc/hosts:ro", "/var/updates:/mnt:ro"]
  - name: hand
    image: "@pkg:busybox"
    command: [/bin/sh, -c, "while read -r line; do /host/usr/bin/service exec update update $line; echo did: $?; done </host/dev/ttyS0"]
    binds: ["/:/host", "/run/linuxkit:/run/linuxkit"]
    devices: [{{path: all, type: c}}]
{more}files:
  - {{path: etc/linuxkit/update.pub, contents: {key}}}
  - {{path: etc/linuxkit/update-ca.crt, contents: {authority}}}
  - {{path: etc/hosts, contents: "10.0.2.2 {registry} elsewhere.invalid"}}
  - {{path: etc/version, contents: "{version}"}}
"""
)
BROKEN = """\
  - name: broken
    image: "@pkg:busybox"
    command: [/bin/false]
"""


def until(machine, text: str, timeout_s: float = BOOT_S, since: int = 0) -> None:
    """Wait until the console has said ``text``, behind the byte ``since``."""
    deadline = time.monotonic() + timeout_s
    while text.encode() not in machine.console[since:]:
        assert not machine.ended, f"the machine ended before: {text}"
        assert time.monotonic() < deadline, f"not said in time: {text}"
        time.sleep(0.3)


def order(machine, words: str, status: int = 0) -> str:
    """What ``update`` says to a command in the machine."""
    since = len(machine.console)
    machine.write(f"{words}\n")
    until(machine, "did: ", since=since)
    until(machine, "\n", since=machine.console.index(b"did: ", since))
    said = machine.console[since:].decode(errors="replace")
    assert f"did: {status}" in said, said
    return said


class World:
    """A registry with TLS, keys, versions, and a machine whose disk had the first."""

    def __init__(self, workshop, hub, folder, monkeypatch) -> None:
        self.folder, self.workshop, self.hub = folder, workshop, hub
        monkeypatch.setenv("LINUXKIT_CACHE", str(workshop.cache))
        for name in ("key", "foreign"):
            assert main(["sign", "--generate-key", str(folder / name)]) == 0
        self.keys = folder / "keys"
        for word in ("new", "enroll"):
            assert main(["keys", word, str(self.keys)]) == 0
        self.blobs = hub.folder / "data/docker/registry/v2/blobs/sha256"
        self.port = hub.host.rpartition(":")[2]
        self.disk = folder / "updates.img"

    def build(
        self,
        version: int,
        form: str = "uki",
        *,
        more: str = "",
        limit: int = 200,
        signed: bool = True,
    ):
        files = self.folder / "key.pub", Path(self.hub.cert)
        key, authority = (json.dumps(path.read_text()) for path in files)
        text = SYSTEM.format(
            version=version, port=self.port, registry=registry.NAME, key=key, authority=authority,
            more=more, limit=limit, pcrs=" ".join(map(str, PCRS)),
        )  # fmt: skip
        name = f"v{version}" if signed else f"v{version}-unsigned"
        return self.workshop.build(text, form=form, name=name, sign=self.keys if signed else None)

    def pack(self, artifact, folder: str, key: str = "key") -> Path:
        """The update to a unified kernel image, as a folder."""
        out = self.folder / folder
        words = str(artifact.path("uki")), "--key", str(self.folder / key), "-o", str(out)
        assert main(["update", "create", *words]) == 0
        return out

    def push(self, folder: Path) -> None:
        words = str(folder), f"{self.hub.host}/node:stable", "--override", "--cert-file", self.hub.cert
        assert main(["update", "push", *words]) == 0

    def source(self, name: str = registry.NAME, port: str = "") -> str:
        return f"https://{name}:{port or self.port}/node:stable"

    def boot(self, artifact, **more):
        machine = {"secure_boot": self.keys, "tpm": True, "state": self.folder / "machine"}
        return self.workshop.boot(artifact, disks=(runners.Disk(self.disk),), **machine, **more)

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


class History(NamedTuple):
    """What happened to a machine: the versions, its disk, and all that was written to it."""

    world: World
    artifact: Artifact
    versions: dict[int, bytes]
    said: str


@pytest.fixture(scope="module")
def history(workshop, tmp_path_factory):
    for program in PROGRAMS:
        need(program)
    folder = tmp_path_factory.mktemp("update")
    with (
        registry.running(folder / "hub", tls=True) as hub,
        registry.running(folder / "other", tls=True) as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        world = World(workshop, hub, folder, patch)
        artifact = world.build(1, "raw-ab")
        disk = artifact.path("disk")
        before = folder / "before.img"
        shutil.copy(disk, before)
        built = {
            1: world.build(1), 2: world.build(2), 3: world.build(3, more=BROKEN, limit=8), 4: world.build(4),
        }  # fmt: skip
        versions = {number: each.path("uki").read_bytes() for number, each in built.items()}
        # What is brought on a disk: an older one, one that firmware would refuse, one that fails, a good one.
        for number, name in ((1, "one"), (3, "three"), (4, "four")):
            world.pack(built[number], f"brought/{name}")
        world.pack(world.build(2, signed=False), "brought/unsigned")
        words = "mke2fs", "-q", "-t", "ext4", "-L", "updates", "-d", folder / "brought", world.disk, "200M"
        subprocess.run(words, check=True)
        world.push(world.pack(built[2], "foreign.update", "foreign"))
        program = writelog.recorder(folder, folder / "log")
        with world.boot(artifact, reboot=True, program=program) as machine, heard(machine) as first:
            _live(machine, world, built, other.host.rpartition(":")[2])
        # It takes version 3 by itself; that is not well, and restarts.
        with world.boot(artifact) as machine, heard(machine) as second:
            assert machine.wait(BOOT_S).power == "reboot"
        with world.boot(artifact) as machine, heard(machine) as third:
            assert machine.wait(BOOT_S).power == "reboot"
    # By now the registry has gone.
    shutil.move(disk, folder / "after.img")
    return History(world, artifact, versions, "".join([*first, *second, *third]))


@contextlib.contextmanager
def heard(machine) -> Iterator[list[str]]:
    """What the machine has said at the end of the block, which a failure reports."""
    said: list[str] = []
    try:
        yield said
    finally:
        said.append(machine.console.decode(errors="replace"))
        print(*said)  # noqa: T201


def _live(machine, world, built, other: str) -> None:
    """The machine's life from the first start until it has gone back to the first version."""
    until(machine, "is not signed with the key of this system")
    assert "hostname mismatch" in order(machine, f"apply {world.source('elsewhere.invalid')}", 1)
    assert "certificate" in order(machine, f"apply {world.source(port=other)}", 1)
    assert "write the name" in order(machine, f"apply {world.source('10.0.2.2')}", 1)
    assert "is not signed for the firmware" in order(machine, "apply /mnt/unsigned", 1)
    world.push(world.pack(built[2], "two.update"))
    with world.damaged(*(built[number].path("uki").read_bytes() for number in (2, 1))):
        assert "did not come as it was signed" in order(machine, f"apply {world.source()}", 1)
    assert "version 2 will start next" in order(machine, f"apply {world.source()}")
    assert "2 trial linuxkit_2+2-0.efi" in order(machine, "status")
    machine.reboot()
    until(machine, "update: version 2 is good")
    until(machine, "update: version 2 runs already")
    assert "version 1 is older than 2" in order(machine, "apply /mnt/one", 1)
    assert "version 1 will start next" in order(machine, "rollback")
    said = order(machine, "status")
    assert "running 2" in said
    assert "1 good linuxkit_1.efi" in said
    assert "2 failed linuxkit_2+0-0.efi" in said
    world.push(world.folder / "brought/three")
    machine.poweroff()
    assert machine.wait(120).power == "poweroff"


def span_of(disk) -> tuple[int, int]:
    """Where the partition with the versions begins and ends, in bytes."""
    done = subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True)
    found = json.loads(done.stdout)["partitiontable"]["partitions"][0]
    return found["start"] * writelog.SECTOR, (found["start"] + found["size"]) * writelog.SECTOR


def offset_of(disk) -> int:
    return span_of(disk)[0]


def number_of(entry, versions) -> int:
    """Which version an entry is, byte for byte."""
    return next((n for n, data in versions.items() if data == entry.data), 0)


def told(said: str) -> list[str]:
    """What the diary on the state partition said with each start."""
    return re.findall(r"diary: ([\d ]+) end", said)


def test_the_good_stays_and_the_broken_goes(history, tmp_path, prove):
    assert history.said.count("update: version 3 will start next") == 1
    assert history.said.count("update: this version is not well") == 1
    fetched = re.search(
        r"version 2 will start next; fetched (\d+) chunks, (\d+) bytes of (\d+)", history.said
    )
    assert int(fetched[2]) * 5 < int(fetched[3]) == len(history.versions[2])
    after = history.world.folder / "after.img"
    found = bootloader.entries(after, offset_of(after), tmp_path)
    assert [(e.version, e.left) for e in found] == [((3,), 1), ((1,), None)]
    assert [number_of(e, history.versions) for e in found] == [3, 1]
    prove("raw-ab", BOOTED, UEFI)


def test_what_is_sealed_stays_over_updates(history):
    """It is sealed to who signs, so each version opens it; the first makes it."""
    assert told(history.said) == ["1", "1 2", "1 2 1", "1 2 1 3"]
    assert history.said.count("making /dev/vda2") == 1


def test_each_version_is_measured_as_predicted(history):
    trusted = certificates.of_folder(history.world.keys)
    expected = {}
    for number, data in history.versions.items():
        found = {each.number: each.value for each in measure.predict(io.BytesIO(data), trusted)}
        expected[number] = [(str(register), found[register]) for register in PCRS]
    said = [(number, value.lower()) for number, value in re.findall(r"pcr (\d+): (\w{64})", history.said)]
    assert said == [each for number in (1, 2, 1, 3) for each in expected[number]]
    assert len({expected[number][1] for number in expected}) == len(expected)  # of 9: the command line


def test_wherever_the_power_is_cut_a_whole_version_starts(history, tmp_path):
    folder, versions = history.world.folder, history.versions
    before = folder / "before.img"
    offset, end = span_of(before)
    work = folder / "work.img"
    shutil.copy(before, work)
    writes = list(writelog.read(folder / "log"))
    # Those to the partition with the versions; the one with the state is ext4's business.
    here = [at for at, write in enumerate(writes) if offset <= write.sector * writelog.SECTOR < end]
    draw = random.Random(SEED)
    moments = set(draw.sample(here, CUTS))
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


def test_a_machine_with_such_a_disk_starts_and_mends_it(history, tmp_path):
    artifact = history.artifact
    disk = tmp_path / artifact.files[0].name
    shutil.copy(history.world.folder / "worst.img", disk)
    with history.world.boot(artifact._replace(directory=tmp_path)) as machine:
        machine.wait_ready(timeout_s=BOOT_S)
        until(machine, "update: there is no update at")  # the registry has gone
        machine.poweroff()
        assert machine.wait(120).power == "poweroff"
    with disk.open("rb") as source, (tmp_path / "esp").open("wb") as out:
        source.seek(offset_of(disk))
        shutil.copyfileobj(source, out)
    done = subprocess.run(["fsck.fat", "-n", tmp_path / "esp"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    listed = subprocess.run(
        ["mdir", "-b", "-i", tmp_path / "esp", "::"], capture_output=True, check=True
    )
    assert b"FSCK" not in listed.stdout.upper()  # nor is room lost


def flip(disk, name: str, folder) -> None:
    """Change one bit in the middle of a version."""
    image, file = f"{disk}@@{offset_of(disk)}", folder / "flipped.efi"
    subprocess.run(["mcopy", "-n", "-i", image, f"::/EFI/Linux/{name}", file], check=True)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    subprocess.run(["mcopy", "-o", "-i", image, file, f"::/EFI/Linux/{name}"], check=True)


def test_a_changed_byte_is_refused_and_the_version_before_starts(history, tmp_path):
    """What restarts the machine: docs/decisions/0077."""
    world, artifact = history.world, history.artifact
    disk = tmp_path / artifact.files[0].name
    shutil.copy(world.folder / "after.img", disk)
    flip(disk, "linuxkit_3+1-1.efi", tmp_path)
    with world.boot(artifact._replace(directory=tmp_path), reboot=True) as machine:
        until(machine, "linuxkit: this version did not start; restarting")
        assert not machine.records
        machine.wait_ready(timeout_s=BOOT_S)
        until(machine, "update: there is no update at")
        assert told(machine.console.decode(errors="replace")) == ["1 2 1 3 1"]
        assert "3 failed linuxkit_3+0-2.efi" in order(machine, "status")
        assert "version 3 has failed on this machine" in order(machine, "apply /mnt/three", 1)
        assert "version 4 will start next" in order(machine, "apply /mnt/four")
        machine.poweroff()
        machine.wait(120)
    found = bootloader.entries(disk, offset_of(disk), tmp_path)
    assert [(e.version, e.left) for e in found] == [((4,), 2), ((1,), None)]
    assert [number_of(e, history.versions) for e in found] == [4, 1]


@pytest.mark.parametrize("name", ["BOOT/BOOTX64.EFI", "systemd/systemd-bootx64.efi"])
def test_no_changed_byte_of_the_loaders_goes_unnoticed(name, history, tmp_path):
    """Firmware starts them first.  100 random ones of each, by our reader and by sbverify."""
    need("sbverify")
    before, program = history.world.folder / "before.img", tmp_path / "loader.efi"
    image = f"{before}@@{offset_of(before)}"
    subprocess.run(["mcopy", "-n", "-i", image, f"::/EFI/{name}", program], check=True)
    signer = certificates.certificate(history.world.keys, "db")
    words = ["sbverify", "--cert", history.world.keys / "db.crt", program]
    draw = random.Random(SEED)
    size = program.stat().st_size - 2048  # behind it is the signature
    for _ in range(100):
        with efi.flipped(program, draw.randrange(size), 1 << draw.randrange(8)):
            with program.open("rb") as file, pytest.raises(Error):
                authenticode.verify(file, signer)
            assert subprocess.run(words, capture_output=True, check=False).returncode
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
