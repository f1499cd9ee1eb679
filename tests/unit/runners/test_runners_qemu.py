from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from linuxkit import runners
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact, BootFacts, OutFile
from linuxkit.runners import Disk, Forward, Network, Options, find, image, qemu
from linuxkit.runners.disks import Drive, prepare
from linuxkit.runners.options import Secret
from linuxkit.runners.qemu import Host, command

DIGEST = Digest("sha256:" + "0" * 64)


def artifact(arch: str = "amd64", *, format: str = "kernel+initrd", boot: bool = True) -> Artifact:  # noqa: A002
    files = (
        OutFile("kernel", "web-kernel", 1),
        OutFile("initrd", "web-initrd.img", 1),
        OutFile("cmdline", "web-cmdline", 1),
    )
    facts = BootFacts("direct", "initramfs", "console=ttyS0 quiet", "ttyS0", 100)
    return Artifact(format, "web", Path("/out"), arch, DIGEST, files, facts if boot else None)


COMMON = (
    "-nodefaults -no-user-config -display none -name web {machine} -smp 1 -m 1024"
    " -uuid fb88fd36-52bd-87f9-8860-bd64d48dc846"
    " -kernel /out/web-kernel -initrd /out/web-initrd.img -append CMDLINE -serial mon:stdio"
    " -object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-{bus},rng=rng0"
    " -chardev socket,id=control,fd=5 -mon chardev=control,mode=control"
    " -chardev socket,id=report,fd=4 -device virtio-serial-{bus}"
    " -device virtserialport,chardev=report,name=org.linuxkit.report{panic}"
    " -netdev user,id=net0 -device virtio-net-{bus},netdev=net0,mac=52:54:00:a3:52:62{rom}"
)
GOLDEN = {
    ("amd64", "tcg"): "-machine q35 -accel tcg -cpu max",
    ("amd64", "kvm"): "-machine q35 -accel kvm -cpu host",
    ("amd64", "kvm:tcg"): "-machine q35 -accel kvm -accel tcg -cpu host",
    ("arm64", "tcg"): "-machine virt -accel tcg -cpu cortex-a57",
    ("arm64", "kvm"): "-machine virt,gic-version=host -accel kvm -cpu host",
    ("riscv64", "tcg"): "-machine virt -accel tcg",
    ("s390x", "tcg"): "-machine s390-ccw-virtio -accel tcg -cpu max",
}


def argv(options: Options, arch: str = "amd64", **host: object) -> list[str]:
    made = Host(**{"accel": "tcg", "report": 4, "control": 5, "identity": "/out/web-state", **host})
    return list(command(artifact(arch), options, made))


def after(words: list[str], flag: str) -> list[str]:
    return [value for word, value in itertools.pairwise(words) if word == flag]


@pytest.mark.parametrize(("arch", "accel"), GOLDEN)
def test_golden_commands(arch, accel):
    pci = arch != "s390x"
    expected = COMMON.format(
        machine=GOLDEN[arch, accel],
        bus="pci" if pci else "ccw",
        panic=" -device pvpanic-pci" if pci else "",
        rom=",romfile=" if pci else "",
    ).split()
    expected[expected.index("CMDLINE")] = "console=ttyS0 quiet"
    assert argv(Options(), arch, accel=accel) == expected


def test_a_kernel_without_pci_gets_a_machine_without():
    made = artifact()
    made = made._replace(boot=made.boot._replace(machine="microvm"))
    words = list(command(made, Options(), Host("tcg", 4, 5, identity="/out/web-state")))
    assert after(words, "-machine") == ["microvm,acpi=off"]
    assert after(words, "-append") == ["console=ttyS0 quiet no_timer_check"]
    devices = [word.split(",")[0] for word in after(words, "-device")]
    assert devices == [
        "virtio-rng-device", "virtio-serial-device", "virtserialport", "virtio-net-device",
    ]  # fmt: skip
    assert not any("romfile" in word for word in words)
    words = list(command(made, Options(machine="q35"), Host("tcg", 4, 5)))  # the user's word counts
    assert after(words, "-machine") == ["q35"]
    assert after(words, "-append") == ["console=ttyS0 quiet"]
    assert "virtio-rng-pci,rng=rng0" in words


@pytest.mark.parametrize(("arch", "machine"), [("amd64", "q36"), ("arm64", "microvm")])
def test_other_machines_are_refused(arch, machine):
    with pytest.raises(Error) as caught:
        argv(Options(machine=machine), arch)
    assert caught.value.code == "LK0813"


def test_every_option_reaches_the_command():
    words = argv(
        Options(
            cpus=3,
            memory_mib=512,
            forwards=(Forward(8080, 80), Forward(53, 53, "udp", "0.0.0.0")),
            devices=("usb-ehci,id=u", "i6300esb"),
            reboot=False,
        ),
        drives=(Drive(Path("/a,b.qcow2"), "qcow2"), Drive(Path("/dev/sdb"), "raw")),
    )
    assert after(words, "-smp") == ["3"]
    assert after(words, "-m") == ["512"]
    assert after(words, "-netdev") == [
        "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53"
    ]
    assert after(words, "-drive") == [
        "id=disk0,if=none,format=qcow2,file=/a,,b.qcow2",
        "id=disk1,if=none,format=raw,file=/dev/sdb",
    ]
    assert "virtio-blk-pci,drive=disk1,serial=disk1" in after(words, "-device")
    assert after(words, "-device")[-2:] == ["usb-ehci,id=u", "i6300esb"]
    assert "-no-reboot" in words


def test_secrets_are_files_of_the_firmwares_configuration():
    options = Options(secrets=(Secret("db", Path("/a,b")), Secret("tls.key", Path("/k"))))
    for arch in ("amd64", "arm64"):
        assert after(argv(options, arch), "-fw_cfg") == [
            "name=opt/io.systemd.credentials/db,file=/a,,b",
            "name=opt/io.systemd.credentials/tls.key,file=/k",
        ]
    for arch, machine in (("s390x", ""), ("amd64", "microvm")):
        with pytest.raises(Error, match="cannot be given secrets") as caught:
            argv(replace(options, machine=machine), arch)
        assert caught.value.code == "LK0813"


@pytest.mark.parametrize(
    ("network", "backend"),
    [
        (Network("none"), []),
        (Network("bridge", "br0"), ["bridge,id=net0,br=br0"]),
        (Network("tap", "tap7"), ["tap,id=net0,ifname=tap7,script=no,downscript=no"]),
    ],
)
def test_networks(network, backend):
    words = argv(Options(network=network))
    assert after(words, "-netdev") == backend
    assert any("virtio-net" in word for word in words) == bool(backend)


def test_two_state_folders_are_two_machines():
    first, second = (argv(Options(), identity=name) for name in ("/a", "/b"))
    assert after(first, "-uuid") != after(second, "-uuid")
    cards = [next(w for w in words if "mac=" in w) for words in (first, second)]
    assert cards[0] != cards[1]


def test_what_cannot_be_booted():
    made = Host("tcg", 4, 5)
    with pytest.raises(Error) as caught:
        command(artifact(format="tar", boot=False), Options(), made)
    assert caught.value.code == "LK0814"
    with pytest.raises(Error) as caught:
        find("qmeu")
    assert (caught.value.code, caught.value.hint) == ("LK0815", 'did you mean "qemu"?')


def test_missing_emulators():
    with pytest.raises(Error) as caught:
        qemu.emulator("amd64", "/nonexistent/qemu")
    assert caught.value.code == "LK0901"
    assert qemu.emulator("amd64", "sh") == Path(shutil.which("sh") or "")


def test_an_emulator_that_is_not_installed_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    hints = []
    for arch in ("amd64", "arm64", "riscv64"):
        with pytest.raises(Error) as caught:
            qemu.emulator(arch, "")
        hints.append(caught.value.hint.split()[-1])
    assert hints == ["qemu-system-x86", "qemu-system-arm", "qemu-system-misc"]


class TestDisks:
    def test_made_when_missing(self, tmp_path):
        state = tmp_path / "web-state"
        made = prepare((Disk(tmp_path / "a.img", 3), Disk(None, 2, "raw")), state)
        assert made == (
            Drive(tmp_path / "a.img", "raw"),
            Drive(state / "disk1.raw", "raw"),
        )
        assert [d.path.stat().st_size for d in made] == [3 << 20, 2 << 20]
        assert made[0].path.stat().st_mode & 0o777 == 0o600

    def test_qcow2(self, tmp_path):
        if not shutil.which("qemu-img"):
            pytest.skip("qemu-img is not installed")
        (drive,) = prepare((Disk(None, 8),), tmp_path)
        assert drive == Drive(tmp_path / "disk0.qcow2", "qcow2")
        assert drive.path.read_bytes()[:4] == b"QFI\xfb"

    def test_kept_when_there(self, tmp_path):
        path = tmp_path / "a.img"
        path.write_bytes(b"data")
        assert prepare((Disk(path, 5),), tmp_path) == (Drive(path, "raw"),)
        assert path.read_bytes() == b"data"

    def test_missing(self, tmp_path):
        with pytest.raises(Error) as caught:
            prepare((Disk(tmp_path / "a.img"),), tmp_path)
        assert caught.value.code == "LK0810"
        assert "size=1G" in caught.value.hint

    def test_a_guest_cannot_turn_its_raw_disk_into_qcow2(self, tmp_path):
        path = tmp_path / "a.img"
        path.write_bytes(b"QFI\xfb" + bytes(600))
        with pytest.raises(Error) as caught:
            prepare((Disk(path),), tmp_path)
        assert caught.value.code == "LK0810"
        assert prepare((Disk(path, 0, "raw"),), tmp_path) == (Drive(path, "raw"),)

    def test_no_folder(self, tmp_path):
        with pytest.raises(Error) as caught:
            prepare((Disk(tmp_path / "no" / "a.img", 1),), tmp_path)
        assert caught.value.code == "LK0102"


class TestLocate:
    def files(self, folder: Path, *, cmdline: str = "console=tty0 console=ttyS0,115200 quiet\n") -> None:
        for ending, data in (("-kernel", "k"), ("-initrd.img", "i"), ("-cmdline", cmdline)):
            (folder / f"web{ending}").write_text(data)

    def test_upstreams_files(self, tmp_path):
        self.files(tmp_path)
        found = image.locate(tmp_path / "web", "arm64")
        assert found.arch == "arm64"
        assert found.path("kernel") == tmp_path / "web-kernel"
        assert found.boot
        assert (found.boot.cmdline, found.boot.console) == (
            "console=tty0 console=ttyS0,115200 quiet",
            "ttyS0",
        )

    def test_the_sidecar_is_believed(self, tmp_path):
        self.files(tmp_path)
        facts = artifact("arm64")
        saved = Artifact(facts.format, "web", tmp_path, "arm64", DIGEST, facts.files, facts.boot)
        saved.save()
        assert image.locate(str(tmp_path / "web")) == saved
        assert image.locate(saved.sidecar) == saved
        assert image.locate(tmp_path / "web", "aarch64") == saved
        with pytest.raises(Error) as caught:
            image.locate(tmp_path / "web", "amd64")
        assert caught.value.code == "LK0813"

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("nope", "build it first: linuxkit build nope.yml"),
            ("wbe", 'did you mean "web"?'),
            ("web.yml", "build it first: linuxkit build"),
        ],
    )
    def test_nothing_built(self, tmp_path, name, hint):
        (tmp_path / "web.kernel+initrd.json").mkdir()
        (tmp_path / "web.yml").touch()
        with pytest.raises(Error) as caught:
            image.locate(tmp_path / name)
        assert caught.value.code == "LK0801"
        assert caught.value.hint.startswith(hint)

    @pytest.mark.parametrize("name", ["web", "web-initrd.img"])
    @pytest.mark.parametrize("runner", ["qemu", "uml"])
    def test_a_system_without_a_kernel(self, tmp_path, name, runner):
        (tmp_path / "web-initrd.img").write_text("i")
        file = OutFile("initrd", "web-initrd.img", 1)
        Artifact("kernel+initrd", "web", tmp_path, "amd64", DIGEST, (file,), None).save()
        with pytest.raises(Error) as caught:
            runners.start(tmp_path / name, runner=runner)
        assert caught.value.code == "LK0814"
        assert 'kernel: {image: "@pkg:kernel"}' in caught.value.hint

    @pytest.mark.parametrize("text", ["{}", "[" * 100_000])
    def test_a_damaged_sidecar(self, tmp_path, text):
        (tmp_path / "web.kernel+initrd.json").write_text(text)
        with pytest.raises(Error) as caught:
            image.locate(tmp_path / "web")
        assert caught.value.code == "LK0702"
