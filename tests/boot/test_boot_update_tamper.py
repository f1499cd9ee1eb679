"""Changed bytes of an update: each is refused before anything of it could start.

In a machine without firmware, which has the disk of another: only what takes updates is looked at.
"""

from __future__ import annotations

import json
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from linuxkit import runners
from linuxkit.cli.main import main
from support import bootloader
from support.machines import HEAD
from support.tools import need

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1200)]

BOOT_S = 900
SEED = 20261
TYPE = "application/vnd.linuxkit.update.{}.v1"
MIB = 1 << 20
# One that is made of links, but for the file that is changed.
SCRIPT = """
mkdir -p /tmp/brought /tmp/blobs && mount -t ext4 -o ro /dev/ubdb /tmp/brought && cd /tmp/brought || exit 1
echo linuxkit.version=1 >/tmp/cmdline
while read -r name at byte; do
    rm -rf /tmp/x && mkdir -p /tmp/x/blobs/sha256 && ln -s /tmp/brought/index.json /tmp/x/ &&
        ln -s /tmp/brought/blobs/sha256/* /tmp/x/blobs/sha256/ && rm /tmp/x/blobs/sha256/$name &&
        cp blobs/sha256/$name /tmp/x/blobs/sha256/ &&
        printf "\\\\\\\\$byte" | dd of=/tmp/x/blobs/sha256/$name bs=1 seek=$at conv=notrunc 2>/tmp/said || exit 1
    if update apply /tmp/x; then echo "taken: $name $at"; else echo refused; fi
done <flips
update status
update apply /tmp/brought && update status
"""
SYSTEM = (
    HEAD
    + """\
onboot:
  - name: taker
    image: "@pkg:update"
    command: [/usr/bin/sh, /etc/linuxkit/script]
    env: [PATH=/usr/bin:/usr/sbin, UPDATE_CMDLINE=/tmp/cmdline]
files:
  - {{path: etc/linuxkit/update.pub, contents: {key}}}
  - {{path: etc/linuxkit/script, contents: {script}}}
"""
)
VERSION = (
    HEAD.replace("panic=-1", "panic=-1 linuxkit.version={0}")
    + 'files: [{{path: etc/version, contents: "{0}"}}]\n'
)


def changes(folder: Path, old: set[str], draw: random.Random) -> list[str]:
    """Which bytes to change: of the signature, of the table, and of chunks that the machine lacks."""
    blobs = folder / "blobs/sha256"
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / entry["digest"].partition(":")[2]).read_bytes())
    kinds: dict[str, list[str]] = {}
    for each in manifest["layers"]:
        kinds.setdefault(each["mediaType"], []).append(each["digest"].partition(":")[2])
    (signature,), (table,) = kinds[TYPE.format("signature")], kinds[TYPE.format("table")]
    new = [name for name in kinds[TYPE.format("chunk")] if name not in old]
    lines = []
    for name in [signature] * 10 + [table] * 20 + draw.choices(new, k=6):
        data = (blobs / name).read_bytes()
        at = draw.randrange(len(data))
        lines.append(f"{name} {at} {data[at] ^ 1 << draw.randrange(8):03o}")
    return lines


def test_no_changed_byte_of_an_update_is_taken(workshop, boot, tmp_path, monkeypatch):
    for program in ("mke2fs", "mdir"):
        need(program)
    monkeypatch.setenv("LINUXKIT_CACHE", str(workshop.cache))
    assert main(["sign", "--generate-key", str(tmp_path / "key")]) == 0
    folders = []
    for number in (1, 2):
        file = workshop.build(VERSION.format(number), form="uki").path("uki")
        folders.append(tmp_path / f"{number}.update")
        words = str(file), "--key", str(tmp_path / "key"), "-o", str(folders[-1])
        assert main(["update", "create", *words]) == 0
    old, new = folders
    have = {path.name for path in (old / "blobs/sha256").iterdir()}
    lines = changes(new, have, random.Random(SEED))
    (new / "flips").write_text("".join(f"{line}\n" for line in lines))
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", new, tmp_path / "new.img", "100M"], check=True
    )
    disk = workshop.build(VERSION.format(1), form="raw-ab").path("disk")
    disks = runners.Disk(disk, format="raw"), runners.Disk(tmp_path / "new.img", format="raw")
    key, script = (json.dumps(text) for text in ((tmp_path / "key.pub").read_text(), SCRIPT))
    system = workshop.build(SYSTEM.format(key=key, script=script))
    machine = boot(system, runner="uml", disks=disks, network=runners.Network("none"))
    machine.wait_ready(timeout_s=BOOT_S)
    machine.poweroff()
    machine.wait(120)
    said = machine.console.decode(errors="replace")
    assert "taken" not in said
    assert said.count("refused") == len(lines)
    assert said.count("is not signed with the key of this system") == 30
    assert said.count("did not come as it was signed") == 6
    before, after = said.split("version 2 will start next")
    assert "1 good linuxkit_1.efi" in before
    assert "2 trial" not in before
    assert "2 trial linuxkit_2+3-0.efi" in after
    found = bootloader.entries(disk, MIB, tmp_path)
    assert [(e.version, e.left) for e in found] == [((2,), 3), ((1,), None)]
    for number, entry in zip((2, 1), found, strict=True):
        assert (
            entry.data
            == workshop.build(VERSION.format(number), form="uki").path("uki").read_bytes()
        )
