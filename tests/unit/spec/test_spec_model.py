"""The language as a whole: each key read, each rule of an entry broken."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.oci.ref import Ref
from linuxkit.spec import load, model, parts, resources
from linuxkit.spec.decode import fields
from linuxkit.spec.record import Record, names
from linuxkit.spec.text import Bind, Mode

CLASSES = [
    cls
    for module in (model, parts, resources)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Record) and cls.__module__ == module.__name__
]


def words(text):
    return set(text.split())


def test_every_field_is_a_documented_key():
    assert len(CLASSES) >= 24
    for cls in CLASSES:
        keys = {field.attribute for field in fields(cls).values()}
        others = set(names(cls)) - keys
        assert others == {model.Spec: {"places"}, model.Service: {"inner"}}.get(cls, set())
        for name, field in fields(cls).items():
            assert field.key.doc.endswith("."), (cls, name)
            assert cls.__doc__


def test_every_key_of_an_entry():
    # Upstream's keys, and ours: stop, timeout, onFailure, override and remove.
    assert set(fields(model.Step)) == words(
        "name image capabilities capabilities.add ambient mounts binds binds.add tmpfs devices "
        "command env cwd net ipc uts pid userns readonly hostname maskedPaths readonlyPaths uid "
        "gid additionalGids noNewPrivileges oomScoreAdj rootfsPropagation cgroupsPath resources "
        "sysctl rlimits uidMappings gidMappings annotations runtime onFailure "
        "stop timeout override remove "
        "profile grant landlock seccomp ports jit clocks secrets"
    )
    assert set(fields(model.Step)) - set(fields(model.Container)) == {"onFailure", "timeout"}
    assert set(fields(model.LastStep)) - set(fields(model.Step)) == {"requires"}
    assert set(fields(model.Service)) - set(fields(model.Container)) == words(
        "restart backoff critical after requires ready health isolation machine"
    )
    assert set(fields(model.Container)) - set(fields(model.ImageSettings)) == words(
        "name image stop profile grant landlock secrets override remove"
    )
    assert list(fields(model.Container))[:2] == ["name", "image"]
    assert set(fields(parts.Runtime)) == words("cgroups mounts mkdir interfaces bindNS namespace")
    assert set(fields(model.File)) == words(
        "path directory symlink contents source metadata optional mode uid gid override remove"
    )
    assert list(fields(model.Kernel)) == ["image", "cmdline", "binary", "tar", "ucode"]
    assert set(fields(model.Spec)) == words(
        "kernel init volumes onboot onshutdown services files trust include variables profile watchdog hostname network logs"
    )


def test_values():
    spec = load.parse(
        """
kernel: {image: linuxkit/kernel:6, cmdline: ""}
init: [linuxkit/init:1]
onboot: [{name: a, image: x, onFailure: continue, uid: 7, gid: b}]
services: [{name: b, image: y, binds: ["/a:/b"], env: [], sysctl: {a.b: "1"}}]
files: [{path: etc/x, contents: "", mode: 0640}]
"""
    )
    assert spec.kernel == model.Kernel(image=Ref("docker.io/linuxkit/kernel", "6"), cmdline="")
    assert spec.init == (Ref("docker.io/linuxkit/init", "1"),)
    (step,) = spec.onboot
    assert (step.name, step.on_failure, step.uid, step.gid) == ("a", "continue", 7, "b")
    (service,) = spec.services
    assert service.binds == (Bind("/a", "/b"),)
    assert service.env == ()
    assert service.command is None
    assert service.sysctl == {"a.b": "1"}
    assert spec.files == (model.File(path="etc/x", contents="", mode=Mode(0o640, "0640")),)


def service(text):
    return f"services:\n- name: x\n  image: y\n  {text}\n"


def file(text):
    return f"files:\n- path: x\n  {text}\n"


# text → "line:column code message" of the one error
RULES = {
    service("onFailure: stop"): '4:3 LK0203 unknown key "onFailure" in services[0]',
    service("capabilities: [all, CAP_CHOWN]"): '4:3 LK0208 services[0] names "all" besides others',
    service("capabilities.add: [CAP_CHOWN, NONE]"): (
        '4:3 LK0208 services[0] names "NONE" besides others'
    ),
    service("ambient: [none, all]"): '4:3 LK0208 services[0] names "none" besides others',
    service("mounts: [{source: abc, destination: /x}]"): (
        '4:12 LK0205 services[0].mounts[0] has no "type"'
    ),
    service("mounts: [{type: proc}, {type: tmpfs}]"): (
        '4:26 LK0205 services[0].mounts[1] has no "destination"'
    ),
    service("devices: [{path: /dev/x, type: c, major: 1, minor: 1}]"): (
        '4:14 LK0205 services[0].devices[0] has no "mode"'
    ),
    service('devices: [{path: /dev/x, type: a, mode: "0600"}]'): (
        '4:28 LK0208 services[0].devices[0] cannot be of type "a"'
    ),
    service("devices: [{path: all, type: x}]"): (
        '4:31 LK0208 services[0].devices[0].type cannot be "x"'
    ),
    service("runtime: {interfaces: [{name: a, add: veth}]}"): (
        '4:36 LK0205 services[0].runtime.interfaces[0] has no "peer"'
    ),
    service("runtime: {interfaces: [{add: dummy}]}"): (
        '4:26 LK0205 services[0].runtime.interfaces[0] has no "name"'
    ),
    service("uid: -1"): "4:8 LK0208 services[0].uid must lie between 0 and 4294967294",
    service("oomScoreAdj: -1001"): (
        "4:16 LK0208 services[0].oomScoreAdj must lie between -1000 and 1000"
    ),
    service("rootfsPropagation: share"): (
        '4:22 LK0208 services[0].rootfsPropagation cannot be "share"'
    ),
    service("resources: {memory: {limit: 1G}}"): (
        "4:31 LK0204 services[0].resources.memory.limit must be a whole number, not a text"
    ),
    service("uidMappings: [{hostID: 1, containerID: 0, size: 0}]"): (
        "4:51 LK0208 services[0].uidMappings[0].size must lie between 1 and 4294967295"
    ),
    "onboot: [{name: x, image: y, onFailure: retry}]": (
        '1:41 LK0208 onboot[0].onFailure cannot be "retry"'
    ),
    file("directory: true\n  contents: a"): (
        '4:3 LK0212 files[0] has both "directory" and "contents"'
    ),
    file("symlink: a\n  contents: a"): '4:3 LK0212 files[0] has both "symlink" and "contents"',
    file("contents: a\n  metadata: yaml"): (
        '4:3 LK0212 files[0] has both "contents" and "metadata"'
    ),
    file("source: a\n  metadata: yaml"): '4:3 LK0212 files[0] has both "source" and "metadata"',
    file("metadata: toml"): '3:13 LK0208 files[0].metadata cannot be "toml"',
    file("directory: false"): "2:3 LK0205 files[0] has no content",
    file('symlink: ""'): '3:3 LK0208 files[0] has an empty "symlink"',
    file("contents: a\n  mode: 420"): "4:9 LK0204 files[0].mode must be a text, not the number 420",
    "files: [{path: ../x, contents: a}]": '1:16 LK0208 the path "../x" has a ".." in it',
    "volumes: [{name: v, format: zip}]": '1:29 LK0208 volumes[0].format cannot be "zip"',
    "volumes: [{name: v, format: oci}]": '1:21 LK0205 volumes[0] has no "image"',
    "volumes: [{name: v, platforms: [linux/amd64]}]": '1:21 LK0208 volumes[0] has "platforms"',
    "volumes: [{readonly: true}]": '1:11 LK0205 volumes[0] has no "name"',
}


@pytest.mark.parametrize("text", RULES)
def test_rules_of_an_entry(text):
    with pytest.raises(Error) as caught:
        load.parse(text, "x")
    shown = [f"{e.where.line}:{e.where.column} {e.code} {e.message}" for e in caught.value.all()]
    assert shown == [RULES[text]]


def test_mounts_know_their_kind_and_target():
    rows = {
        (("type", "devpts"),): ("devpts", "/dev/pts"),
        (("source", "mqueue"),): ("mqueue", "/dev/mqueue"),
        (("source", "cgroup"), ("destination", "/x")): ("cgroup", "/x"),
        (("destination", "/dev"),): ("tmpfs", "/dev"),
        (("type", "bind"), ("destination", "/dev")): ("bind", "/dev"),
        (("source", "/x"),): ("", ""),
        (("type", "sysfs"),): ("sysfs", "/sys"),
        (("source", "proc"),): ("proc", "/proc"),
    }
    for row, expected in rows.items():
        mount = parts.Mount(**dict(row))
        assert (mount.kind, mount.target) == expected
