"""Every format, opened by programs that others wrote."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tarfile
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.build import artifact
from linuxkit.disk import tools
from linuxkit.formats import DISKS, efi
from support import formats, ukify
from support.foreign import assembled, check_fat, check_table, cut, run
from support.machines import HEAD, cache_folder
from support.proofs import HOLDS, MADE, READ

YML = HEAD.replace("quiet", "quiet linuxkit.version=1") + (
    'onboot:\n  - {name: one, image: "@pkg:busybox", command: [/bin/true]}\n'
    'files:\n  - {path: etc/marker, contents: "it is here", mode: "0640", uid: 7, gid: 8}\n'
)
MARKER = b"it is here"
MIB = 1 << 20


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Format → its files' paths by role; two folders, for two formats may share a file name."""
    store = linuxkit.open_store(cache_folder(tmp_path_factory.mktemp("cache")))
    found = {}
    for text, names in (
        (YML, [n for n in formats.GROUPS[0] if n != "raw-verity"]),
        (YML, formats.GROUPS[1]),
        (YML.replace("@pkg:kernel", "@pkg:kernel-full"), ["raw-verity"]),
    ):
        system = assembled(text, store)
        folder = tmp_path_factory.mktemp("out")
        for each in linuxkit.emit(system, names, directory=folder, name="t"):
            found[each.format] = {file.role: folder / file.name for file in each.files}
    return found


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """What ukify finds in a unified kernel image."""
    store = linuxkit.open_store(cache_folder(tmp_path_factory.mktemp("cache")))
    program = ukify.fetch(store, tmp_path_factory.mktemp("ukify"))
    return lambda image: ukify.inspect(program, image)


def told_of(paths, form: str) -> artifact.Artifact:
    """The sidecar beside the files of a format."""
    return artifact.load(next(iter(paths.values())).parent / f"t.{form}.json")


class Broken:
    """Our own tools, one of which fails."""

    def __init__(self, own, program: str, folder: Path) -> None:
        self._own, self._program = own, program
        self.identity = str(folder)  # so that nothing is taken that was made before
        self._path = folder / program
        self._path.write_text("#!/bin/sh\ncat > /dev/null\necho no such luck >&2\nexit 3\n")
        self._path.chmod(0o755)

    def program(self, name: str):
        own = self._own.program(name)
        return tools.Command((str(self._path),), {}) if name == self._program else own

    def data(self, name: str, arch: str) -> Path:
        return self._own.data(name, arch)


def erofs(program: str, *words: str | Path) -> bytes:
    """Debian 12's own programs are too old for these file systems."""
    store = linuxkit.open_store(os.environ.get("LINUXKIT_TEST_CACHE"))
    return tools.run(linuxkit.own_tools(store), program, *words)


def check_pe(path: Path, sections, kernel: Path | None = None) -> None:
    said = run("objdump", "-h", path)
    for name in (b".osrel", b".cmdline", b".initrd", b".linux"):
        assert name in said
    check_sections(path, sections, kernel)


def check_sections(path: Path, sections, kernel: Path | None) -> None:
    found = sections(path)
    assert {".osrel", ".cmdline", ".initrd", ".linux"} <= set(found)
    assert "IMAGE_VERSION=1" in found[".osrel"]["text"]
    assert "linuxkit.version=1" in found[".cmdline"]["text"]
    if kernel:
        assert found[".linux"]["sha256"] == hashlib.sha256(kernel.read_bytes()).hexdigest()


def check_iso(path: Path, *wanted: str) -> None:
    said = run("xorriso", "-abort_on", "SORRY", "-indev", path, "-report_el_torito", "plain")
    for word in wanted:
        assert word in said.decode()


def extract(iso: Path, name: str, out: Path) -> bytes:
    run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", name, out)
    return out.read_bytes()


def check_gcp(archive: Path, raw: Path, folder: Path) -> None:
    """It holds the disk ``raw``, and room up to whole GiB."""
    run("tar", "-xzf", archive, "-C", folder)
    disk = folder / "disk.raw"
    assert disk.stat().st_size == 1 << 30
    check_table(disk)
    data = raw.read_bytes()
    with disk.open("rb") as source:
        source.seek(MIB)
        assert source.read(len(data) - 2 * MIB) == data[MIB:-MIB]


def check_ova(archive: Path, raw: Path, folder: Path) -> None:
    run("tar", "-xf", archive, "-C", folder)
    run("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, folder / "linuxkit-disk.vmdk")
    sums = (folder / "linuxkit.mf").read_text().replace("SHA256(", "").replace(")= ", " ")
    lines = [f"{digest}  {name}" for name, digest in map(str.split, sums.splitlines())]
    run("sha256sum", "-c", "-", cwd=folder, input="\n".join(lines).encode())


def check_tar(archive: Path, files: dict[str, Path]) -> None:
    """It holds these files of the format kernel+initrd."""
    with tarfile.open(archive) as opened:
        for role, name in (("kernel", "kernel"), ("initrd", "initrd.img"), ("cmdline", "cmdline")):
            assert opened.extractfile(name).read() == files[role].read_bytes()


def check_oci(archive: Path, files: dict[str, Path], folder: Path) -> None:
    """The same for an artifact."""
    run("tar", "-xf", archive, "-C", folder)
    for path in files.values():
        data = path.read_bytes()
        blob = folder / "blobs" / "sha256" / hashlib.sha256(data).hexdigest()
        assert blob.read_bytes() == data


@pytest.mark.net
@pytest.mark.timeout(900)
class TestForeign:
    def test_all_are_made(self, built, prove):
        assert set(built) == set(formats.NAMES) - set(formats.CARDS)
        for form in built:
            made = told_of(built[form], form)
            assert made.format == form
            prove(form, MADE, made.boot.firmware if made.boot else "")

    def test_archives(self, built, need, tmp_path, prove):
        need("cpio", "zstd")
        for form, role in (("tar", "tar"), ("docker", "docker")):
            with tarfile.open(built[form][role]) as archive:
                assert archive.extractfile("etc/marker").read() == MARKER
        check_tar(built["tar-kernel-initrd"]["tar"], built["kernel+initrd"])
        for form, role in (("tar", "tar"), ("docker", "docker"), ("tar-kernel-initrd", "tar")):
            run("tar", "-tf", built[form][role])
            prove(form, READ, "tar")
        prove("tar-kernel-initrd", HOLDS, "kernel+initrd")
        plain = run("zstd", "-dcq", built["kernel+initrd"]["initrd"])
        listed = run("cpio", "--list", "--quiet", input=plain).decode().splitlines()
        assert {"dev", "etc", "proc"} <= set(listed)
        prove("kernel+initrd", READ, "cpio")

    def test_squashfs(self, built, need, prove):
        need("unsquashfs")
        image = built["kernel+squashfs"]["root"]
        assert run("unsquashfs", "-cat", image, "etc/marker") == MARKER
        said = run("unsquashfs", "-lln", image, "etc/marker").decode()
        assert "-rw-r----- 7/8" in said
        prove("kernel+squashfs", READ, "unsquashfs")

    def test_erofs(self, built, prove):
        for form in ("kernel+erofs", "microvm"):
            erofs("fsck.erofs", built[form]["root"])
            prove(form, READ, "fsck.erofs")
        said = erofs("dump.erofs", "--path=/etc/marker", built["kernel+erofs"]["root"]).decode()
        assert "Uid: 7" in said
        assert "Access: 0640" in said

    def test_microvm(self, built, need, prove):
        need("readelf")
        assert b"ELF64" in run("readelf", "-h", built["microvm"]["kernel"])
        settings = json.loads(built["microvm"]["settings"].read_text())
        folder = built["microvm"]["settings"].parent
        for key in ("kernel_image_path", "initrd_path"):
            assert (folder / settings["boot-source"][key]).is_file()
        assert (folder / settings["drives"][0]["path_on_host"]).is_file()
        prove("microvm", READ, "readelf")

    @pytest.mark.parametrize(
        ("form", "wanted"),
        [
            ("kernel+iso", []), ("iso-bios", ["BIOS", "boot-info-table"]), ("iso-efi", ["UEFI"]),
            ("iso-efi-initrd", ["UEFI"]), ("iso-hybrid", ["BIOS", "UEFI", "grub2-boot-info"]),
        ],
    )  # fmt: skip
    def test_cds(self, built, sections, tmp_path, need, prove, form, wanted):
        need("xorriso", "fsck.vfat", "sfdisk", "mcopy", "objdump")
        image = built[form]["cd"]
        check_iso(image, *wanted)
        prove(form, READ, "xorriso")
        if form != "iso-efi-initrd":
            assert extract(image, "/etc/marker", tmp_path / "marker") == MARKER
        if "UEFI" in wanted:
            esp = tmp_path / "esp"
            extract(image, "/boot/efi.img", esp)
            check_fat(esp)
            check_pe(
                self.efi_program(esp, tmp_path), sections, built["kernel+initrd"]["kernel"]
            )
            assert cut(image, 0, tmp_path / "part").read_bytes() == esp.read_bytes()
            prove(form, READ, "sfdisk", "fsck.vfat", "mtools", "objdump", "ukify")

    @staticmethod
    def efi_program(esp: Path, tmp_path: Path) -> Path:
        out = tmp_path / "program.efi"
        run("mcopy", "-n", "-i", esp, "::/EFI/BOOT/BOOTX64.EFI", out)
        return out

    def test_disks(self, built, sections, tmp_path, need, prove):
        need("sfdisk", "fsck.vfat", "mcopy", "objdump", "e2fsck")
        for form, number in (("raw-bios", 0), ("raw-efi", 0), ("aws", 1)):
            disk = built[form]["disk"]
            check_table(disk)
            part = cut(disk, number, tmp_path / form)
            check_fat(part)
            prove(form, READ, "sfdisk", "fsck.vfat", "mtools")
            if form != "raw-efi":
                run("mcopy", "-n", "-i", part, "::/initrd.img", tmp_path / "initrd")
                initrd = built["kernel+initrd"]["initrd"].read_bytes()
                assert (tmp_path / "initrd").read_bytes() == initrd
        kernel = built["kernel+initrd"]["kernel"]
        check_pe(self.efi_program(tmp_path / "raw-efi", tmp_path), sections, kernel)
        check_pe(built["uki"]["uki"], sections, kernel)
        prove(("raw-efi", "uki"), READ, "objdump", "ukify")
        ab = cut(built["raw-ab"]["disk"], 0, tmp_path / "raw-ab")
        check_table(built["raw-ab"]["disk"])
        check_fat(ab)
        run("e2fsck", "-f", "-n", cut(built["raw-ab"]["disk"], 1, tmp_path / "state"))
        run("mcopy", "-n", "-i", ab, "::/EFI/Linux/linuxkit_1.efi", tmp_path / "one.efi")
        assert (tmp_path / "one.efi").read_bytes() == built["uki"]["uki"].read_bytes()
        assert b"BOOTX64" in run("mdir", "-i", ab, "-b", "::/EFI/BOOT")
        check_pe(tmp_path / "one.efi", sections, kernel)
        prove("raw-ab", READ, "sfdisk", "fsck.vfat", "mtools", "objdump", "ukify", "e2fsck")
        assert built["raw-bios"]["disk"].read_bytes()[510:512] == b"\x55\xaa"

    @pytest.mark.parametrize(
        ("form", "kind", "same"),
        [
            ("qcow2-bios", "qcow2", "raw-bios"), ("qcow2-efi", "qcow2", "raw-efi"),
            ("vmdk", "vmdk", "aws"), ("vhd", "vpc", "aws"), ("dynamic-vhd", "vpc", "aws"),
            ("vhdx", "vhdx", "aws"),
        ],
    )  # fmt: skip
    def test_containers_hold_the_raw_disk(self, built, need, prove, form, kind, same):
        need("qemu-img")
        raw, path = built[same]["disk"], built[form]["disk"]
        run("qemu-img", "compare", "-f", "raw", "-F", kind, raw, path)
        if kind != "vpc":
            run("qemu-img", "check", "-f", kind, path)
        prove(form, READ, "qemu-img")
        prove(form, HOLDS, same)

    def test_archives_of_clouds(self, built, tmp_path, need, prove):
        need("tar", "sfdisk", "qemu-img")
        raw = built["aws"]["disk"]
        check_gcp(built["gcp"]["archive"], raw, tmp_path)
        check_ova(built["ova"]["ova"], raw, tmp_path)
        prove("gcp", READ, "tar", "sfdisk")
        prove("ova", READ, "tar", "qemu-img", "sha256sum")
        prove(("gcp", "ova"), HOLDS, "aws")

    def test_checked_root(self, built, sections, tmp_path, need, prove):
        need("sfdisk", "veritysetup", "e2fsck", "objdump", "fsck.vfat", "mcopy")
        disk = built["raw-verity"]["disk"]
        check_table(disk)
        esp, root, hashes, state = (cut(disk, n, tmp_path / f"p{n}") for n in range(4))
        run("e2fsck", "-f", "-n", state)
        erofs("fsck.erofs", root)
        program = self.efi_program(tmp_path / "p0", tmp_path)
        check_fat(esp)
        check_pe(program, sections)
        words = sections(program)[".cmdline"]["text"].split()
        (digest,) = (w.removeprefix("roothash=") for w in words if w.startswith("roothash="))
        run("veritysetup", "verify", root, hashes, digest)
        table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]["partitions"]
        uuids = table[1]["uuid"] + table[2]["uuid"]
        assert uuids.replace("-", "").lower() == digest
        prove("raw-verity", READ, "sfdisk", "fsck.vfat", "mtools", "objdump", "ukify")
        prove("raw-verity", READ, "veritysetup", "fsck.erofs", "e2fsck")

    def test_artifact_for_registries(self, built, tmp_path, need, prove):
        need("skopeo")
        said = json.loads(run("skopeo", "inspect", "--raw", f"oci-archive:{built['oci']['oci']}"))
        assert said["manifests"][0]["platform"]["architecture"] == "amd64"
        check_oci(built["oci"]["oci"], built["kernel+initrd"], tmp_path)
        prove("oci", READ, "skopeo", "tar")
        prove("oci", HOLDS, "kernel+initrd")

    def test_the_kernel_lies_where_loaders_look(self, built, tmp_path, need):
        need("xorriso")
        kernel = built["kernel+initrd"]["kernel"].read_bytes()
        assert extract(built["iso-bios"]["cd"], "/boot/kernel", tmp_path / "k") == kernel
        # GRUB's boot sector names the sector of the rest of it (boot_hybrid.img, offset 0x1b0).
        head = built["iso-bios"]["cd"].read_bytes()[:512]
        (sector,) = struct.unpack_from("<Q", head, 0x1B0)
        grub = extract(built["iso-bios"]["cd"], "/boot/grub.img", tmp_path / "g")
        with built["iso-bios"]["cd"].open("rb") as source:
            source.seek((sector - 4) * 512)
            assert source.read(len(grub)) == grub

    def test_arm64_is_made_too(self, sections, tmp_path, need, prove):
        need("xorriso", "sfdisk", "fsck.vfat", "mdir", "qemu-img", "unsquashfs")
        names = [n for n in formats.NAMES if n not in {*formats.ONLY_AMD64, *formats.CARDS, "raw-verity", "dynamic-vhd"}]
        system = assembled(YML.replace("ttyS0", "ttyAMA0"), linuxkit.open_store(cache_folder(tmp_path / "cache")), "arm64")
        made = linuxkit.emit(system, names, directory=tmp_path, name="t")
        (usual,) = (each for each in made if each.format == "kernel+initrd")
        assert {each.format for each in made} == set(names)
        made += linuxkit.emit(system, ["dynamic-vhd"], directory=tmp_path, name="dynamic")
        for each in made:
            prove(each.format, MADE, each.boot.firmware if each.boot else "", arch="arm64")
        check_iso(tmp_path / "t-efi.iso", "UEFI")
        prove("iso-efi", READ, "xorriso", arch="arm64")
        for form, disk, number in (("raw-efi", "t-efi.img", 0), ("aws", "t.raw", 0)):
            check_table(tmp_path / disk)
            part = cut(tmp_path / disk, number, tmp_path / "part")
            check_fat(part)
            assert b"BOOTAA64" in run("mdir", "-i", part, "-b", "::/EFI/BOOT")
            prove(form, READ, "sfdisk", "fsck.vfat", "mtools", arch="arm64")
        check_sections(tmp_path / "t.efi", sections, tmp_path / "t-kernel")
        prove("uki", READ, "ukify", arch="arm64")
        assert run("unsquashfs", "-cat", tmp_path / "t-squashfs.img", "etc/marker") == MARKER
        prove("kernel+squashfs", READ, "unsquashfs", arch="arm64")
        erofs("fsck.erofs", tmp_path / "t-erofs.img")
        prove("kernel+erofs", READ, "fsck.erofs", arch="arm64")
        for form, kind, file, same in (
            ("qcow2-efi", "qcow2", "t-efi.qcow2", "raw-efi"), ("vmdk", "vmdk", "t.vmdk", "aws"),
            ("vhd", "vpc", "t.vhd", "aws"), ("vhdx", "vhdx", "t.vhdx", "aws"),
            ("dynamic-vhd", "vpc", "dynamic.vhd", "aws"),
        ):  # fmt: skip
            raw = tmp_path / ("t.raw" if same == "aws" else "t-efi.img")
            run("qemu-img", "compare", "-f", "raw", "-F", kind, raw, tmp_path / file)
            prove(form, READ, "qemu-img", arch="arm64")
            prove(form, HOLDS, same, arch="arm64")
        check_gcp(tmp_path / "t.img.tar.gz", tmp_path / "t.raw", tmp_path)
        check_ova(tmp_path / "t.ova", tmp_path / "t.raw", tmp_path)
        prove("gcp", READ, "tar", "sfdisk", arch="arm64")
        prove("ova", READ, "tar", "qemu-img", "sha256sum", arch="arm64")
        prove(("gcp", "ova"), HOLDS, "aws", arch="arm64")
        files = {each.role: tmp_path / each.name for each in usual.files}
        check_tar(tmp_path / "t-initrd.tar", files)
        check_oci(tmp_path / "t.oci.tar", files, tmp_path)
        prove(("tar-kernel-initrd", "oci"), HOLDS, "kernel+initrd", arch="arm64")
        for name in sorted(formats.ONLY_AMD64):
            with pytest.raises(Error) as caught:
                linuxkit.emit(system, [name], directory=tmp_path, name="x")
            assert caught.value.code == "LK0746"
        assert not list(tmp_path.glob("x*"))

    def test_a_disk_is_as_large_as_wished(self, built, tmp_path, need):
        need("sfdisk", "qemu-img")
        system = assembled(YML, linuxkit.open_store(cache_folder(tmp_path / "cache")))
        names = ["raw-bios", "raw-efi", "qcow2-bios", "vhdx", "raw-ab"]
        made = linuxkit.emit(system, names, directory=tmp_path, name="t", size=200 * MIB)
        for each in made:
            disk = tmp_path / each.files[0].name
            assert json.loads(run("qemu-img", "info", "--output=json", disk))["virtual-size"] == 200 * MIB
            if disk.suffix == ".img":
                check_table(disk)
                part = cut(disk, 0, tmp_path / "part")
                assert part.read_bytes() == cut(built[each.format]["disk"], 0, tmp_path / "small").read_bytes()
        for name in set(DISKS) - {"raw-verity", "gcp", *formats.CARDS}:
            with pytest.raises(Error, match="MiB are wished for") as caught:
                linuxkit.emit(system, [name], directory=tmp_path, name="x", size=MIB)
            assert caught.value.code == "LK0785"
        assert not list(tmp_path.glob("x*"))

    def test_a_build_tells_of_what_may_not_start_everywhere(self, tmp_path, monkeypatch):
        system = assembled(YML, linuxkit.open_store(cache_folder(tmp_path / "cache")))
        monkeypatch.setattr(efi, "_USUAL", MIB)
        told = []
        with events.reporting(told.append):
            linuxkit.emit(system, ["uki", "iso-hybrid"], directory=tmp_path, name="t")
        codes = [each.code for each in told if isinstance(each, events.Note) and each.level == "warning"]
        assert codes == ["LK0786", "LK0787", "LK0786"]

    @pytest.mark.parametrize(
        ("program", "form"),
        [
            ("mkfs.erofs", "kernel+erofs"), ("tar2sqfs", "kernel+squashfs"), ("mke2fs", "raw-verity"),
            ("mkfs.fat", "raw-efi"), ("mtools", "iso-efi"), ("sfdisk", "vmdk"),
            ("grub-mkimage", "raw-bios"), ("grub-mkimage", "iso-bios"), ("qemu-img", "qcow2-efi"),
        ],
    )  # fmt: skip
    def test_a_failed_tool_leaves_no_file_and_says_how_it_was_called(self, tmp_path, program, form):
        store = linuxkit.open_store(cache_folder(tmp_path / "cache"))
        text = YML.replace("@pkg:kernel", "@pkg:kernel-full") if form == "raw-verity" else YML
        system = assembled(text, store)
        out = tmp_path / "out"
        out.mkdir()
        broken = Broken(linuxkit.own_tools(store), program, tmp_path)
        with pytest.raises(Error, match="status 3") as caught:
            linuxkit.emit(system, [form], directory=out, name="t", tools=broken)
        assert caught.value.code == "LK0902"
        assert f"{tmp_path / program} " in caught.value.detail
        assert "no such luck" in caught.value.detail
        assert list(out.iterdir()) == []
