from __future__ import annotations

import io
import os
import shlex
import socket
import threading
from pathlib import Path

import pytest

from linuxkit.base import platform
from linuxkit.base.digest import Digest
from linuxkit.base.errors import Error
from linuxkit.build.artifact import Artifact, BootFacts, OutFile
from linuxkit.runners import Disk, Forward, Network, Options, find, modules, passt, uml, vhost
from linuxkit.runners.options import Secret
from linuxkit.runners.terminal import Keys
from linuxkit.runners.uml import Host
from linuxkit.tree import compress, cpio

COMMAND = (
    "mem=512M initrd=/proc/self/fd/7 con=null ssl=null ssl0=fd:0,fd:1 ssl1=fd:4 ssl2=fd:11 ssl3=fd:12 uml_dir=/dev/shm"
    " noreboot ubd0d=/proc/self/fd/8,,disk0 ubd1d=/proc/self/fd/9,,disk1"
    " virtio_uml.device=/proc/self/fd/10:1 console=ttyS0 quiet linuxkit.report=/dev/ttyS1"
    " linuxkit.control=/dev/ttyS2,/dev/ttyS3"
)
CELL = (
    "ld.so bwrap --unshare-all --unshare-user --disable-userns --cap-drop ALL --die-with-parent"
    " --new-session --clearenv --setenv TMPDIR /dev/shm --ro-bind /tools/usr /usr --dev /dev"
    " --proc /proc --remount-ro /proc --symlink usr/lib /lib --symlink usr/lib64 /lib64 --size 553648128 --tmpfs /dev/shm"
    " --remount-ro / -- /usr/bin/linux.uml"
)
PASST = (
    "--foreground --quiet --vhost-user --fd 5 --ipv4-only --address 10.0.2.15 --netmask 24"
    " --gateway 10.0.2.2 --map-host-loopback 10.0.2.2 --dns 10.0.2.3 --dns-forward 10.0.2.3 --mtu 1500"
    " --tcp-ports 127.0.0.1/8080:80 --udp-ports 0.0.0.0/5353:53"
)


def artifact(arch: str = "amd64", console: str = "ttyS0", role: str = "initrd") -> Artifact:
    files = (OutFile("kernel", "web-kernel", 1), OutFile(role, "web-initrd.img", 1))
    facts = BootFacts("direct", "initramfs", f"console={console} quiet", console, 100)
    return Artifact("kernel+initrd", "web", Path("/out"), arch, Digest(""), files, facts)


def test_golden_commands():
    host = Host(initrd=7, report=4, drives=(8, 9), card=10, controls=(11, 12))
    words = uml.command(artifact(), Options(memory_mib=512, reboot=False), host)
    assert shlex.join(words) == COMMAND
    assert shlex.join(uml.cell(("ld.so", "bwrap"), "/tools/usr", 512)) == CELL
    forwards = Forward(8080, 80), Forward(5353, 53, "udp", "0.0.0.0")
    assert shlex.join(passt.words(5, forwards)) == PASST


def test_another_console_is_shown_too():
    words = uml.command(artifact(console="tty0"), Options(), Host(7, 4))
    assert "con0=fd:0,fd:1" in words
    assert "ssl0=fd:0,fd:1" not in words
    assert "noreboot" not in words
    assert "linuxkit.control" not in " ".join(words)
    assert not [word for word in words if word.startswith(("ubd", "virtio"))]


def test_only_an_initramfs_boots():
    with pytest.raises(Error) as caught:
        uml.command(artifact(role="root"), Options(), Host(7, 4))
    assert caught.value.code == "LK0814"
    assert "--format kernel+initrd" in caught.value.hint


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"cpus": 2}, "--cpus"),
        ({"firmware": "uefi"}, "--uefi"),
        ({"firmware_file": "x.fd"}, "--fw"),
        ({"secure_boot": Path("keys")}, "--secure-boot"),
        ({"tpm": True}, "--tpm"),
        ({"data": b""}, "--data"),
        ({"secrets": (Secret("a", Path("/a")),)}, "--secret"),
        ({"devices": ("usb-ehci",)}, "--device"),
        ({"machine": "q35"}, "--machine"),
        ({"accel": "kvm"}, "--accel"),
        ({"program": "qemu"}, "--qemu"),
        ({"network": Network("tap", "tap0")}, "kind tap"),
    ],
)
def test_what_it_has_not_is_refused(more, named):
    with pytest.raises(Error) as caught:
        find("uml").start(artifact(), Options(**more))
    assert caught.value.code == "LK0816"
    assert named in caught.value.message


def test_all_that_it_has_not_is_one_error():
    with pytest.raises(Error, match=r"no second processor .* and no TPM"):
        uml.refuse(artifact(), Options(cpus=2, tpm=True))


def test_other_architectures_are_refused(monkeypatch):
    with pytest.raises(Error) as caught:
        uml.refuse(artifact("arm64"), Options())
    assert caught.value.code == "LK0813"
    monkeypatch.setattr(platform, "host", lambda: platform.arch("arm64"))
    with pytest.raises(Error, match="not for arm64"):
        uml.refuse(artifact(), Options())


def test_disks_are_raw():
    given = Disk(Path("a.img")), Disk(None, 64), Disk(Path("b"), 1, "raw")
    assert uml.raw(given) == (Disk(Path("a.img")), Disk(None, 64, "raw"), Disk(Path("b"), 1, "raw"))
    for wrong in (Disk(Path("a.qcow2")), Disk(None, 64, "qcow2")):
        with pytest.raises(Error) as caught:
            uml.raw([wrong])
        assert caught.value.code == "LK0810"
    with pytest.raises(Error, match="at most 8"):
        uml.raw([Disk(None, 1)] * 9)


def test_keys_for_us_and_for_the_machine():
    keys = Keys()
    assert keys.take(b"ls\x03\r") == (b"ls\x03\r", False)
    assert keys.take(b"a\x01\x01b\x01") == (b"a\x01b", False)
    assert keys.take(b"cd") == (b"d", False)
    assert keys.take(b"e\x01xf") == (b"e", True)


def test_modules_are_an_archive_of_their_own(tmp_path):
    folder = tmp_path / "modules"
    for name, text in {
        "modules.dep": "kernel/a.ko: kernel/b-c.ko\nkernel/b-c.ko:\nkernel/gone.ko:\n",
        "modules.alias": "# a comment\nalias fs-a a\nalias fs-gone gone\n",
        "modules.builtin": "kernel/x.ko\n",
        "kernel/a.ko": "A",
        "kernel/b-c.ko": "B",
    }.items():
        path = folder / "6.1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with (tmp_path / "initrd").open("w+b") as out:
        modules.write(folder, out)
        assert out.tell() % 4 == 0
        out.seek(0)
        packed = io.BytesIO(out.read().rstrip(b"\0"))  # Linux skips zeros between archives
        with (tmp_path / "plain").open("w+b") as plain:
            compress.spool(packed, plain)
            plain.flush()
            found = {e.path: b"".join(e.content.chunks()) for e in cpio.read(plain.fileno())}
    assert found["lib/modules/6.1/modules.dep"] == b"kernel/a.ko: kernel/b-c.ko\nkernel/b-c.ko:\n"
    assert found["lib/modules/6.1/modules.alias"] == b"alias fs-a a\n"
    assert found["lib/modules/6.1/kernel/b-c.ko"] == b"B"
    assert {"lib", "lib/modules", "lib/modules/6.1", "lib/modules/6.1/kernel"} <= set(found)


MAC = "52:54:00:0a:0b:0c"
FEATURES, SET_FEATURES, PROTOCOL, SET_PROTOCOL, BACKEND, CONFIG = 1, 2, 15, 16, 21, 24


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.fixture
def wires():
    """The guest's end and the card's, with the relay between them; it has ended afterwards."""
    pairs = socket.socketpair(), socket.socketpair()
    for pair in pairs:
        for end in pair:
            end.settimeout(10)
    (guest, ours), (theirs, card) = pairs
    thread = threading.Thread(target=vhost.relay, args=(ours, theirs, MAC))
    thread.start()
    yield guest, card
    guest.close()
    thread.join(10)
    assert not thread.is_alive()
    for end in (ours, theirs, card):
        end.close()


def test_the_card_gets_what_it_offered_and_the_guest_more(wires):
    guest, card = wires
    for ask, tell, offered, added in (
        (FEATURES, SET_FEATURES, 1 << 32, 1 << 5),
        (PROTOCOL, SET_PROTOCOL, 1 << 3, 1 << 5 | 1 << 9),
    ):
        vhost.send(guest, vhost.Message(ask, 1))
        assert vhost.receive(card) == (ask, 1, b"", ())
        vhost.send(card, vhost.Message(ask, 5, number(offered)))
        assert vhost.receive(guest) == (ask, 5, number(offered | added), ())
        vhost.send(guest, vhost.Message(tell, 1, number(offered | added)))
        assert vhost.receive(card) == (tell, 1, number(offered), ())


def test_the_relay_answers_what_the_card_would_not(wires):
    guest, card = wires
    mine, other = socket.socketpair()
    with mine:
        with other:
            vhost.send(guest, vhost.Message(BACKEND, 9, b"", (other.fileno(),)))
        assert vhost.receive(guest) == (BACKEND, 5, number(0), ())
        mine.setblocking(False)
        with pytest.raises(BlockingIOError):  # the other end is kept open
            mine.recv(1)
    asked = b"\0\0\0\0" + (8).to_bytes(4, "little") + b"\0\0\0\0" + bytes(8)
    vhost.send(guest, vhost.Message(CONFIG, 1, asked))
    assert vhost.receive(guest) == (CONFIG, 5, asked[:12] + b"\x52\x54\0\x0a\x0b\x0c\0\0", ())
    card.setblocking(False)
    with pytest.raises(BlockingIOError):
        card.recv(1)


def test_files_pass_through(wires):
    guest, card = wires
    reading, writing = os.pipe()
    vhost.send(guest, vhost.Message(5, 1, b"x" * 100, (writing,)))
    os.close(writing)
    request, _, payload, (file,) = vhost.receive(card)
    assert (request, payload) == (5, b"x" * 100)
    os.write(file, b"hello")
    os.close(file)
    assert os.read(reading, 100) == b"hello"
    assert os.read(reading, 100) == b""  # nobody else has it
    os.close(reading)


@pytest.mark.parametrize(
    "said", [b"", b"\1", b"\1\0\0\0\1\0\0\0\xff\xff\xff\xff", b"\1\0\0\0\1\0\0\0\2\0\0\0x"]
)
def test_a_message_that_is_none_ends_the_relay(said):
    (guest, ours), (theirs, card) = socket.socketpair(), socket.socketpair()
    with guest, ours, theirs, card:
        guest.sendall(said)
        guest.shutdown(socket.SHUT_WR)
        vhost.relay(ours, theirs, MAC)
        card.setblocking(False)
        with pytest.raises(BlockingIOError):
            card.recv(1)


def test_the_configuration_has_bounds():
    address = bytes(range(6))
    assert vhost.configuration(b"short", address) == b""
    far = (1 << 31).to_bytes(4, "little") * 2 + bytes(4)
    assert len(vhost.configuration(far, address)) == 4096
    assert set(vhost.configuration(far, address)[12:]) == {0}
