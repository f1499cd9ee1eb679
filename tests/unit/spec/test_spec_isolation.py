"""``isolation: vm``: what a service becomes, and what such a service cannot have."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.build.sandbox import strict
from linuxkit.spec import isolation, load


class Packages:
    def reference(self, text, *, base, where):
        return f"stock/{text}:1"


HEAD = """\
profile: strict
files:
  - {path: etc/web/a, contents: a}
  - {path: /etc/web/b, contents: b}
  - {path: etc/website, contents: c}
  - {path: etc/all.yml, metadata: yaml}
services:
  - {name: other, image: other:1}
"""


def parsed(text, head=HEAD):
    lines = f"name: web\nimage: web:1\nisolation: vm\n{text}".rstrip().splitlines()
    entry = "  - " + "\n    ".join(lines)
    return load.parse(f"{head}{entry}\n", packages=Packages())


def split(text=""):
    """What runs the machine, and the service in it."""
    outer = parsed(text).services[1]
    return outer, outer.inner.services[0]


def argument(outer, flag):
    return outer.command[outer.command.index(flag) + 1]


def test_the_machine_is_a_system_with_one_service():
    outer, inner = split("command: [/a]\ncapabilities: [CAP_SYS_ADMIN]\nrestart: always\nafter: [other]")
    assert str(outer.image) == "docker.io/stock/vmm:1"
    assert (outer.name, outer.profile, outer.capabilities, outer.net) == ("web", "strict", None, None)
    assert (outer.restart, outer.after) == ("always", ("other",))
    assert [(d.path, d.major, d.minor) for d in outer.devices] == [("/dev/kvm", 10, 232)]
    assert [str(b) for b in outer.binds] == ["/containers/services/web/machine:/machine:ro"]
    assert (inner.command, inner.capabilities, inner.restart, inner.after) == (("/a",), ("CAP_SYS_ADMIN",), "no", None)
    assert (inner.isolation, inner.machine, inner.inner) == (None, None, None)
    system = outer.inner
    assert str(system.kernel.image) == "docker.io/stock/kernel-microvm:1"
    assert [str(ref) for ref in system.init] == ["docker.io/stock/init:1", "docker.io/stock/crun-static:1"]
    assert (system.onboot, system.files, system.profile) == ((), (), "strict")
    assert "-netdev" not in outer.command


def test_other_services_stay_as_they_are():
    spec = parsed("")
    assert str(spec.services[0].image) == "docker.io/library/other:1"
    assert spec.services[0].inner is None
    assert load.parse(HEAD) == load.parse(HEAD, packages=Packages())


def test_ports_are_passed_on():
    outer, _ = split("net: host\nports: {bind: [8080, 53], connect: [443]}")
    assert argument(outer, "-netdev") == "user,id=net0,hostfwd=tcp::8080-:8080,hostfwd=tcp::53-:53"
    assert (outer.net, outer.ports.bind, outer.ports.connect) == ("host", (8080, 53), (443,))
    assert [step.name for step in outer.inner.onboot] == ["network"]
    assert (outer.capabilities, outer.userns) == (None, None)
    outer, inner = split("net: host\nports: {bind: [80]}\ncapabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN]")
    assert (outer.capabilities, outer.ambient, outer.userns) == (("CAP_NET_BIND_SERVICE",),) * 2 + ("host",)
    assert inner.userns is None


def test_limits_are_carried_over():
    outer, inner = split()
    assert argument(outer, "-m") == str(isolation.SERVICE_MIB + 128)
    assert strict.MEMORY_BYTES == isolation.SERVICE_MIB << 20
    assert outer.resources.memory.limit == (128 + 128 + 64) << 20
    assert (argument(outer, "-smp"), inner.resources.memory) == ("1", None)
    outer, inner = split("resources: {memory: {limit: 300000000}, cpu: {quota: 250000, cpus: '1'}}")
    assert (argument(outer, "-m"), argument(outer, "-smp")) == (str(287 + 128), "3")
    assert (outer.resources.cpu.quota, outer.resources.cpu.cpus) == (250000, "1")
    assert (inner.resources.cpu.quota, inner.resources.cpu.cpus) == (250000, None)
    assert inner.resources.memory.limit == 300000000
    outer, _ = split("resources: {memory: {limit: -1}}\nmachine: {memory: 512}")
    assert argument(outer, "-m") == "512"


def test_readiness_and_the_end_are_those_of_the_service():
    outer, inner = split("ready: {tcp: 80, timeout: 5m}\nhealth: {tcp: 80}\nstop: {signal: SIGINT, grace: 30s}")
    assert outer.command[:3] == ("/usr/bin/vmm", "services/web", "ready")
    assert (outer.ready.notify, outer.ready.timeout.ms, outer.health) == (True, 300_000, None)
    assert (outer.stop.signal, outer.stop.grace.ms) == (None, 40_000)
    assert (inner.ready.tcp, inner.health.tcp, inner.stop.signal) == (80, 80, "SIGINT")
    outer, _ = split()
    assert (outer.command[2], outer.stop.grace.ms) == ("running", 20_000)


def test_files_go_along():
    outer, inner = split("binds: ['/etc/web:/etc/web', '/etc/resolv.conf:/etc/resolv.conf']")
    assert [file.path for file in outer.inner.files] == ["etc/web/a", "/etc/web/b"]
    assert [str(b) for b in inner.binds] == ["/etc/web:/etc/web", "/etc/resolv.conf:/etc/resolv.conf"]
    assert [str(b) for b in outer.binds][1:] == ["/etc/resolv.conf:/etc/resolv.conf"]


def test_its_parts_can_be_chosen():
    outer, _ = split("machine: {kernel: 'k:1', init: ['i:1'], monitor: 'm:1', memory: 99}")
    assert str(outer.inner.kernel.image).endswith("/k:1")
    assert [str(ref)[-3:] for ref in outer.inner.init] == ["i:1"]
    assert str(outer.image).endswith("/m:1")
    assert argument(outer, "-m") == "99"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("profile: compat", 11, "web: `isolation: vm` needs the strict profile"),
        ("net: /run/netns/x", 12, "web: a machine of its own cannot join a network"),
        ("net: host\nports: {bind: [any]}", 13, "web: of a machine of its own the ports are passed on one by one"),
        ("resources: {memory: {limit: -1}}", 12, "web: a machine of its own needs an amount of memory"),
        ("binds: ['/var/lib/x:/x']", 12, 'web: "/var/lib/x" is not seen from a machine of its own'),
        ("binds: ['/etc/all.yml:/x']", 12, 'web: "/etc/all.yml" is not seen from a machine of its own'),
        ("binds.add: ['/etc/we:/x']", 12, 'web: "/etc/we" is not seen from a machine of its own'),
        ("mounts: [{type: bind, source: /etc/web, destination: /x}]", 12, "web: a mount binds nothing in a machine of"),
        ("secrets: [token]", 12, "web: secrets do not reach a machine of its own"),
        ("uid: other", 12, "web: in a machine of its own there is no container of that name"),
    ],
)
def test_what_cannot_be(text, line, said):
    with pytest.raises(Error) as caught:
        parsed(text)
    assert caught.value.code == "LK0208"
    assert caught.value.message.startswith(said)
    assert caught.value.where.line == line
    assert caught.value.hint


def test_a_machine_takes_the_key():
    with pytest.raises(Error) as caught:
        load.parse("services: [{name: a, image: a, machine: {memory: 100}}]")
    assert (caught.value.code, caught.value.where.column) == ("LK0208", 41)


def test_packages_are_needed():
    with pytest.raises(Error) as caught:
        load.parse(f"{HEAD}  - {{name: web, image: web, isolation: vm}}\n")
    assert (caught.value.code, caught.value.where.line) == ("LK0214", 9)
