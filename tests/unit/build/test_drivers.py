"""What a kernel can drive, and what is refused because it cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import drivers
from linuxkit.build.kconfig import Config
from linuxkit.disk.filesystem import Mark
from linuxkit.formats import stage
from linuxkit.formats.stage import Root, Verity
from support.images import archive

GUEST = Path(__file__).parents[3] / "guest" / "stage"
ROOT = "lib/modules/6.1/"
TREE = {
    ROOT + "kernel/fs/erofs/erofs.ko": "erofs",
    ROOT + "kernel/drivers/block/virtio_blk.ko.xz": "blk",
    ROOT + "kernel/lib/crc-x.ko": "crc",
    ROOT + "kernel/lib/a.ko": "a",
    ROOT + "kernel/lib/b.ko": "b",
    ROOT + "modules.dep": (
        "kernel/fs/erofs/erofs.ko: kernel/lib/b.ko kernel/lib/a.ko\n"
        "kernel/lib/b.ko: kernel/lib/a.ko\nkernel/lib/a.ko:\nkernel/lib/crc-x.ko:\n"
        "kernel/drivers/block/virtio_blk.ko.xz:\n"
    ),
    ROOT + "modules.softdep": "# comment\nsoftdep erofs pre: crc-x nothing post: b\nsoftdep crc_x pre: erofs\n",
    ROOT + "modules.builtin": "kernel/fs/isofs/isofs.ko\n",
}
MARK = Mark(1024, b"x" * 16)


@pytest.fixture
def found(tmp_path):
    path = tmp_path / "tar"
    path.write_bytes(archive(TREE))
    with path.open("rb") as source:
        yield drivers.read(source)


def names(entries) -> list[str]:
    return [drivers.name_of(entry.path) for entry in entries]


def test_modules_come_after_what_they_need(found):
    assert names(found.closure(["erofs", "virtio_blk", "isofs", "unknown"])) == [
        "crc_x", "a", "b", "erofs", "virtio_blk",
    ]  # fmt: skip


def test_what_a_module_cannot_be_loaded_without(found):
    assert found.under("erofs") == ("b", "a")
    assert found.under("virtio_blk") == found.under("isofs") == ()


def test_what_a_kernel_has(found):
    for name in ("erofs", "virtio_blk", "isofs", "crc_x"):
        assert found.has(name)
    assert not found.has("squashfs")
    assert drivers.NOTHING.has("squashfs")  # nothing is known of it


@pytest.mark.parametrize(
    ("root", "config", "fits"),
    [
        (Root("erofs", MARK), {}, True),
        (Root("squashfs", MARK), {}, False),
        (Root("squashfs", MARK), {"SQUASHFS": "y"}, True),
        (Root("squashfs", MARK), {"SQUASHFS": "m"}, False),
        (Root("iso9660", MARK, cd=True), {}, False),  # no CD-ROM drive
        (Root("iso9660", MARK, cd=True), {"BLK_DEV_SR": "y"}, True),
        (Root("erofs", MARK, verity=Verity(MARK, 8, "")), {}, False),
        (Root("erofs", MARK, verity=Verity(MARK, 8, "")), {"DM_VERITY": "y"}, True),
    ],
)
def test_images_that_cannot_start_are_refused(found, root, config, fits):
    if fits:
        stage.check(found, root, Config(config))
        return
    with pytest.raises(Error) as caught:
        stage.check(found, root, Config(config))
    assert caught.value.code == "LK0740"


def test_without_modules_only_the_configuration_counts():
    stage.check(drivers.NOTHING, Root("erofs", MARK), None)
    with pytest.raises(Error):
        stage.check(drivers.NOTHING, Root("erofs", MARK), Config({"EROFS_FS": "y"}))
    stage.check(drivers.NOTHING, Root("erofs", MARK), Config({"EROFS_FS": "y", "VIRTIO_BLK": "y"}))


def test_the_table_is_what_the_guest_reads():
    source = (GUEST / "table.h").read_text()
    magic, version = (re.search(rf'#define {name} "(.*)"', source)[1] for name in ("MAGIC", "VERSION"))
    data = stage.encode([("module", "/m/a.ko"), ("mount", "erofs", "")])
    words = data.decode().split("\0")
    assert words == [magic, version, "1", "module", "/m/a.ko", "2", "mount", "erofs", "", ""]
    program = (GUEST / "stage.c").read_text()
    for name in ("module", "find", "key", "verity", "mount", "keep", "policy", "enforce", "lock", "start"):
        assert f'strcmp(order->name, "{name}")' in program
    (most,) = re.findall(r"#define MAX_MATCH (\d+)", source)
    assert int(most) >= 128
