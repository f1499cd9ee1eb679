from __future__ import annotations

import json

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import ids, runtime
from linuxkit.oci.model import ImageConfig, Platform
from linuxkit.spec import labels, load
from linuxkit.spec.model import ImageSettings, Volume

IMAGE = ImageConfig(
    Platform("linux", "amd64"), entrypoint=("/e",), cmd=("c", "d"), env=("A=1",), cwd="/w"
)
EMPTY = ImageConfig(Platform("linux", "amd64"))
VOLUMES = {"v": Volume(name="v"), "r": Volume(name="r", readonly=True)}
IDS = {"web": 104}
BUNDLE = "containers/services/web"


def made(text: str = "{}", image: ImageConfig = EMPTY, **options) -> runtime.Bundle:
    """The documents for settings written as in an image's label."""
    given = {"ids": IDS, "volumes": VOLUMES, "bundle": BUNDLE, "lower": f"{BUNDLE}/lower"}
    settings = labels.merge(labels.decode(text, "x"), ImageSettings())
    return runtime.container_config(settings, image, **{**given, **options})


def process(text: str = "{}", image: ImageConfig = EMPTY):
    return made(text, image).config["process"]


def linux(text: str):
    return made(text).config["linux"]


def mounts(text: str):
    """Destination → "type source options"."""
    return {
        m["destination"]: f"{m['type']} {m['source']} {','.join(m.get('options', ()))}".rstrip()
        for m in made(text).config["mounts"]
    }


DEFAULTS = {
    "/dev": "tmpfs tmpfs nosuid,strictatime,mode=755,size=65536k",
    "/dev/pts": "devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620",
    "/proc": "proc proc nosuid,nodev,noexec,relatime",
    "/sys": "sysfs sysfs nosuid,noexec,nodev",
    "/sys/fs/cgroup": "cgroup cgroup nosuid,noexec,nodev,relatime,ro",
}


NO_DEVICES = {"devices": [{"allow": False, "access": "rwm"}]}


def test_the_least_there_can_be():
    assert made().config == {
        "ociVersion": "1.2.1",
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "capabilities": {}},
        "root": {"path": "rootfs"},
        "mounts": made().config["mounts"],
        "linux": {"resources": NO_DEVICES, "namespaces": [{"type": "pid"}, {"type": "mount"}]},
    }
    assert mounts("{}") == DEFAULTS
    assert list(mounts("{}")) == sorted(DEFAULTS)


def test_what_the_image_says_gives_way():
    found = process(image=IMAGE)
    assert (found["args"], found["env"], found["cwd"]) == (["/e", "c", "d"], ["A=1"], "/w")
    found = process("{command: [x], env: [B=2], cwd: /z}", IMAGE)
    assert (found["args"], found["env"], found["cwd"]) == (["x"], ["B=2"], "/z")
    found = process("{command: [], env: [], cwd: ''}", IMAGE)
    assert "args" not in found
    assert "env" not in found
    assert found["cwd"] == "/w"


def test_read_only():
    assert made("readonly: true").readonly
    assert made("readonly: true").config["root"] == {"path": "rootfs", "readonly": True}
    found = mounts("readonly: true")
    assert found["/dev"].endswith("size=65536k,ro")
    assert found["/sys"].endswith("nodev,ro")
    assert found["/proc"] == DEFAULTS["/proc"]
    assert not made("readonly: false").readonly


CAPABILITIES = {
    "{}": {},
    "capabilities: []": {},
    "capabilities: [none]": {},
    "capabilities: [CAP_KILL, CAP_CHOWN]": {
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_KILL", "CAP_CHOWN"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
    },
    "capabilities: [CAP_KILL, CAP_KILL]": {
        "bounding": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
        "permitted": ["CAP_KILL"],
    },
    "{capabilities: [CAP_KILL], ambient: [CAP_SETUID, CAP_CHOWN]}": {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_SETUID"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "ambient": ["CAP_SETUID", "CAP_CHOWN"],
    },
}


@pytest.mark.parametrize("text", CAPABILITIES)
def test_capabilities(text):
    assert process(text)["capabilities"] == CAPABILITIES[text]


@pytest.mark.parametrize(
    "text", ["capabilities: [ALL]", "{capabilities: [CAP_KILL], capabilities.add: [all]}"]
)
def test_all_capabilities(text):
    found = process(text)["capabilities"]
    assert len(found["effective"]) == len(found["bounding"]) == 41
    assert found["effective"][0] == "CAP_CHOWN"
    assert found["bounding"] == sorted(found["effective"])
    assert "inheritable" not in found


def test_none_in_a_label_does_not_forbid_adding():
    found = process("{capabilities: [none], capabilities.add: [CAP_KILL]}")["capabilities"]
    assert found["effective"] == ["CAP_KILL"]


NAMESPACES = {
    "{}": ["pid", "mount"],
    "net: host": ["pid", "mount"],
    "net: root": ["pid", "mount"],
    "net: new": ["network", "pid", "mount"],
    "net: none": ["network", "pid", "mount"],
    "net: /run/x": ["network=/run/x", "pid", "mount"],
    "pid: host": ["mount"],
    "pid: root": ["mount"],
    "pid: new": ["pid", "mount"],
    "pid: /p": ["pid=/p", "mount"],
    "{ipc: new, uts: new, userns: new, net: new}": [
        "network", "ipc", "uts", "pid", "user", "mount",
    ],
    "{ipc: host, uts: root, userns: /u}": ["pid", "user=/u", "mount"],
}  # fmt: skip


@pytest.mark.parametrize("text", NAMESPACES)
def test_namespaces(text):
    found = [
        n["type"] + (f"={n['path']}" if "path" in n else "") for n in linux(text)["namespaces"]
    ]
    assert found == NAMESPACES[text]


MOUNTS = {
    "binds: ['/a:/b']": {"/b": "bind /a rw,rbind,rshared"},
    "binds: ['/a:/b:ro,nosuid']": {"/b": "bind /a ro,nosuid,rbind"},
    "binds: ['/a:/b:rbind,ro']": {"/b": "bind /a rbind,ro"},
    "binds: ['v:/b']": {"/b": "bind /containers/volumes/v/merged rw,rbind,rshared"},
    "binds: ['r:/b:ro']": {"/b": "bind /containers/volumes/r/merged ro,rbind"},
    "binds: ['/dev:/dev']": {"/dev": "bind /dev rw,rbind,rshared"},
    "tmpfs: ['/t', '/u:size=1m,mode=700']": {
        "/t": "tmpfs tmpfs", "/u": "tmpfs tmpfs size=1m,mode=700"},
    "mounts: [{type: devpts}]": {"/dev/pts": "devpts devpts"},
    "mounts: [{type: cgroup, options: [rw]}]": {"/sys/fs/cgroup": "cgroup cgroup rw"},
    "mounts: [{source: mqueue}]": {"/dev/mqueue": "mqueue mqueue"},
    "mounts: [{destination: /dev}]": {"/dev": "tmpfs tmpfs"},
    "mounts: [{type: 9p, source: v, destination: /x}]": {"/x": "9p v"},
    "mounts: [{type: bind, source: v, destination: /x, options: [rbind]}]": {
        "/x": "bind /containers/volumes/v/merged rbind"},
    "mounts: [{type: none, source: r, destination: /x, options: [bind, ro]}]": {
        "/x": "none /containers/volumes/r/merged bind,ro"},
    # of two at one place, binds win over tmpfs, mounts over binds, later ones over earlier ones
    "{tmpfs: [/x], binds: ['/a:/x']}": {"/x": "bind /a rw,rbind,rshared"},
    "{binds: ['/a:/x', '/b:/x'], mounts: [{type: tmpfs, destination: /x}]}": {
        "/x": "tmpfs tmpfs"},
    "{binds: ['/a:/x', '/b:/x']}": {"/x": "bind /b rw,rbind,rshared"},
}  # fmt: skip


@pytest.mark.parametrize("text", MOUNTS)
def test_mounts(text):
    assert mounts(text) == {**DEFAULTS, **MOUNTS[text]}
    assert list(mounts(text)) == sorted({**DEFAULTS, **MOUNTS[text]})


def test_id_mapped_mounts():
    row = "[{hostID: 1, containerID: 2, size: 3}]"
    text = f"mounts: [{{type: tmpfs, destination: /a, uidmappings: {row}, gidmappings: []}}]"
    assert made(text).config["mounts"][0] == {
        "destination": "/a",
        "type": "tmpfs",
        "source": "tmpfs",
        "uidMappings": [{"containerID": 2, "hostID": 1, "size": 3}],
    }


def test_volumes_and_ids_that_a_label_invents():
    with pytest.raises(Error) as caught:
        made("{binds: ['w:/x', 'r:/y'], mounts: [{type: bind, source: u, destination: /z}]}")
    assert [error.message for error in caught.value.all()] == [
        'no volume is called "w"',
        'volume "r" is read-only and cannot be mounted writable',
        'no volume is called "u"',
    ]
    with pytest.raises(Error) as caught:
        made("uid: nobody")
    assert (caught.value.code, caught.value.message) == (
        "LK0211",
        'no container is called "nobody"',
    )


def test_user():
    assert process("{uid: web, gid: 7, additionalGids: [web, 0, root]}")["user"] == {
        "uid": 104,
        "gid": 7,
        "additionalGids": [104, 0, 0],
    }
    assert process("{uid: root, gid: '', additionalGids: []}")["user"] == {"uid": 0, "gid": 0}


def test_the_rest_of_the_process():
    text = "{rlimits: ['nofile,1,unlimited'], noNewPrivileges: true, oomScoreAdj: 0}"
    found = process(text)
    assert found["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": 2**64 - 1, "soft": 1}]
    assert list(found)[-3:] == ["rlimits", "noNewPrivileges", "oomScoreAdj"]
    assert found["oomScoreAdj"] == 0
    assert "noNewPrivileges" not in process("noNewPrivileges: false")


def test_devices():
    found = linux(
        'devices: [{path: /dev/x, type: c, major: 5, minor: 1, mode: "0620"},'
        "{path: all, type: b, major: 8}]"
    )
    assert found["devices"] == [
        {"path": "/dev/x", "type": "c", "major": 5, "minor": 1, "fileMode": 0o620}
    ]
    assert found["resources"]["devices"] == [
        {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
        {"allow": True, "type": "b", "access": "rwm"},
    ]
    assert list(found) == ["resources", "namespaces", "devices"]


RESOURCES = {
    "{}": {},
    "{memory: {}}": {"memory": {}},
    "{memory: {limit: -1, swappiness: 0, disableOOMKiller: false}}": {
        "memory": {"limit": -1, "swappiness": 0, "disableOOMKiller": False}},
    "{cpu: {shares: 2, cpus: '', mems: '0-1', realtimePeriod: 7}}": {
        "cpu": {"shares": 2, "realtimePeriod": 7, "mems": "0-1"}},
    "{pids: {limit: 0}}": {"pids": {"limit": 0}},
    "{devices: [{allow: true}, {type: c, major: 1, minor: 0, access: r}]}": {
        "devices": [{"allow": True},
                    {"allow": False, "type": "c", "major": 1, "minor": 0, "access": "r"}]},
    "{blockio: {throttleWriteBpsDevice: [{major: 8, minor: 0, rate: 9}],"
    " throttleReadIOPSDevice: [], throttleWriteIOPSDevice: [{major: 1, minor: 2, rate: 3}],"
    " weightDevice: [{major: 8, minor: 0}]}}": {
        "blockIO": {"weightDevice": [{"major": 8, "minor": 0}],
                    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
                    "throttleWriteIOPSDevice": [{"major": 1, "minor": 2, "rate": 3}]}},
    "{hugepageLimits: [{pageSize: 2, limit: 4}, {pageSize: 1GB, limit: 0}]}": {
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4}, {"pageSize": "1GB", "limit": 0}]},
    "{network: {classID: 0, priorities: [{name: eth0, priority: 0}]}}": {
        "network": {"classID": 0, "priorities": [{"name": "eth0", "priority": 0}]}},
}  # fmt: skip


@pytest.mark.parametrize("text", RESOURCES)
def test_resources(text):
    assert linux(f"resources: {text}")["resources"] == NO_DEVICES | RESOURCES[text]


def test_maps_are_sorted():
    found = made('{sysctl: {b: "1", a: "2"}, annotations: {z: "1", y: "2"}}').config
    assert list(found["linux"]["sysctl"]) == ["a", "b"]
    assert list(found["annotations"]) == ["y", "z"]


def test_runtime_of_a_writable_container():
    assert made().runtime == {
        "cgroups": [],
        "mounts": [
            {"destination": f"/{BUNDLE}/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": f"/{BUNDLE}/tmp", "options": ["remount", "private"]},
            {
                "destination": f"/{BUNDLE}/rootfs",
                "type": "overlay",
                "source": "overlay",
                "options": [
                    f"lowerdir=/{BUNDLE}/lower",
                    f"upperdir=/{BUNDLE}/tmp/upper",
                    f"workdir=/{BUNDLE}/tmp/work",
                ],
            },
        ],
        "mkdir": [],
        "interfaces": [],
        "bindNS": dict.fromkeys(("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"), ""),
        "namespace": "",
    }


def test_runtime_of_a_read_only_container_with_another_ones_files():
    found = made("readonly: true", lower="containers/onboot/000-a/lower").runtime["mounts"]
    assert found == [
        {
            "destination": f"/{BUNDLE}/rootfs",
            "source": "/containers/onboot/000-a/lower",
            "options": ["bind"],
        }
    ]


def test_runtime_section():
    found = made(
        "runtime: {cgroups: [c], mkdir: [m], namespace: n, bindNS: {net: /n},"
        " interfaces: [{name: a}, {name: b, add: veth, peer: p, createInRoot: true}],"
        " mounts: [{type: bind, source: v, destination: x}]}"
    ).runtime
    assert found["mounts"][3:] == [{"destination": "x", "type": "bind", "source": "v"}]
    assert found["interfaces"] == [
        {"name": "a", "createInRoot": False},
        {"name": "b", "add": "veth", "peer": "p", "createInRoot": True},
    ]
    assert found["bindNS"]["net"] == "/n"
    assert (found["cgroups"], found["mkdir"], found["namespace"]) == (["c"], ["m"], "n")


def test_json_as_go_writes_it():
    value = {"a": '<&>\u2028ü\x7f"\\\n\b', "b": [], "c": {}, "d": [1, True, None]}
    data = runtime.encode_go_json(value)
    assert (
        data
        == (
            '{\n    "a": "\\u003c\\u0026\\u003e\\u2028ü\x7f\\"\\\\\\n\\b",\n    "b": [],\n'
            '    "c": {},\n    "d": [\n        1,\n        true,\n        null\n    ]\n}'
        ).encode()
    )
    assert json.loads(data) == value
    assert json.loads(made().config_json) == made().config
    assert json.loads(made().runtime_json) == made().runtime


def test_ids():
    spec = load.parse(
        "onboot: [{name: a, image: x}, {name: b, image: x}]\n"
        "onshutdown: [{name: c, image: x}]\n"
        "services: [{name: d, image: x}, {name: a, image: x}]\n"
    )
    table = ids.id_table(spec)
    assert table == {"a": 104, "b": 101, "c": 102, "d": 103}
    for value, number in ((None, 0), ("", 0), ("root", 0), (0, 0), (7, 7), ("a", 104)):
        assert ids.numeric(value, table) == number
    with pytest.raises(Error) as caught:
        ids.numeric("e", table)
    assert caught.value.code == "LK0211"


def test_a_container_called_root_is_not_the_root_user():
    spec = load.parse("services: [{name: root, image: x, uid: root}]\n")
    assert ids.numeric("root", ids.id_table(spec)) == 0
