"""Disks of a machine, made, encrypted, mounted and grown by stock packages, over two boots.

The second boot finds the disks larger, and on them what the first has left.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from linuxkit.disk import iso
from linuxkit.runners.options import Disk
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.machines import FULL, for_kernel, start_all, step, use
from support.tools import need

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(1200)]

BOOT_S = 500
MIB = 1 << 20
SIZES = {  # of the disks at first and at last, in MiB; the kernel calls them vda, vdb …
    "ext4": (96, 160), "btrfs": (160, 320), "xfs": (320, 400), "luks": (64, 64), "forced": (160, 160),
}  # fmt: skip
KEYS = """\
files:
  - {path: etc/dm-crypt/key, contents: "0123456789abcdef0123456789abcdef", mode: "0400"}
  - {path: etc/dm-crypt/wrong, contents: "another", mode: "0400"}
  - {path: some/other/enc_key, contents: "abcdefghijklmnopqrstuvwxyz123456", mode: "0400"}
"""
PLACES = ("one", "two", "three", "secret", "plain", "five")


def on_disks(uuid: str, *, again: bool) -> str:
    """The units of the boot, which are those of an ordinary system: every boot does the same."""
    mount = '["/usr/bin/mountie", {}"/var/{}"]'
    form = '["/usr/bin/format", "-verbose", {}]'
    upstreams = (  # as the Go tool's test has it
        '  - {name: plain, image: "@pkg:dm-crypt", command: ["/usr/bin/crypto", "-k", "/some/other/enc_key", '
        '"it_is_encrypted", "/dev/loop0"], binds: ["/dev/:/dev", "/some/other/enc_key:/some/other/enc_key"]}\n'
    )
    return (
        use("extend-all", "extend")
        + use("extend-btrfs", "extend", '["/usr/bin/extend", "-type", "btrfs", "/dev/vdb"]')
        + use("extend-xfs", "extend", '["/usr/bin/extend", "-stop-on-error", "-type", "xfs", "/dev/vdc"]')
        + use("format-first", "format", form.format('"-label", "ONE"'))
        + use("format-next", "format", form.format('"-label", "TWO", "-type", "btrfs", "-partition", "gpt"'))
        + use("format-named", "format", form.format('"-type", "xfs", "-partition", "gpt", "/dev/vdc"'))
        + use("format-ext4", "format", form.format('"-type", "ext4", "/dev/vde"'))
        + use("format-is-kept", "format", form.format('"-type", "btrfs", "/dev/vde"'))
        + use("kept", "format", f'["/usr/sbin/blkid", "-t", "TYPE={"btrfs" if again else "ext4"}", "/dev/vde1"]')
        + use("format-force", "format", form.format('"-force", "-type", "btrfs", "/dev/vde"'))
        + use("mount-label", "mount", mount.format('"-label", "ONE", ', "one"))
        + use("mount-uuid", "mount", mount.format(f'"-uuid", "{uuid}", ' if again else '"-label=TWO", ', "two"))
        + use("mount-next", "mount", mount.format("", "three"))
        + use("luks", "dm-crypt", '["/usr/bin/crypto", "-l", "secret", "/dev/vdd"]')
        + use("wrong-key", "dm-crypt", '["/usr/bin/sh", "-c", "! crypto -l -k wrong other /dev/vdd && test ! -e /dev/mapper/other"]')
        + use("mount-mapper", "mount", mount.format('"/dev/mapper/secret", ', "secret"))
        + use("mount-device", "mount", mount.format('"-device", "/dev/vde1", ', "five"))
        + use("losetup", "losetup", '["/usr/bin/loopy", "-c", "-s", "24", "-d", "/dev/loop0", "/var/one/test.img"]')
        + upstreams
        + use("mount-plain", "mount", mount.format('"/dev/mapper/it_is_encrypted", ', "plain"))
        + use("swap", "swap", '["/swap.sh", "--path", "/var/one/swap", "--size", "16M", "--encrypt", "--condition", "part:/var/one:true", '
              '"--condition", "partsize:/var/two:100M:true"]')
        + use("metadata", "metadata", '["/usr/bin/metadata", "cdrom"]')
    )  # fmt: skip


def checks(*, again: bool) -> str:
    kinds = zip(PLACES, ("ext4", "btrfs", "xfs", "ext4", "ext4", "btrfs"), strict=True)
    least = {name: sizes[again] * 1024 * 3 // 4 for name, sizes in SIZES.items()}
    files = " ".join(f"/host/var/{place}/file" for place in PLACES[:-1])
    kept = f"for file in {files}; do test $(cat $file) = kept-in-$(echo $file | cut -d/ -f4) || exit 1; done"
    write = f"for file in {files}; do echo kept-in-$(echo $file | cut -d/ -f4) >$file || exit 1; done; sync"
    mounted = "".join(f"grep ' /host/var/{place} {kind} ' /proc/mounts && " for place, kind in kinds)
    sizes = "".join(
        f"df -kP /host/var/{place} | awk 'END {{ print; exit $2 < {least[name]} }}' && "
        for place, name in zip(PLACES, ("ext4", "btrfs", "xfs"), strict=False)
    )
    return (
        step("mounted", mounted + "true")
        + step("sizes", sizes + "true")
        + step("forced-is-empty", "test ! -e /host/var/five/file && touch /host/var/five/file")
        + step("mapped", "cd /sys/block && grep ^CRYPT-LUKS2-.*-secret dm-0/dm/uuid && grep ^CRYPT-PLAIN-it_is_encrypted dm-1/dm/uuid && "
               "grep ^CRYPT-PLAIN-swapfile dm-2/dm/uuid && grep /test.img loop0/loop/backing_file && cat /proc/swaps && grep swapfile /proc/swaps")
        + step("told", "cd /host/run/config && grep -x cdrom provider && grep -x of-a-drive hostname && "
               "grep '^ssh-ed25519 AAAA' ssh/authorized_keys && grep -x data-of-a-drive userdata")
        + (step("files-are-kept", kept) if again else step("write", write))
    )  # fmt: skip


def write_drive(path: Path) -> Path:
    """A configuration drive as OpenStack makes it."""
    said = {"uuid": "1", "hostname": "of-a-drive", "public_keys": {"a": "ssh-ed25519 AAAA a"}}
    files = {"meta_data.json": json.dumps(said).encode(), "user_data": b"data-of-a-drive"}
    folders = [Entry(name, Kind.DIR, 0o755) for name in ("openstack", "openstack/latest")]
    entries = [Entry(f"openstack/latest/{name}", Kind.FILE, 0o644, content=Bytes(data)) for name, data in files.items()]
    with path.open("xb") as out:
        iso.write([*folders, *entries], out, iso.Volume("config-2", "DRIVE", 0))
    return path


def partition(disk: Path) -> dict[str, object]:
    """The one partition of a disk: its start and size in sectors, its table and file system's UUID."""
    said = json.loads(subprocess.check_output([need("sfdisk"), "--json", disk]))["partitiontable"]
    (found,) = said["partitions"]
    low = subprocess.check_output(
        [need("blkid"), "-p", "-o", "value", "-s", "UUID", "-O", str(found["start"] * 512), disk], text=True
    )
    return {"size": found["size"] * 512 // MIB, "table": said["label"], "uuid": low.strip()}


def test_disks_are_made_kept_and_grown(workshop, boot, tmp_path):
    drive = write_drive(tmp_path / "drive.iso")
    disks = {name: tmp_path / f"{name}.img" for name in SIZES}
    attached = tuple(Disk(disks[name], first, "raw") for name, (first, _) in SIZES.items())
    uuid = ""
    for again in (False, True):
        yml = FULL + "onboot:\n" + on_disks(uuid, again=again) + checks(again=again) + KEYS.replace("files:", "services: []\nfiles:")
        machine = start_all(
            boot, workshop, for_kernel(yml),
            timeout_s=BOOT_S, disks=(*attached, Disk(drive)), state=tmp_path / "state", memory_mib=512,
        )  # fmt: skip
        machine.poweroff()
        result = machine.wait(120)
        assert (result.status, result.power) == (0, "poweroff"), result
        found = {name: partition(disks[name]) for name in ("ext4", "btrfs", "xfs", "forced")}
        assert [found[name]["table"] for name in found] == ["dos", "gpt", "gpt", "dos"]
        for name in ("ext4", "btrfs", "xfs"):
            assert SIZES[name][again] - 3 <= found[name]["size"] < SIZES[name][again]
        uuid = found["btrfs"]["uuid"]
        raw = disks["ext4"].read_bytes() + disks["luks"].read_bytes()
        assert raw.count(b"kept-in-one\n") >= 1  # what is said in the open
        for hidden in (b"kept-in-secret", b"kept-in-plain", b"SWAPSPACE2"):
            assert hidden not in raw
        for name, (_, last) in SIZES.items():
            with disks[name].open("r+b") as file:
                file.truncate(last * MIB)
