"""What a label grants beyond the YAML, and that nothing harmless is shouted about."""

from __future__ import annotations

import pytest

import linuxkit
from linuxkit.build.privileges import granted_by_label
from linuxkit.sources.store import Stored
from linuxkit.spec import labels, load
from support.images import image

LABEL = "org.mobyproject.config"


def entry(text=""):
    spec = load.parse(f"services: [{{name: web, image: x{', ' if text else ''}{text}}}]\n")
    return spec.services[0]


def granted(entry, label):
    return granted_by_label(entry, labels.settings(entry, {LABEL: "{" + label + "}"}, "x"))


GRANTS = [
    ("capabilities: [CAP_CHOWN, CAP_KILL]", ("capability CAP_CHOWN", "capability CAP_KILL")),
    ("capabilities: [all]", ("capability all",)),
    ("ambient: [CAP_NET_RAW]", ("ambient CAP_NET_RAW",)),
    ("binds: [/dev:/dev, '/etc:/e:ro']", ("bind /dev:/dev", "bind /etc:/e:ro")),
    ("mounts: [{type: bind, source: /run, destination: /r, options: [rbind]}]",
     ("mount bind /run on /r rbind",)),
    ("mounts: [{type: cgroup, options: [rw]}]", ("mount cgroup cgroup on /sys/fs/cgroup rw",)),
    ("pid: host", ("pid host",)),
    ("net: /run/netns/a", ("net /run/netns/a",)),
    ("devices: [{path: /dev/sda, type: b, major: 8, minor: 0, mode: '0600'}]",
     ("device /dev/sda b 8:0",)),
    ("devices: [{path: all, type: b}]", ("device all b",)),
    ("resources: {devices: [{allow: true, type: c, major: 1, access: rw}]}",
     ("device rule c 1:* rw",)),
    ("sysctl: {net.ipv4.ip_forward: '1'}", ("sysctl net.ipv4.ip_forward=1",)),
    ("oomScoreAdj: -900", ("oomScoreAdj -900",)),
    ("rootfsPropagation: shared", ("rootfsPropagation shared",)),
    ("runtime: {mounts: [{type: bind, source: /a, destination: /b}]}",
     ("runtime mount bind /a on /b",)),
    ("runtime: {mkdir: [/var/x]}", ("runtime mkdir /var/x",)),
    ("runtime: {interfaces: [{name: eth0}]}", ("runtime interface eth0",)),
    ("runtime: {bindNS: {net: /run/n}}", ("runtime bindNS net /run/n",)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), GRANTS)
def test_a_label_grants(text, lines):
    assert granted(entry(), text) == lines


@pytest.mark.parametrize(("text", "lines"), GRANTS)
def test_what_the_yaml_says_itself_is_not_the_labels(text, lines):
    assert granted(entry(text), text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "capabilities: [none]", "net: host", "ipc: host", "uts: new", "pid: new", "readonly: true",
        "tmpfs: [/tmp]", "env: [A=b]", "command: [/x]", "oomScoreAdj: 5",
        "mounts: [{type: tmpfs, destination: /x}]", "rootfsPropagation: private",
        "resources: {memory: {limit: 5}}", "resources: {devices: [{allow: false}]}",
        "noNewPrivileges: true",
    ],
)  # fmt: skip
def test_defaults_and_limits_are_no_privileges(text):
    assert granted(entry(), text) == ()


def test_the_yaml_takes_privileges_away():
    label = "capabilities: [all], pid: host, binds: [/dev:/dev]"
    assert granted(entry("capabilities: [], pid: new, binds: []"), label) == ()


def test_added_ones_are_told_apart():
    own = entry("capabilities.add: [CAP_KILL], binds.add: [/c:/d]")
    label = "capabilities: [CAP_CHOWN], binds: [/a:/b]"
    assert granted(own, label) == ("capability CAP_CHOWN", "bind /a:/b")


def test_the_plan_lists_them_by_container(tmp_path):
    store = linuxkit.open_store(tmp_path / "cache")
    image(store, "docker.io/lk/a:1", {"x": "x"}, cmd=["/x"],
          labels={LABEL: '{"capabilities": ["CAP_CHOWN"]}'})  # fmt: skip
    yml = tmp_path / "in.yml"
    yml.write_text(
        "onboot: [{name: first, image: 'lk/a:1'}]\n"
        "services: [{name: web, image: 'lk/a:1', capabilities: [CAP_CHOWN]}]\n"
    )
    spec = linuxkit.load([yml], arch="amd64")
    plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64")
    (grant,) = plan.grants
    assert grant.container == "onboot/000-first"
    assert grant.image == "docker.io/lk/a:1"
    assert grant.privileges == ("capability CAP_CHOWN",)
    assert plan.to_json()["grants"] == [grant.to_json()]
