"""Systems with machines in them: what the outer one holds, and that it is the same twice."""

from __future__ import annotations

import json

import pytest

import linuxkit
from linuxkit.base.errors import Error
from linuxkit.build import boottable, needs
from linuxkit.build.audit import report
from linuxkit.build.plan import MachineSegment
from linuxkit.sources.store import Stored
from linuxkit.spec import load
from linuxkit.tree import compress, cpio, tar
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import archive, image

ARCH = "amd64"
YML = """\
profile: strict
kernel: {image: "lk/kernel:1", cmdline: quiet}
init: ["lk/init:1"]
services:
  - {name: plain, image: "lk/app:1"}
  - name: web
    image: "lk/app:1"
    isolation: vm
    net: host
    ports: {bind: [8080]}
    binds: ["/etc/greeting:/etc/greeting"]
files:
  - {path: etc/greeting, contents: hello}
  - {path: etc/other, contents: other}
"""


class Packages:
    def reference(self, text, *, base, where):
        return f"lk/{text}:1"


def filled(folder):
    made = linuxkit.open_store(folder)
    labels = {"org.linuxkit.boot-table": "1", "org.linuxkit.runtime": "/crun"}
    for name in ("kernel", "kernel-microvm"):
        image(made, f"docker.io/lk/{name}:1", {"kernel": name.encode() * 100, "kernel.tar": archive({"lib/": ""})})
    image(made, "docker.io/lk/init:1", {"init": Entry("init", Kind.FILE, 0o755, content=Bytes(b"#!"))}, labels=labels)
    for name in ("crun-static", "app", "udhcpc", "vmm"):
        packages = {"org.linuxkit.debian.packages": f"{name}=1"}
        image(made, f"docker.io/lk/{name}:1", {name: name}, cmd=[f"/{name}"], labels=packages)
    return made


@pytest.fixture
def store(tmp_path):
    return filled(tmp_path / "cache")


def planned(store, text=YML):
    spec = load.parse(text, packages=Packages())
    return spec, linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch=ARCH)


def tree(store, plan):
    linuxkit.fetch(plan, store=store)
    system = linuxkit.assemble(plan, store=store)
    found = {}
    for segment in system.segments:
        with store.open(segment.tar.digest, segment.tar.size) as source:
            found.update({e.path: (e, b"".join(e.content.chunks())) for e in tar.read(source.fileno())})
    return found


def unpacked(data, folder):
    path = folder / "initrd"
    path.write_bytes(data)
    with path.open("rb") as source, (folder / "whole").open("w+b") as whole:
        compress.spool(source, whole)
        whole.flush()
        return {e.path: b"".join(e.content.chunks()) for e in cpio.read(whole.fileno())}


def test_the_machine_lies_beside_what_runs_it(store, tmp_path):
    _, plan = planned(store)
    outer = tree(store, plan)
    place = "containers/services/web/machine"
    assert outer[f"{place}/kernel"][1] == b"kernel-microvm" * 100
    assert outer[f"{place}/initrd"][0].mode == 0o644
    assert outer["containers/services/web/rootfs/vmm"][1] == b"vmm"
    inner = unpacked(outer[f"{place}/initrd"][1], tmp_path)
    assert inner["containers/services/web/rootfs/app"] == b"app"
    assert inner["etc/greeting"] == b"hello"
    assert "etc/other" not in inner
    assert inner["init"] == b"#!"
    config = json.loads(inner["containers/services/web/config.json"])
    assert config["process"]["args"][-1] == "/app"
    table = boottable.dump(inner["etc/linuxkit/boot.table"])
    assert 'unit "onboot" "000-network"' in table
    assert 'console-rate "0"' in table
    table = boottable.dump(outer["etc/linuxkit/boot.table"][1])
    web = table[table.index('unit "services" "web"') :]
    assert '    device "/dev/kvm" "0666"\n' in web
    assert "device" not in table[: -len(web)]


def test_the_same_plan_gives_the_same_bytes(store, tmp_path):
    _, plan = planned(store)
    other = filled(tmp_path / "other")
    again = planned(other)[1]
    assert plan.digest == again.digest
    assert {path: data for path, (_, data) in tree(store, plan).items()} == {
        path: data for path, (_, data) in tree(other, again).items()
    }
    # what is elsewhere in the system is no part of the machine
    changed = planned(store, YML.replace("contents: other", "contents: changed"))[1]
    machines = [next(s for s in p.segments if isinstance(s, MachineSegment)) for p in (plan, changed)]
    assert machines[0] == machines[1]
    assert plan.digest != changed.digest


def test_its_parts_are_told(store):
    _, plan = planned(store)
    names = {name for name, _ in plan.images}
    assert {f"docker.io/lk/{name}:1" for name in ("kernel-microvm", "crun-static", "udhcpc", "app", "vmm")} <= names
    wanted = {layer.digest for layer in plan.layers()}
    for name in names:
        assert wanted >= {layer.digest for layer in _layers(store, name)}
    bill = next(i for s in plan.segments if s.name == "files" for i in s.items if i.path == "sbom.spdx.json")
    told = {p["name"] for p in json.loads(bill.data)["packages"]}
    assert {"crun-static", "udhcpc", "vmm"} <= told


def _layers(store, name):
    from linuxkit.oci.image import open_image
    from linuxkit.oci.model import Platform

    return open_image(store, store.find(name), Platform("linux", ARCH)).manifest.layers


def test_the_audit_shows_it(store):
    spec, plan = planned(store)
    rows = {each.posture.name: each for each in report.of_plan(plan, spec).containers}
    assert rows["services/web"].profile == "strict, vm"
    assert rows["services/plain"].profile == "strict"
    assert rows["services/web"].exposure.score < 2
    held = {h.privilege.split(":")[0]: h.where.line for h in rows["services/web"].held}
    assert held == {"binds": 8, "devices": 8, "net": 9, "ports.bind": 10, "resources.memory.limit": 8}
    files = tree(store, plan)
    of_image = report.of_image((e._replace(content=Bytes(data)) for e, data in files.values()), ARCH)
    assert {each.posture.name: each.profile for each in of_image.containers}["services/web"] == "strict, vm"


def test_the_kernel_needs_kvm(store):
    spec, plan = planned(store)
    assert [need.container for need in needs.needs(spec, plan) if need.symbol == "KVM"] == ["web"]


def test_too_little_memory_is_refused(store):
    _, plan = planned(store, YML.replace("isolation: vm", "isolation: vm\n    machine: {memory: 64}"))
    with pytest.raises(Error) as caught:
        linuxkit.assemble(plan, store=store)
    assert caught.value.code == "LK0733"
    assert "has 64 MiB of memory" in caught.value.message


def test_what_is_wrong_inside_has_its_place(store):
    # granted nowhere: the label of the service's image asks for it
    label = '{"capabilities": ["CAP_SYS_ADMIN"]}'
    image(store, "docker.io/lk/app:1", {"app": "app"}, cmd=["/app"], labels={"org.mobyproject.config": label})
    with pytest.raises(Error) as caught:
        planned(store, YML.replace('  - {name: plain, image: "lk/app:1"}\n', ""))
    assert (caught.value.code, caught.value.where.line) == ("LK0753", 5)
