"""What the strict profile makes of a container's settings, and how each key widens it."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import runtime
from linuxkit.build.sandbox import profile, ranges, record, strict
from linuxkit.oci.model import ImageConfig, Platform
from linuxkit.spec import labels, load
from linuxkit.spec.model import Volume

FIRST = 1 << 20
IMAGE = ImageConfig(Platform("linux", "amd64"), entrypoint=("/app",), cmd=("x",))


def confined(text="", label="", **options):
    spec = load.parse(
        f"profile: strict\nservices: [{{name: web, image: x{', ' if text else ''}{text}}}]\n"
        "volumes: [{name: data}]\n"
    )
    entry = spec.services[0]
    return profile.confine(
        entry, profile.of(entry, spec), {labels.LABEL: label} if label else {},
        arch="amd64", first_id=FIRST,
        where=lambda path: spec.where(("services", 0, *path)), **options,
    )  # fmt: skip


def config(text="", label=""):
    made = confined(text, label)
    return runtime.container_config(
        made.settings, IMAGE, ids={}, volumes={"data": Volume(name="data")},
        bundle="containers/services/web", lower="containers/services/web/rootfs",
        sandbox=made.sandbox,
    ).config  # fmt: skip


def mounts(text="", label=""):
    return {m["destination"]: m for m in config(text, label)["mounts"]}


def options(text, destination):
    return mounts(text)[destination]["options"]


def test_nothing_is_allowed_by_default():
    made = config()
    process, linux = made["process"], made["linux"]
    assert process["capabilities"] == {}
    assert process["noNewPrivileges"] is True
    assert process["oomScoreAdj"] == 0
    assert process["args"] == ["/dev/.confine/confine", "/dev/.confine/record", "/app", "x"]
    assert {r["type"]: (r["soft"], r["hard"]) for r in process["rlimits"]} == {
        "RLIMIT_CORE": (0, 0), "RLIMIT_MEMLOCK": (65536, 65536), "RLIMIT_NOFILE": (1024, 1024),
    }  # fmt: skip
    assert made["root"] == {"path": "rootfs", "readonly": True}
    assert made["hostname"] == "web"
    kinds = {n["type"] for n in linux["namespaces"]}
    assert kinds == {"network", "ipc", "uts", "pid", "user", "mount", "cgroup"}
    assert not any("path" in n for n in linux["namespaces"])
    mapping = [{"containerID": 0, "hostID": FIRST, "size": 65536}]
    assert linux["uidMappings"] == linux["gidMappings"] == mapping
    assert linux["rootfsPropagation"] == "private"
    assert linux["resources"] == {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 128 << 20, "swap": 128 << 20},
        "cpu": {"quota": 100000, "period": 100000},
        "pids": {"limit": 64},
        "unified": {"memory.oom.group": "1"},
    }
    assert set(mounts()) == {
        "/dev", "/dev/pts", "/proc", "/dev/.confine/confine", "/dev/.confine/record",
    }  # fmt: skip
    assert {"hidepid=invisible", "subset=pid"} <= set(mounts()["/proc"]["options"])
    assert "ro" in mounts()["/dev"]["options"]


def test_the_record_says_what_a_runtime_cannot():
    found = confined().sandbox.record
    assert (found.landlock, found.writable, found.bind, found.connect) == ("enforce", (), (), ())
    assert not found.jit
    wide = "ports: {bind: [80, 443], connect: [any]}, jit: true, landlock: best-effort, rlimits: ['core,unlimited,unlimited'], tmpfs: [/tmp, '/x:ro'], binds: ['/var/a:/a:rw', '/etc/b:/b']"
    found = confined(wide).sandbox.record
    assert (found.landlock, found.writable) == ("best-effort", ("/a", "/tmp"))
    assert (found.bind, found.connect, found.jit) == ((80, 443), None, True)
    assert found.limits[0] == ("RLIMIT_CORE", 2**64 - 1, 2**64 - 1)
    assert ("RLIMIT_NOFILE", 1024, 1024) in found.limits
    assert record.decode(found.encode()) == found
    assert confined("landlock: off").sandbox.record.landlock == ""


WRITTEN = [
    ("net: host", "net"), ("ipc: host", "ipc"), ("uts: host", "uts"), ("pid: host", "pid"),
    ("userns: host", "userns"), ("capabilities: [CAP_CHOWN]", "capabilities"),
    ("binds: ['/a:/b:rw']", "binds"), ("seccomp: {allow: ['@setuid']}", "seccomp.allow"),
    ("seccomp: {families: [netlink]}", "seccomp.families"), ("ports: {bind: [80]}", "ports.bind"),
    ("jit: true", "jit"), ("landlock: 'off'", "landlock"), ("landlock: best-effort", "landlock"),
    ("rlimits: ['nofile,9,4096']", "rlimits"), ("rlimits: ['core,unlimited,unlimited']", "rlimits"),
    ("resources: {memory: {limit: 268435456}}", "resources.memory.limit"),
    ("resources: {cpu: {quota: 200000}}", "resources.cpu.quota"),
    ("resources: {pids: {limit: 65}}", "resources.pids.limit"), ("tmpfs: ['/t:exec']", "tmpfs"), ("maskedPaths: []", "maskedPaths"),
    ("oomScoreAdj: -5", "oomScoreAdj"), ("resources: {pids: {limit: -1}}", "resources.pids.limit"),
    ("mounts: [{type: proc, source: proc, destination: /proc}]", "mounts"),
    ("devices: [{path: /dev/fuse, type: c, major: 10, minor: 229, mode: '0600'}]", "devices"),
    ("{readonly: false, userns: host}"[1:-1], "readonly"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key"), WRITTEN)
def test_what_is_written_is_told(text, key):
    assert key in [each.key for each in confined(text).privileges]


def test_the_usual_is_no_privilege():
    text = "tmpfs: [/tmp], net: new, readonly: true, uid: 5, oomScoreAdj: 3, landlock: enforce, rlimits: ['nofile,1,9'], resources: {pids: {limit: 9}, memory: {limit: 4096}}"
    assert confined(text).privileges == ()


def test_shared_namespaces():
    linux = config("net: host, ipc: host, uts: host")["linux"]
    assert {n["type"] for n in linux["namespaces"]} == {"pid", "user", "mount", "cgroup"}
    assert "hostname" not in config("uts: host")
    shared = config("userns: host")["linux"]
    assert "uidMappings" not in shared
    assert confined("userns: host").sandbox.first_id == 0


def test_mounts_are_harmless_unless_said():
    assert options("tmpfs: [/t]", "/t") == ["nosuid", "nodev", "noexec", "size=16m", "nr_inodes=4096"]
    assert options("tmpfs: ['/t:exec,size=1g']", "/t") == ["exec", "size=1g", "nosuid", "nodev", "nr_inodes=4096"]
    assert options("binds: ['/a:/b']", "/b") == ["ro", "rprivate", "nosuid", "nodev", "noexec", "rbind"]
    assert options("binds: ['/a:/b:rw,exec,rslave']", "/b") == ["rw", "exec", "rslave", "nosuid", "nodev", "rbind"]
    assert options("mounts: [{type: bind, source: /a, destination: /b}]", "/b") == ["ro", "rprivate", "nosuid", "nodev", "noexec"]
    assert options("mounts: [{type: sysfs, source: sysfs, destination: /sys, options: [ro]}]", "/sys") == ["ro", "nosuid", "nodev", "noexec"]


def test_files_that_are_written_keep_their_owners_on_the_disk():
    written, read = mounts("binds: ['/var/a:/a:rw', '/etc/b:/b']")["/a"], mounts("binds: ['/var/a:/a:rw', '/etc/b:/b']")["/b"]
    assert written["uidMappings"] == [{"containerID": 0, "hostID": FIRST, "size": 65536}]
    assert "uidMappings" not in read
    assert "uidMappings" not in mounts("binds: ['/var/a:/a:rw'], userns: host")["/a"]


def test_limits_of_ones_own_win():
    text = "rlimits: ['nofile,10,20', 'nproc,1,2'], resources: {memory: {limit: 5000}, cpu: {shares: 2}, pids: {limit: 7}}"
    made = config(text)
    limits = {r["type"]: r["hard"] for r in made["process"]["rlimits"]}
    assert limits == {"RLIMIT_NOFILE": 20, "RLIMIT_NPROC": 2, "RLIMIT_CORE": 0, "RLIMIT_MEMLOCK": 65536}
    resources = made["linux"]["resources"]
    assert resources["memory"] == {"limit": 5000, "swap": 5000}
    assert resources["cpu"] == {"shares": 2, "quota": 100000, "period": 100000}
    assert resources["pids"] == {"limit": 7}


NEVER = {
    "capabilities: [all]": "all capabilities",
    "capabilities: [CAP_SYS_MODULE]": "CAP_SYS_MODULE",
    "capabilities: [CAP_SYS_RAWIO]": "CAP_SYS_RAWIO",
    "capabilities: [CAP_BPF, CAP_SYS_ADMIN]": "CAP_BPF with CAP_SYS_ADMIN",
    "pid: host, capabilities: [CAP_SYS_PTRACE]": "CAP_SYS_PTRACE with",
    "noNewPrivileges: false": "noNewPrivileges",
    "rootfsPropagation: rshared": "a shared root",
    "devices: [{path: all, type: c}]": "all devices",
    "resources: {devices: [{allow: true}]}": "a rule for all devices",
    "binds: ['/:/host:rw']": "/ to write to",
    "binds: ['/proc/sys:/x:rw']": "/proc/sys to write to",
    "binds: ['/sys:/sys:rw']": "/sys to write to",
    "binds: ['/dev:/dev:rw']": "/dev to write to",
    "binds: ['/usr:/u:rw']": "/usr to write to",
    "binds: ['//run/./:/r:rw']": "/run to write to",
    "binds: ['/run/docker.sock:/run/docker.sock']": "docker.sock",
    "mounts: [{type: bind, source: /run/containerd/containerd.sock, destination: /c}]": "containerd.sock",
    "readonly: false": "a writable root",
    "binds: ['data:/d:rw']": "a volume to write to",
    "net: host, capabilities: [CAP_NET_ADMIN]": "CAP_NET_ADMIN with `net: host`",
    "uidMappings: [{hostID: 0, containerID: 0, size: 1}]": "mappings of its own",
}


@pytest.mark.parametrize("text", NEVER)
def test_what_nobody_may_have(text):
    with pytest.raises(Error) as caught:
        confined(text)
    errors = caught.value.all()
    assert [error.code for error in errors] == ["LK0754"]
    assert NEVER[text] in str(errors[0])
    assert errors[0].where.line == 2


@pytest.mark.parametrize(
    "text",
    ["binds: ['/:/host']", "binds: ['/run/app:/run/app:rw']", "binds: ['/var:/var:rw']",
     "net: host, userns: host, capabilities: [CAP_NET_ADMIN]", "binds: ['data:/d']",
     "userns: host, binds: ['data:/d:rw']"],
)  # fmt: skip
def test_what_the_yaml_may_grant(text):
    assert confined(text).privileges


LABEL = "{net: host, capabilities: [CAP_CHOWN], binds: ['/run/x:/etc'], ports: {bind: [80]}, uid: 7, readonly: true}"


def test_a_label_asks_and_the_yaml_grants():
    with pytest.raises(Error) as caught:
        confined("", LABEL)
    errors = caught.value.all()
    assert {error.code for error in errors} == {"LK0753"}
    hints = [error.hint for error in errors]
    for line in ("`capabilities: [CAP_CHOWN]`", "`net: host`", '`binds: ["/run/x:/etc:rw"]`', "`ports: {bind: [80]}`"):
        assert any(f"grant it with {line}" in hint for hint in hints), (line, hints)
    granted = confined("net: host, capabilities: [CAP_CHOWN], binds: ['/run/x:/etc:rw'], ports: {bind: [80]}", LABEL)
    by_label = confined("grant: label", LABEL)
    assert granted.settings == by_label.settings
    assert granted.settings.uid == 7  # harmless, and so the label's without a word
    refused = confined("net: new, capabilities: [none], binds: [], ports: {bind: []}", LABEL)
    assert refused.privileges == ()


def test_a_label_cannot_ask_for_what_is_never_granted():
    with pytest.raises(Error) as caught:
        confined("grant: label", "{capabilities: [all]}")
    assert [e.code for e in caught.value.all()] == ["LK0754"]


def test_a_label_with_wishes_that_nobody_grants_is_one_error_that_leads_out():
    label = "{net: host, pid: host, capabilities: [all], binds: ['/:/host:rw', '/run/x:/x'], uid: 7}"
    with pytest.raises(Error) as caught:
        confined("", label)
    (error,) = caught.value.all()
    assert error.code == "LK0754"
    assert error.detail.splitlines() == [
        "all capabilities: name those that it needs", "/ to write to: the whole system can be changed through it",
    ]
    assert error.hint == (
        "write `profile: compat` at this container, or refuse it with `capabilities: []`, `binds: []`"
    )
    with pytest.raises(Error) as caught:  # what is left can be granted, or refused as the hint says
        confined("capabilities: [], binds: []", label)
    assert {e.code for e in caught.value.all()} == {"LK0753"}
    assert any("refuse it with `pid: new`" in e.hint for e in caught.value.all())
    assert confined("capabilities: [], binds: [], net: new, pid: new", label).privileges == ()


def test_a_mistake_of_the_yaml_is_told_beside_the_labels():
    with pytest.raises(Error) as caught:
        confined("devices: [{path: all, type: c}]", "{capabilities: [all]}")
    assert [e.code for e in caught.value.all()] == ["LK0754"] * 2


def test_words_of_the_strict_profile_need_it():
    spec = load.parse("services: [{name: web, image: x, jit: true, ports: {bind: [80]}}]\n")
    with pytest.raises(Error) as caught:
        profile.confine(spec.services[0], "compat", {}, arch="amd64", first_id=FIRST, where=lambda path: spec.where(("services", 0, *path)))
    assert [error.code for error in caught.value.all()] == ["LK0208"] * 2


def test_a_containers_own_profile_wins():
    spec = load.parse("profile: strict\nservices: [{name: a, image: x, profile: compat}, {name: b, image: x}]\n")
    assert [profile.of(entry, spec) for entry in spec.services] == ["compat", "strict"]


def test_ranges_are_disjoint_and_stay():
    names = [f"services/s{number}" for number in range(400)]
    found = ranges.ranges(names)
    assert len(set(found.values())) == 400
    assert all(first % 65536 == 0 and first >= 1 << 20 for first in found.values())
    assert max(found.values()) + 65536 <= 1 << 31
    fewer = ranges.ranges(names[:1] + names[2:])
    assert sum(fewer[name] != found[name] for name in fewer) <= 2


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"linuxkit-confine\x001\x00", b"linuxkit-confine\x001\x00filter\x002\x00" + bytes(8),
     b"linuxkit-confine\x002\x00filter\x000\x00", b"linuxkit-confine\x001\x00odd\x00x\x00filter\x000\x00",
     b"linuxkit-confine\x001\x00bind\x00x\x00filter\x000\x00",
     b"linuxkit-confine\x001\x00limit\x0099 1 1\x00filter\x000\x00",
     b"linuxkit-confine\x001\x00limit\x007 1\x00filter\x000\x00", bytes(70000)],
)  # fmt: skip
def test_records_that_are_none(data):
    with pytest.raises(Error) as caught:
        record.decode(data)
    assert caught.value.code == "LK0752"


def test_too_much_to_confine():
    with pytest.raises(Error) as caught:
        record.Record("enforce", tuple(f"/{n}" for n in range(65)), (), (), (), False, b"").encode()
    assert caught.value.code == "LK0751"


def test_the_helper_is_where_the_mounts_say():
    assert mounts()["/dev/.confine/confine"]["source"] == f"/{strict.HELPER}"
    assert mounts()["/dev/.confine/record"]["source"] == "/containers/services/web/confine.record"
