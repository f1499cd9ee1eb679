"""What is booted is found by any of its names, and started as it wants to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from linuxkit.base import proc
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact, BootFacts, OutFile
from linuxkit.disk import certificates
from linuxkit.runners import Options, disks, firmware, image, tpm
from linuxkit.runners.firmware import Firmware, Medium
from linuxkit.runners.qemu import Host, command
from support import efi

UEFI = Firmware("/fw/CODE.fd", "/fw/VARS,1.fd")


def artifact(
    folder: Path, form: str, files: dict[str, str], boots: str = "direct", arch: str = "amd64"
) -> Artifact:
    listed = tuple(OutFile(role, name, 1) for role, name in files.items())
    facts = BootFacts(boots, "x", "console=ttyS0", "ttyS0", 100)
    return Artifact(form, "web", folder, arch, Digest("sha256:" + "0" * 64), listed, facts)


def words(found: Artifact, fw: Firmware | None = None) -> str:
    return " ".join(command(found, Options(), Host("tcg", 4, 5, identity="x", firmware=fw)))


def test_a_disk_is_first_and_written_to():
    said = words(artifact(Path("/o"), "vhdx", {"disk": "web.vhdx"}, "any"))
    assert "-drive id=boot,if=none,format=vhdx,file=/o/web.vhdx -device virtio-blk-pci,drive=boot,serial=boot,bootindex=0" in said
    assert "-kernel" not in said
    assert "pflash" not in said


def test_uefi_has_its_code_and_variables_that_are_forgotten():
    said = words(artifact(Path("/o"), "raw-efi", {"disk": "web-efi.img"}, "uefi"), UEFI)
    assert "if=pflash,unit=0,format=raw,file=/fw/CODE.fd,readonly=on" in said
    assert "if=pflash,unit=1,format=raw,file=/fw/VARS,,1.fd,snapshot=on" in said


def test_a_cd_is_only_read():
    said = words(artifact(Path("/o"), "iso-bios", {"cd": "web.iso"}, "bios"))
    assert "file=/o/web.iso,readonly=on,media=cdrom" in said
    assert "scsi-cd,bus=scsi0.0,drive=boot,bootindex=0" in said


def test_a_root_beside_a_kernel_is_not_what_is_started():
    files = {"root": "web-squashfs.img", "kernel": "web-kernel", "initrd": "web-squashfs-initrd.img"}
    said = words(artifact(Path("/o"), "kernel+squashfs", files))
    assert "-kernel /o/web-kernel -initrd /o/web-squashfs-initrd.img -append console=ttyS0" in said
    assert "file=/o/web-squashfs.img,readonly=on" in said
    assert "bootindex" not in said


def test_a_unified_image_is_loaded_as_a_kernel():
    said = words(artifact(Path("/o"), "uki", {"uki": "web.efi"}, "uefi"), UEFI)
    assert "-kernel /o/web.efi" in said
    assert "-append" not in said
    assert "-initrd" not in said


def test_settings_are_on_a_cd_of_their_own(tmp_path):
    path = disks.write_seed(b"hello", tmp_path / "state")
    assert b"hello" in path.read_bytes()
    found = artifact(Path("/o"), "iso-bios", {"cd": "web.iso"}, "bios")
    said = " ".join(command(found, Options(), Host("tcg", 4, 5, identity="x", seed=path)))
    assert f"id=seed,if=none,format=raw,file={path},readonly=on,media=cdrom" in said
    assert "scsi-cd,bus=scsi1.0,drive=seed" in said


class Tools:
    identity = "x"

    def program(self, name):
        raise AssertionError

    def data(self, name, arch):
        return Path(f"/tools/{name}-{arch}")


@pytest.mark.parametrize(
    ("boots", "arch", "wanted", "found"),
    [
        ("direct", "amd64", "", False), ("bios", "amd64", "", False), ("any", "amd64", "", False),
        ("any", "arm64", "", True), ("uefi", "amd64", "", True), ("any", "amd64", "uefi", True),
        ("bios", "amd64", "uefi", True), ("uefi", "amd64", "bios", False),
    ],
)  # fmt: skip
def test_which_firmware(boots, arch, wanted, found):
    made = artifact(Path("/o"), "f", {"disk": "d.img"}, boots, arch)
    given = firmware.find(made, Options(firmware=wanted, tools=Tools()), Path("/s"))
    expected = Firmware(f"/tools/firmware-{arch}", f"/tools/firmware-variables-{arch}")
    assert given == (expected if found else None)


def test_a_named_firmware(tmp_path):
    found = artifact(Path("/o"), "raw-efi", {"disk": "d.img"}, "uefi")
    options = Options(firmware_file=str(tmp_path / "fw"), tools=Tools())
    with pytest.raises(Error) as caught:
        firmware.find(found, options, tmp_path)
    assert caught.value.code == "LK0830"
    (tmp_path / "fw").touch()
    assert firmware.find(found, options, tmp_path) == Firmware(str(tmp_path / "fw"))


class TestSecureBoot:
    disk = artifact(Path("/o"), "raw-efi", {"disk": "web-efi.img"}, "uefi")

    @pytest.fixture
    def tools(self, tmp_path):
        class Here(Tools):
            def data(self, name, arch):
                assert name in {"firmware-secure", "firmware-variables"}
                return tmp_path / name

        (tmp_path / "firmware-variables").write_bytes(efi.variables())
        return Here()

    def test_a_machine_has_variables_of_its_own(self, tmp_path, tools):
        certificates.create(tmp_path / "keys")
        options = Options(secure_boot=tmp_path / "keys", tools=tools)
        found = firmware.find(self.disk, options, tmp_path / "state")
        assert found.own
        assert found.guarded
        assert found.code == str(tmp_path / "firmware-secure")
        made = Path(found.variables)
        assert made.parent == tmp_path / "state"
        assert list(efi.held(made.read_bytes()))[:3] == ["PK", "KEK", "db"]
        made.write_bytes(b"what firmware has written")
        assert firmware.find(self.disk, options, tmp_path / "state") == found
        assert made.read_bytes() == b"what firmware has written"

    def test_a_store_is_copied(self, tmp_path, tools):
        store = tmp_path / "mine.fd"
        store.write_bytes(b"anything")
        found = firmware.find(self.disk, Options(secure_boot=store, tools=tools), tmp_path / "state")
        assert Path(found.variables) != store
        assert Path(found.variables).read_bytes() == b"anything"

    def test_arm64_has_no_mode_of_the_processor_that_guards_them(self, tmp_path, tools):
        certificates.create(tmp_path / "keys")
        disk = artifact(Path("/o"), "raw-efi", {"disk": "web-efi.img"}, "uefi", "arm64")
        found = firmware.find(disk, Options(secure_boot=tmp_path / "keys", tools=tools), tmp_path / "state")
        assert (found.own, found.guarded) == (True, False)
        said = words(disk, found)
        assert "-machine virt -accel" in said
        assert "secure" not in said.replace("firmware-secure", "")
        assert "snapshot" not in said

    def test_what_qemu_is_told(self):
        said = words(self.disk, Firmware("/c", "/v", own=True, guarded=True))
        assert "-machine q35,smm=on" in said
        assert "-global driver=cfi.pflash01,property=secure,value=on" in said
        assert "if=pflash,unit=1,format=raw,file=/v -global" in said

    @pytest.mark.parametrize(
        ("made", "more"),
        [
            (artifact(Path("/o"), "uki", {"uki": "web.efi"}, "uefi"), {}),
            (artifact(Path("/o"), "kernel+initrd", {"kernel": "web-kernel"}), {}),
            (artifact(Path("/o"), "raw-bios", {"disk": "web-bios.img"}, "bios"), {}),
            (disk, {"firmware_file": "/fw"}), (disk, {"machine": "pc"}), (disk, {"firmware": "bios"}),
        ],
    )  # fmt: skip
    def test_what_it_has_no_say_in(self, made, more, tmp_path, tools):
        options = Options(secure_boot=tmp_path, tools=tools, **more)
        with pytest.raises(Error) as caught:
            firmware.find(made, options, tmp_path / "state")
        assert caught.value.code == "LK0870"
        assert not (tmp_path / "state").exists()


class TestTpm:
    def test_what_qemu_is_told(self):
        made = artifact(Path("/o"), "raw-efi", {"disk": "web-efi.img"}, "uefi")
        said = " ".join(command(made, Options(tpm=True), Host("tcg", 4, 5, identity="x", firmware=UEFI, tpm=9)))
        assert "-chardev socket,id=tpm,fd=9 -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0" in said

    @pytest.mark.parametrize(("arch", "machine"), [("s390x", "s390-ccw-virtio"), ("amd64", "microvm")])
    def test_machines_without_a_place_for_it(self, arch, machine):
        with pytest.raises(Error) as caught:
            tpm.check(arch, machine)
        assert caught.value.code == "LK0871"

    def test_it_answers_and_can_be_ended(self, tmp_path, need):
        need("swtpm")
        process, wire = tpm.start(tmp_path / "tpm")
        try:
            # CMD_GET_CAPABILITY of swtpm's control channel, which answers with 64 bits.
            wire.sendall((1).to_bytes(4, "big"))
            wire.settimeout(60)
            assert len(wire.recv(64)) >= 8
        finally:
            wire.close()
            proc.finish(process, 0)
        assert process.returncode == -9


class TestLocate:
    def made(self, tmp_path, form, files, boots="direct"):
        for name in files.values():
            (tmp_path / name).write_bytes(b"x")
        found = artifact(tmp_path, form, files, boots)
        found.save()
        return found

    def test_by_a_file_of_it(self, tmp_path):
        disk = self.made(tmp_path, "raw-efi", {"disk": "web-efi.img"}, "uefi")
        usual = self.made(tmp_path, "kernel+initrd", {"kernel": "web-kernel"})
        (tmp_path / "web.json").write_text("something else")
        assert image.locate(tmp_path / "web-efi.img") == disk
        assert image.locate(tmp_path / "web") == usual

    def test_the_quickest_where_there_is_no_usual_one(self, tmp_path):
        self.made(tmp_path, "raw-efi", {"disk": "web-efi.img"}, "uefi")
        bios = self.made(tmp_path, "raw-bios", {"disk": "web-bios.img"}, "bios")
        assert image.locate(tmp_path / "web") == bios

    @pytest.mark.parametrize(
        ("name", "cd", "medium"),
        [
            ("a.iso", False, "cd"), ("a.qcow2", False, "disk"), ("a.bin", True, "cd"),
            ("a.vhd", False, "disk"),
        ],
    )  # fmt: skip
    def test_images_that_nothing_is_known_of(self, tmp_path, name, cd, medium):
        (tmp_path / name).write_bytes(b"x")
        found = firmware.medium(image.locate(tmp_path / name, "amd64", cd=cd))
        assert found == Medium(tmp_path / name, medium, {".qcow2": "qcow2", ".vhd": "vpc"}.get(Path(name).suffix, "raw"))

    def test_what_is_no_image(self, tmp_path):
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(Error) as caught:
            image.locate(tmp_path / "notes.txt")
        assert caught.value.code == "LK0801"

    def test_upstreams_squashfs_files(self, tmp_path):
        for name in ("web-kernel", "web-squashfs.img"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "web-cmdline").write_text("console=ttyS0")
        found = image.locate(tmp_path / "web", "amd64")
        assert found.boot.cmdline == "console=ttyS0 root=/dev/vda"
        assert firmware.medium(found) == Medium(tmp_path / "web-squashfs.img", "root", "raw", first=False)
