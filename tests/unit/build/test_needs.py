"""What a YAML file needs of its kernel, and which machine the kernel needs."""

from __future__ import annotations

import math

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.build import check, needs
from linuxkit.build.artifact import load
from linuxkit.build.sandbox import program
from linuxkit.sources.store import Stored
from support.images import Files, archive, image

YML = """\
kernel: {image: "lk/kernel:1", cmdline: "console=ttyS0"}
init: ["lk/init:1"]
onboot:
  - name: disk
    image: "lk/app:1"
    mounts:
      - {type: ext4, source: /dev/vda1, destination: /data}
      - {type: tmpfs, destination: /tmp}
      - {type: made-up, source: x, destination: /x}
services:
  - name: vpn
    image: "lk/app:1"
    runtime:
      interfaces: [{name: wg0, add: wireguard}, {name: eth1, peer: outside}]
      mounts: [{type: xfs, source: /dev/vdb, destination: /var/lib/vpn}]
"""
ALL = "CONFIG_EXT4_FS=m\nCONFIG_TMPFS=y\nCONFIG_WIREGUARD=y\nCONFIG_VETH=y\nCONFIG_XFS_FS=m\n"
MODULES: Files = {"lib/modules/1/ext4.ko.xz": "", "lib/modules/1/xfs.ko": ""}


def build(tmp_path, config, modules=MODULES, binary="kernel", text=YML, content=b"KERNEL"):
    """The spec and the system with a kernel that was built with ``config``."""
    store = linuxkit.open_store(tmp_path / "cache")
    kernel: Files = {binary: content, "kernel.tar": archive({"lib/": "", **modules})}
    if config is not None:
        kernel["config"] = config
    image(store, "docker.io/lk/kernel:1", kernel)
    image(store, "docker.io/lk/init:1", {"init": "#!"})
    image(store, "docker.io/lk/app:1", {"app": "a"}, cmd=["/app"])
    yml = tmp_path / "t.yml"
    yml.write_text(text)
    spec = linuxkit.load([yml], arch="amd64")
    plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")
    return spec, linuxkit.assemble(plan, store=store)


def told(tmp_path, *more):
    return [(gap.need.container, gap.need.symbol, gap.why) for gap in
            needs.gaps(*build(tmp_path, *more))]  # fmt: skip


def test_what_is_there_is_not_told(tmp_path):
    assert told(tmp_path, ALL) == []


def test_a_kernel_that_does_not_tell_is_believed(tmp_path):
    assert told(tmp_path, None) == []
    assert told(tmp_path, "") == []


def test_what_is_off_is_told(tmp_path):
    text = ALL.replace("CONFIG_WIREGUARD=y", "# CONFIG_WIREGUARD is not set")
    text = text.replace("CONFIG_EXT4_FS=m", "CONFIG_EXT4_FS_SECURITY=y")
    assert told(tmp_path, text) == [
        ("disk", "EXT4_FS", "CONFIG_EXT4_FS is not set"),
        ("vpn", "WIREGUARD", "CONFIG_WIREGUARD is not set"),
    ]


def test_a_module_has_to_be_in_the_image(tmp_path):
    assert told(tmp_path, ALL, {"lib/modules/1/ext4.ko.xz": "", "lib/modules/1/xfs.ko.txt": ""}) == [
        ("vpn", "XFS_FS", "its module xfs is not in the image")
    ]


@pytest.mark.parametrize(
    ("config", "machine"),
    [
        ("CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\n", "microvm"),
        ("CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\nCONFIG_VIRTIO_PCI=m\n", ""),
        ("CONFIG_VIRTIO_PCI=y\n", ""),
        ("CONFIG_BUG=y\n", ""),
        (None, ""),
    ],
)
def test_a_kernel_without_pci_needs_a_machine_without(tmp_path, config, machine):
    _, system = build(tmp_path, config and config + "CONFIG_BLK_DEV_INITRD=y\n")
    assert check.machine(system) == machine
    (made,) = linuxkit.emit(
        system, ["kernel+initrd"], directory=tmp_path, name="t", compression="none"
    )
    assert made.boot.machine == machine
    assert load(made.sidecar) == made


@pytest.mark.parametrize(
    ("config", "firmware", "compression", "why"),
    [
        ("CONFIG_BUG=y\n", "direct", "none", "takes no initramfs"),
        ("CONFIG_BLK_DEV_INITRD=y\n", "direct", "none", ""),
        ("CONFIG_BLK_DEV_INITRD=y\n", "direct", "zstd", "cannot unpack an initramfs of zstd"),
        ("CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n", "bios", "zstd", ""),
        ("CONFIG_BLK_DEV_INITRD=y\n", "uefi", "none", "cannot be started by UEFI"),
        ("CONFIG_BLK_DEV_INITRD=y\nCONFIG_EFI_STUB=y\n", "any", "none", ""),
        (None, "uefi", "zstd", ""),
    ],
)
def test_what_cannot_start_is_refused(tmp_path, config, firmware, compression, why):
    _, system = build(tmp_path, config)
    if not why:
        check.require(system, firmware, compression)
        return
    with pytest.raises(Error, match=why) as caught:
        check.require(system, firmware, compression)
    assert caught.value.code == "LK0749"


@pytest.mark.parametrize(
    ("config", "modules", "drives"),
    [
        (None, MODULES, True),
        ("CONFIG_USB_STORAGE=y\n", MODULES, True),
        ("CONFIG_USB_STORAGE=m\n", MODULES, False),
        ("CONFIG_USB_STORAGE=m\n", {**MODULES, "lib/modules/6.12/usb-storage.ko.xz": "ko"}, True),
        ("CONFIG_BUG=y\n", MODULES, False),
    ],
)
def test_who_finds_a_root_on_a_stick(tmp_path, config, modules, drives):
    _, system = build(tmp_path, config, modules)
    assert needs.drives_sticks(system) is drives


CONFINING = (
    "CONFIG_SECURITY_LANDLOCK=y\nCONFIG_MEMCG=y\nCONFIG_CGROUP_PIDS=y\nCONFIG_SECCOMP_FILTER=y\n"
    "CONFIG_USER_NS=y\n"
)
STRICT = YML.split("onboot:", maxsplit=1)[0] + """services:
  - {name: web, image: "lk/app:1", profile: strict}
  - {name: old, image: "lk/app:1"}
"""


def confining(tmp_path, config, text=STRICT):
    found = needs.gaps(*build(tmp_path, config, text=text))
    return [(gap.need.container, gap.need.symbol, gap.why) for gap in found]


def test_what_confines_has_to_be_in_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(program.resources, "guest", lambda *_: tmp_path / "confine")
    (tmp_path / "confine").write_bytes(b"ELF")
    assert confining(tmp_path, CONFINING) == []
    without = CONFINING.replace("CONFIG_SECURITY_LANDLOCK=y", "# CONFIG_SECURITY_LANDLOCK is not set")
    missing = [("web", "SECURITY_LANDLOCK", "CONFIG_SECURITY_LANDLOCK is not set")]
    assert confining(tmp_path, without) == missing
    relaxed = STRICT.replace("profile: strict", "profile: strict, landlock: best-effort")
    assert confining(tmp_path, without, relaxed) == []
    unnamed = STRICT.replace("console=ttyS0", "console=ttyS0 lsm=yama,bpf")
    why = "lsm= on its command line does not name landlock"
    assert confining(tmp_path, CONFINING, unnamed) == [("web", "SECURITY_LANDLOCK", why)]
    dated = "# Linux/x86_64 {} Kernel Configuration\n" + CONFINING
    assert confining(tmp_path, dated.format("6.12.118")) == []
    old = [("web", "SECURITY_LANDLOCK", "what Linux 6.6 has of it is too old")]
    assert confining(tmp_path, dated.format("6.6.9-cloud")) == old


def test_links_of_the_machine_are_looked_for(tmp_path):
    lines = "link add name b type bond mode active-backup\nlink add name wg0 type wireguard\n"
    batch = f"files: [{{path: etc/linuxkit/network/ip.batch, contents: {lines!r}}}]\n"
    found = needs.gaps(*build(tmp_path, ALL, text=YML + batch.replace("'", '"')))
    assert [tuple(gap.need) for gap in found] == [
        ("network", "network links of kind bond", "BONDING", "bonding")
    ]


def test_what_a_label_mounts_is_looked_for(tmp_path):
    store = linuxkit.open_store(tmp_path / "cache")
    label = '{"mounts": [{"type": "binfmt_misc", "source": "x", "destination": "/b"}]}'
    image(
        store, "docker.io/lk/binfmt:1", {"app": "a"}, cmd=["/app"],
        labels={"org.mobyproject.config": label},
    )  # fmt: skip
    text = YML.replace("services:", '  - {name: formats, image: "lk/binfmt:1"}\nservices:')
    found = needs.gaps(*build(tmp_path, ALL, text=text))
    assert [(gap.need.container, gap.need.symbol) for gap in found] == [("formats", "BINFMT_MISC")]


@pytest.mark.parametrize(("direct", "loaded", "least"), [(88, 16 << 20, 192), (88, 38 << 20, 269), (301, 80 << 20, 428), (900, 80 << 20, 900)])
def test_firmware_needs_memory_of_its_own(direct, loaded, least):
    assert check.least_ram_of_uefi(direct, loaded) == least


def bzimage(mib: int) -> bytes:
    """The start of a kernel for x86 that takes this much while it starts (arch/x86/boot.rst)."""
    head = bytearray(0x264)
    head[0x202:0x206] = b"HdrS"
    head[0x260:] = (mib << 20).to_bytes(4, "little")
    return bytes(head)


@pytest.mark.parametrize(("content", "takes"), [(bzimage(19), 19), (bzimage(64), 64), (b"KERNEL", 56), (bytes(0x400), 56)])
def test_memory_follows_from_what_the_kernel_takes(tmp_path, content, takes):
    _, system = build(tmp_path, ALL, content=content)
    assert check.least_ram_of_disk_root(system, 2 << 20) == takes + 34
    tree = sum(each.tar.size for each in system.segments) / (1 << 20)
    assert check.least_ram_mib(system, 1 << 20) == math.ceil(takes + 26 + tree)
    assert check.least_ram_mib(system, 100 << 20) == math.ceil(takes + 2 * tree + 142)
