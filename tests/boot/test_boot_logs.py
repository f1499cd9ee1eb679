"""What units say reaches syslog servers, files on a disk, and upstream's memlogd and logwrite."""

from __future__ import annotations

import re
import socket
import threading

import pytest

from linuxkit.runners.options import Disk
from support.machines import HEAD, exited, step, until, use

pytestmark = [pytest.mark.boot, pytest.mark.net, pytest.mark.timeout(900)]

BOOT_S = 420
HOST = "10.0.2.2"  # the host, as the user network has it
DATA = "/var/lib/data"


class Listener:
    """A UDP and a TCP port of this host, and all that came there."""

    def __init__(self) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.datagrams: list[bytes] = []
        self.stream = b""
        self._threads = [threading.Thread(target=self._datagrams), threading.Thread(target=self._stream)]
        for thread in self._threads:
            thread.start()

    def _datagrams(self) -> None:
        while (got := self.udp.recv(65536)) != b"enough":
            self.datagrams.append(got)

    def _stream(self) -> None:
        while not self.stream.endswith(b"enough"):  # a forwarder that starts again comes again
            link, _address = self.tcp.accept()
            with link:
                while got := link.recv(65536):
                    self.stream += got

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
            to.sendto(b"enough", self.udp.getsockname())
        with socket.create_connection(self.tcp.getsockname()) as to:
            to.sendall(b"enough")
        for thread in self._threads:
            thread.join(30)
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.close()


@pytest.mark.any_kernel
def test_output_is_forwarded(workshop, boot, listener, tmp_path):
    udp, tcp = listener.udp.getsockname()[1], listener.tcp.getsockname()[1]
    yml = (
        HEAD.replace('"@pkg:crun"', '"@pkg:crun", "@pkg:memlogd"')
        + "logs:\n"
        + "  syslog:\n"
        + f"    - {{to: 'udp://{HOST}:{udp}', units: [talks, early]}}\n"
        + f"    - {{to: 'tcp://{HOST}:{tcp}', units: [talks, reads], facility: local0}}\n"
        + f"  files:\n    - {{path: {DATA}/messages, size: 8192, files: 3, units: [talks]}}\n"
        + "onboot:\n"
        + use("format", "format", '["/usr/bin/format", "-label", "DATA"]')
        + use("mount", "mount", f'["/usr/bin/mountie", "-label", "DATA", "{DATA}"]')
        + use("udhcpc", "udhcpc", '["/usr/bin/udhcpc.sh", "-1"]')
        + step("early", "echo before the services")
        + "onshutdown:\n"
        + step("kept", f"cd /host{DATA} && ls && cat messages.* messages | grep -c talks && tail -n 1 messages kept/talks.log")
        + "services:\n"
        + f'  - {{name: logwrite, image: "@pkg:logwrite", command: [/usr/bin/logwrite, -log-dir, {DATA}/kept],'
        + f" readonly: false, binds.add: ['{DATA}/kept:{DATA}/kept'], runtime: {{mkdir: [{DATA}/kept]}}}}\n"
        + step("talks", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i of many; done; echo '<3>badly'; sleep 100000")
        + step(
            "reads", "until chroot /host /usr/bin/logread | grep 'talks line 200'; do sleep 1; done; "
            "chroot /host /usr/bin/service restart log-forward && echo started again; sleep 100000",
            after="[talks]", capabilities="[CAP_SYS_CHROOT]",
        )
    )  # fmt: skip
    machine = boot(workshop.build(yml), disks=(Disk(tmp_path / "data.img", 64, "raw"),), state=tmp_path / "state")
    machine.wait_ready(timeout_s=BOOT_S)
    assert exited(machine) == ["format", "mount", "udhcpc", "early"]

    def arrived():
        whole = b"badly" in listener.stream and any(b"badly" in got for got in listener.datagrams)
        return whole and b"started again" in listener.stream

    until(machine, arrived, "all is forwarded")
    machine.poweroff()
    result = machine.wait(180)
    assert (result.status, result.power) == (0, "poweroff"), result
    assert re.search(rb"<30>1 \S+Z linuxkit-\S+ 003-early - onboot - before the services", b"\n".join(listener.datagrams))
    said = re.findall(rb"<(\d+)>1 \S+ \S+ talks - services - (line \d+ of many|badly)", listener.stream)
    assert said == [(b"134", b"line %d of many" % n) for n in range(1, 201)] + [(b"131", b"badly")]
    assert re.search(rb"reads\] \S+Z talks line 200", machine.console)
    states = [r.state for r in machine.records if r.event == "unit" and r.name == "services/log-forward"]
    assert states == ["starting", "running", "restarting", "starting", "running", "stopped"]
    for expected in (rb"kept\] messages\.1", rb"kept\] \S+Z services/talks badly", rb"kept\] \S+Z <3>badly"):
        assert re.search(expected, machine.console), expected
