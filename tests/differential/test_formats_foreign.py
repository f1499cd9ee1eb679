"""Every format, opened by programs that others wrote; and the documentation's table of them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.disk import tools
from support import formats
from support.machines import HEAD, cache_folder

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "formats.md"
YML = HEAD.replace("quiet", "quiet linuxkit.version=1") + (
    'onboot:\n  - {name: one, image: "@pkg:busybox", command: [/bin/true]}\n'
    'files:\n  - {path: etc/marker, contents: "it is here", mode: "0640", uid: 7, gid: 8}\n'
)
MARKER = b"it is here"
MIB = 1 << 20


def run(*argv: str | Path, **options) -> bytes:
    done = subprocess.run(argv, capture_output=True, check=False, **options)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def assembled(text: str, store, arch: str = "amd64"):
    spec = linuxkit.load(["-"], arch=arch, stdin=text.encode())
    sources = linuxkit.default_sources(store)
    plan = linuxkit.resolve(spec, store=store, sources=sources, arch=arch)
    linuxkit.fetch(plan, store=store)
    return linuxkit.assemble(plan, store=store)


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


def cut(disk: Path, number: int, out: Path) -> Path:
    """A partition of a disk, as sfdisk sees them."""
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]
    part = table["partitions"][number]
    with disk.open("rb") as source, out.open("wb") as target:
        source.seek(part["start"] * 512)
        target.write(source.read(part["size"] * 512))
    return out


def erofs(program: str, *words: str | Path) -> bytes:
    """Debian 12's own programs are too old for these file systems."""
    store = linuxkit.open_store(os.environ.get("LINUXKIT_TEST_CACHE"))
    return tools.run(linuxkit.own_tools(store), program, *words)


def check_table(disk: Path) -> None:
    said = run("sfdisk", "--verify", disk)
    assert b"overlap" not in said
    assert b"No errors detected" in said


def check_fat(path: Path) -> None:
    run("fsck.vfat", "-n", "-v", path)


def check_pe(path: Path) -> None:
    said = run("objdump", "-h", path)
    for name in (b".osrel", b".cmdline", b".initrd", b".linux"):
        assert name in said


def check_iso(path: Path, *wanted: str) -> None:
    said = run("xorriso", "-abort_on", "SORRY", "-indev", path, "-report_el_torito", "plain")
    for word in wanted:
        assert word in said.decode()


def extract(iso: Path, name: str, out: Path) -> bytes:
    run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", name, out)
    return out.read_bytes()


@pytest.mark.net
@pytest.mark.timeout(900)
class TestForeign:
    def test_archives(self, built, need):
        need("cpio", "zstd")
        for form, role in (("tar", "tar"), ("docker", "docker")):
            with tarfile.open(built[form][role]) as archive:
                assert archive.extractfile("etc/marker").read() == MARKER
        with tarfile.open(built["tar-kernel-initrd"]["tar"]) as archive:
            assert {"kernel", "initrd.img", "cmdline"} <= set(archive.getnames())
        plain = run("zstd", "-dcq", built["kernel+initrd"]["initrd"])
        listed = run("cpio", "--list", "--quiet", input=plain).decode().splitlines()
        assert {"dev", "etc", "proc"} <= set(listed)

    def test_squashfs(self, built, tmp_path, need):
        need("unsquashfs")
        image = built["kernel+squashfs"]["root"]
        assert run("unsquashfs", "-cat", image, "etc/marker") == MARKER
        said = run("unsquashfs", "-lln", image, "etc/marker").decode()
        assert "-rw-r----- 7/8" in said

    def test_erofs(self, built):
        for form in ("kernel+erofs", "microvm"):
            erofs("fsck.erofs", built[form]["root"])
        said = erofs("dump.erofs", "--path=/etc/marker", built["kernel+erofs"]["root"]).decode()
        assert "Uid: 7" in said
        assert "Access: 0640" in said

    def test_microvm(self, built, need):
        need("readelf")
        assert b"ELF64" in run("readelf", "-h", built["microvm"]["kernel"])
        settings = json.loads(built["microvm"]["settings"].read_text())
        folder = built["microvm"]["settings"].parent
        for key in ("kernel_image_path", "initrd_path"):
            assert (folder / settings["boot-source"][key]).is_file()
        assert (folder / settings["drives"][0]["path_on_host"]).is_file()

    @pytest.mark.parametrize(
        ("form", "wanted"),
        [
            ("kernel+iso", []), ("iso-bios", ["BIOS", "boot-info-table"]), ("iso-efi", ["UEFI"]),
            ("iso-efi-initrd", ["UEFI"]), ("iso-hybrid", ["BIOS", "UEFI", "grub2-boot-info"]),
        ],
    )  # fmt: skip
    def test_cds(self, built, tmp_path, need, form, wanted):
        need("xorriso", "fsck.vfat")
        image = built[form]["cd"]
        check_iso(image, *wanted)
        if form != "iso-efi-initrd":
            assert extract(image, "/etc/marker", tmp_path / "marker") == MARKER
        if "UEFI" in wanted:
            esp = tmp_path / "esp"
            extract(image, "/boot/efi.img", esp)
            check_fat(esp)
            check_pe(self.efi_program(esp, tmp_path))
            assert cut(image, 0, tmp_path / "part").read_bytes() == esp.read_bytes()

    @staticmethod
    def efi_program(esp: Path, tmp_path: Path) -> Path:
        out = tmp_path / "program.efi"
        run("mcopy", "-n", "-i", esp, "::/EFI/BOOT/BOOTX64.EFI", out)
        return out

    def test_disks(self, built, tmp_path, need):
        need("sfdisk", "fsck.vfat", "mcopy", "objdump")
        for form, number in (("raw-bios", 0), ("raw-efi", 0), ("aws", 1)):
            disk = built[form]["disk"]
            check_table(disk)
            part = cut(disk, number, tmp_path / form)
            check_fat(part)
            if form != "raw-efi":
                run("mcopy", "-n", "-i", part, "::/initrd.img", tmp_path / "initrd")
                initrd = built["kernel+initrd"]["initrd"].read_bytes()
                assert (tmp_path / "initrd").read_bytes() == initrd
        check_pe(self.efi_program(tmp_path / "raw-efi", tmp_path))
        check_pe(built["uki"]["uki"])
        ab = cut(built["raw-ab"]["disk"], 0, tmp_path / "raw-ab")
        check_table(built["raw-ab"]["disk"])
        check_fat(ab)
        run("mcopy", "-n", "-i", ab, "::/EFI/Linux/linuxkit_1.efi", tmp_path / "one.efi")
        assert (tmp_path / "one.efi").read_bytes() == built["uki"]["uki"].read_bytes()
        assert b"BOOTX64" in run("mdir", "-i", ab, "-b", "::/EFI/BOOT")
        assert built["raw-bios"]["disk"].read_bytes()[510:512] == b"\x55\xaa"

    @pytest.mark.parametrize(
        ("form", "kind", "same"),
        [
            ("qcow2-bios", "qcow2", "raw-bios"), ("qcow2-efi", "qcow2", "raw-efi"),
            ("vmdk", "vmdk", "aws"), ("vhd", "vpc", "aws"), ("dynamic-vhd", "vpc", "aws"),
            ("vhdx", "vhdx", "aws"),
        ],
    )  # fmt: skip
    def test_containers_hold_the_raw_disk(self, built, need, form, kind, same):
        need("qemu-img")
        raw, path = built[same]["disk"], built[form]["disk"]
        run("qemu-img", "compare", "-f", "raw", "-F", kind, raw, path)
        if kind != "vpc":
            run("qemu-img", "check", "-f", kind, path)

    def test_archives_of_clouds(self, built, tmp_path, need):
        need("tar", "sfdisk", "qemu-img")
        run("tar", "-xzf", built["gcp"]["archive"], "-C", tmp_path)
        disk = tmp_path / "disk.raw"
        assert disk.stat().st_size == 1 << 30
        check_table(disk)
        raw = built["aws"]["disk"].read_bytes()
        with disk.open("rb") as source:
            source.seek(MIB)
            assert source.read(len(raw) - 2 * MIB) == raw[MIB:-MIB]
        run("tar", "-xf", built["ova"]["ova"], "-C", tmp_path)
        compare = ("qemu-img", "compare", "-f", "raw", "-F", "vmdk", built["aws"]["disk"])
        run(*compare, tmp_path / "linuxkit-disk.vmdk")
        sums = (tmp_path / "linuxkit.mf").read_text().replace("SHA256(", "").replace(")= ", " ")
        lines = [f"{digest}  {name}" for name, digest in map(str.split, sums.splitlines())]
        run("sha256sum", "-c", "-", cwd=tmp_path, input="\n".join(lines).encode())

    def test_checked_root(self, built, tmp_path, need):
        need("sfdisk", "veritysetup", "e2fsck", "objcopy")
        disk = built["raw-verity"]["disk"]
        check_table(disk)
        _, root, hashes, state = (cut(disk, n, tmp_path / f"p{n}") for n in range(4))
        run("e2fsck", "-f", "-n", state)
        erofs("fsck.erofs", root)
        program = self.efi_program(tmp_path / "p0", tmp_path)
        run("objcopy", "-O", "binary", "-j", ".cmdline", program, tmp_path / "cmdline")
        words = (tmp_path / "cmdline").read_bytes().rstrip(b"\0").decode().split()
        (digest,) = (w.removeprefix("roothash=") for w in words if w.startswith("roothash="))
        run("veritysetup", "verify", root, hashes, digest)
        table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]["partitions"]
        uuids = table[1]["uuid"] + table[2]["uuid"]
        assert uuids.replace("-", "").lower() == digest

    def test_artifact_for_registries(self, built, need):
        need("skopeo")
        said = json.loads(run("skopeo", "inspect", "--raw", f"oci-archive:{built['oci']['oci']}"))
        assert said["manifests"][0]["platform"]["architecture"] == "amd64"

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

    def test_arm64_is_made_too(self, tmp_path, need):
        need("objdump", "xorriso", "fsck.vfat")
        names = [n for n in formats.NAMES if n not in {*formats.ONLY_AMD64, "raw-verity", "dynamic-vhd"}]
        system = assembled(YML.replace("ttyS0", "ttyAMA0"), linuxkit.open_store(cache_folder(tmp_path / "cache")), "arm64")
        made = linuxkit.emit(system, names, directory=tmp_path, name="t")
        assert {each.format for each in made} == set(names)
        check_iso(tmp_path / "t-efi.iso", "UEFI")
        for disk, number in (("t-efi.img", 0), ("t.raw", 0)):
            check_table(tmp_path / disk)
            part = cut(tmp_path / disk, number, tmp_path / "part")
            check_fat(part)
            assert b"BOOTAA64" in run("mdir", "-i", part, "-b", "::/EFI/BOOT")
        for name in sorted(formats.ONLY_AMD64):
            with pytest.raises(Error) as caught:
                linuxkit.emit(system, [name], directory=tmp_path, name="x")
            assert caught.value.code == "LK0746"
        assert not list(tmp_path.glob("x*"))

    def test_a_failed_tool_leaves_no_file_and_says_how_it_was_called(self, built, tmp_path, monkeypatch):
        store = linuxkit.open_store(cache_folder(tmp_path / "cache"))
        system = assembled(YML.replace("here", "there"), store)
        fake = tmp_path / "bin"
        fake.mkdir()
        (fake / "mkfs.erofs").write_text("#!/bin/sh\ncat > /dev/null\necho no such luck >&2\nexit 3\n")
        (fake / "mkfs.erofs").chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake}:/usr/bin:/bin")
        out = tmp_path / "out"
        out.mkdir()
        with pytest.raises(Error, match="status 3") as caught:
            linuxkit.emit(system, ["kernel+erofs"], directory=out, name="t", tools=tools.HostTools())
        assert caught.value.code == "LK0902"
        assert "mkfs.erofs" in caught.value.detail
        assert "no such luck" in caught.value.detail
        assert list(out.iterdir()) == []


def test_the_documentation_tells_what_the_tests_prove(request):
    begin, end = "<!-- made by tests/support/formats.py -->\n", "<!-- end -->"
    text = PAGE.read_text()
    head, _, rest = text.partition(begin)
    found, _, tail = rest.partition(end)
    if request.config.getoption("--accept"):
        PAGE.write_text(head + begin + formats.table() + end + tail)
    else:
        assert found == formats.table(), "run: pytest -k documentation_tells --accept"
