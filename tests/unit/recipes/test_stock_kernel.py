"""From a recipe and a small archive to a kernel image."""

from __future__ import annotations

import io
import tarfile

import pytest

from linuxkit.base.errors import Error
from support.debian_archive import File, Pkg
from support.elf import module

KERNEL = """\
image: kernel
arches: [amd64]
kernel:
  packages: {amd64: linux-image-test}
  modules: [a, d]
"""


def test_kernel(bench):
    bench.add("kernel", KERNEL)
    _, refreshed = bench.lock(["kernel"])
    assert refreshed.failures == ()
    assert refreshed.lock.of("kernel", "amd64").debs == ("linux-image-6.12-test_6.12-1_amd64",)
    opened, tree = bench.tree(bench.build("kernel"))
    assert sorted(tree) == ["config", "kernel", "kernel.tar"]
    assert tree["kernel"][1] == b"MZ kernel"
    with tarfile.open(fileobj=io.BytesIO(tree["kernel.tar"][1])) as modules:
        names = modules.getnames()
        root = "lib/modules/6.12-test"
        assert names == [
            "lib", "lib/modules", root, f"{root}/kernel", f"{root}/kernel/fs", f"{root}/kernel/fs/a.ko",
            f"{root}/kernel/fs/b.ko", f"{root}/modules.alias", f"{root}/modules.builtin",
            f"{root}/modules.dep", f"{root}/modules.order", f"{root}/modules.softdep",
        ]  # fmt: skip
        dep = modules.extractfile(f"{root}/modules.dep").read()
        assert dep == b"kernel/fs/a.ko: kernel/fs/b.ko\nkernel/fs/b.ko:\n"
        order = modules.extractfile(f"{root}/modules.order").read()
        assert order == b"kernel/fs/b.ko\nkernel/fs/a.ko\n"
    assert opened.config.labels["org.linuxkit.debian.packages"] == "linux-image-6.12-test=6.12-1"


def test_kernel_of_the_newer_layout(bench):
    root = "./usr/lib/modules/7.1"
    bench.archive.publish("trixie", [
        Pkg("linux-image-test", "7.1-1", "linux-binary-7.1-test, linux-modules-7.1-test"),
        Pkg("linux-binary-7.1-test", "7.1-1", "", (
            File(f"{root}/vmlinuz", b"MZ"), File(f"{root}/config", b"C"))),
        Pkg("linux-modules-7.1-test", "7.1-1", "", (File(f"{root}/kernel/a.ko", module({})),)),
    ])  # fmt: skip
    bench.add("kernel", KERNEL.replace("[a, d]", "[a]"))
    assert bench.lock(["kernel"])[1].failures == ()
    _, tree = bench.tree(bench.build("kernel"))
    assert (tree["kernel"][1], tree["config"][1]) == (b"MZ", b"C")
    assert b"lib/modules/7.1/kernel/a.ko" in tree["kernel.tar"][1]


TREES = KERNEL.replace("[a, d]", "[a]") + '  device-trees: ["acme/board-?.dtb"]\n'


@pytest.mark.parametrize("root", ["usr/lib/linux-image-6.12-test", "usr/lib/modules/6.12-test/dtb"])
def test_device_trees_of_a_kernel_of_another_suite(bench, root):
    bench.archive.publish("trixie-backports", [
        Pkg("linux-image-test", "6.12-1", "", (
            File("./usr/lib/modules/6.12-test/vmlinuz", b"MZ"),
            File("./usr/lib/modules/6.12-test/kernel/a.ko", module({})),
            *(File(f"./{root}/acme/board-{name}.dtb", name.encode()) for name in ("1", "2", "10")),
        )),
    ])  # fmt: skip
    bench.add("kernel", TREES + "  suite: trixie-backports\n")
    _, refreshed = bench.lock(["kernel"])
    assert refreshed.failures == ()
    assert refreshed.lock.debs["linux-image-test_6.12-1_amd64"].suite == "trixie-backports"
    assert "trixie-backports" in refreshed.lock.suites
    _, tree = bench.tree(bench.build("kernel"))
    with tarfile.open(fileobj=io.BytesIO(tree["kernel.tar"][1])) as found:
        names = [name for name in found.getnames() if name.startswith("boot")]
        assert names == [
            "boot", "boot/dtb", "boot/dtb/acme", "boot/dtb/acme/board-1.dtb", "boot/dtb/acme/board-2.dtb",
        ]  # fmt: skip
        assert found.extractfile("boot/dtb/acme/board-2.dtb").read() == b"2"


def test_device_trees_that_a_kernel_lacks(bench):
    bench.add("kernel", KERNEL + '  device-trees: ["acme/*.dtb"]\n')
    bench.lock(["kernel"])
    with pytest.raises(Error) as caught:
        bench.build("kernel")
    assert caught.value.code == "LK0526"
    assert "acme/*.dtb" in caught.value.message


def test_unknown_module(bench):
    bench.add("kernel", KERNEL.replace("[a, d]", "[aa]"))
    bench.lock(["kernel"])
    with pytest.raises(Error) as caught:
        bench.build("kernel")
    assert caught.value.code == "LK0532"
