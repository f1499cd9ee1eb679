"""Kernel modules: closures and indices."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian.kmod import Catalog, indices, name_of
from support.elf import module

FILES = {
    "kernel/fs/overlayfs/overlay.ko.xz": module({"alias": "fs-overlay", "depends": ""}),
    "kernel/fs/ext4/ext4.ko.xz": module(
        {"alias": ["fs-ext4", "fs-ext3"], "depends": "mbcache,jbd2", "softdep": "pre: crc32c post: x"}
    ),
    "kernel/fs/mbcache.ko.xz": module({"depends": ""}),
    "kernel/fs/jbd2/jbd2.ko.xz": module({"depends": "lib-a"}),
    "kernel/lib/lib-a.ko": module({"depends": ""}),
    "kernel/arch/x86/crypto/crc32c-intel.ko.xz": module({"alias": ["crc32c", "crypto-crc32c"]}),
    "kernel/crypto/crc32c_generic.ko.xz": module({"alias": ["crc32c"]}),
    "kernel/drivers/net/loop1.ko.xz": module({"depends": "loop2"}),
    "kernel/drivers/net/loop2.ko.xz": module({"depends": "loop1"}),
    "kernel/drivers/broken.ko.xz": module({"depends": "nowhere"}),
    "modules.order": b"",
}


def catalog(builtin=("kernel/drivers/virtio/virtio_pci.ko\n",), info=b""):
    opened = []

    def reader(path):
        def read():
            opened.append(path)
            return FILES[path]

        return read

    made = Catalog({path: reader(path) for path in FILES if name_of(path)}, builtin, info)
    return made, opened


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["overlay"], {"overlay"}),
        (["lib_a"], {"lib_a"}),
        (["lib-a"], {"lib_a"}),
        (["virtio-pci", "overlay"], {"overlay"}),
        (["jbd2"], {"jbd2", "lib_a"}),
        (["ext4"], {"ext4", "mbcache", "jbd2", "lib_a", "crc32c_intel", "crc32c_generic"}),
        (["loop1"], {"loop1", "loop2"}),
        ([], set()),
    ],
)
def test_closure(wanted, expected):
    assert set(catalog()[0].closure(wanted)) == expected


def test_only_what_is_needed_is_opened():
    made, opened = catalog()
    made.closure(["jbd2"])
    assert sorted(opened) == ["kernel/fs/jbd2/jbd2.ko.xz", "kernel/lib/lib-a.ko"]


def test_algorithms_that_are_built_in():
    made, _ = catalog(info=b"crc32c_generic.alias=crc32c\0x.license=GPL\0")
    assert "crc32c_intel" not in made.closure(["ext4"])


def test_unknown_names_all_at_once():
    with pytest.raises(Error) as caught:
        catalog()[0].closure(["overlayfs", "overlay", "virtio_pcj"])
    errors = caught.value.all()
    assert [error.code for error in errors] == ["LK0532", "LK0532"]
    assert [error.hint for error in errors] == ['did you mean "overlay"?', 'did you mean "virtio_pci"?']


def test_a_module_whose_need_is_not_there():
    with pytest.raises(Error) as caught:
        catalog()[0].closure(["broken"])
    assert caught.value.code == "LK0533"


def test_indices():
    modules = catalog()[0].closure(["ext4", "overlay"])
    order = ["kernel/fs/mbcache.ko", "kernel/fs/overlayfs/overlay.ko", "kernel/other.ko"]
    made = indices(modules, order)
    dep = made["modules.dep"].decode().splitlines()
    assert (
        "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/lib-a.ko kernel/fs/mbcache.ko" in dep
    )
    assert "kernel/fs/overlayfs/overlay.ko:" in dep
    assert made["modules.alias"].decode().splitlines()[-3:] == [
        "alias fs-ext4 ext4", "alias fs-ext3 ext4", "alias fs-overlay overlay",
    ]  # fmt: skip
    assert made["modules.softdep"] == b"softdep ext4 pre: crc32c post: x\n"
    assert made["modules.order"].decode().splitlines()[:2] == order[:2]
    assert len(made["modules.order"].splitlines()) == len(modules)


def test_needs_stand_behind_those_who_need_them():
    """A loader that works through a line of modules.dep from its end meets no gap."""
    modules = catalog()[0].closure(["ext4"])
    for line in indices(modules, [])["modules.dep"].decode().splitlines():
        first, _, rest = line.partition(":")
        loaded = set()
        for path in reversed([first, *rest.split()]):
            needs = {modules[name].path for name in modules[name_of(path)].depends}
            assert needs <= loaded, path
            loaded.add(path)
