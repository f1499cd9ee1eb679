"""The exposure against systemd's own arithmetic, and what an audit tells."""

from __future__ import annotations

import json
import math
import re
import subprocess

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import runtime, secrets
from linuxkit.build.audit import exposure, posture, report, standards
from linuxkit.build.sandbox import profile
from linuxkit.build.supervision import notifying
from linuxkit.oci.model import ImageConfig, Platform
from linuxkit.spec import load
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.tools import need

IMAGE = ImageConfig(Platform("linux", "amd64"), entrypoint=("/app",))


def files(text, name="strict"):
    """config.json and the record of a container that is written so."""
    spec = load.parse(f"profile: {name}\nservices: [{{name: web, image: x{', ' if text else ''}{text}}}]\n")
    entry, folder = spec.services[0], "containers/services/web"
    made = profile.confine(entry, name, {}, arch="amd64", first_id=1 << 20, where=lambda _: None)
    settings = secrets.shown(notifying(made.settings, entry, ()), entry, folder)
    bundle = runtime.container_config(
        settings, IMAGE, ids={}, volumes={}, bundle=folder,
        lower="containers/services/web/rootfs", sandbox=made.sandbox,
    )  # fmt: skip
    return bundle.config_json, made.sandbox and made.sandbox.record.encode()


def rated(text="", name="strict"):
    return exposure.exposure(posture.read("services/web", *files(text, name), "amd64"))


def test_the_goals():
    assert rated().score <= 0.5
    assert rated("net: host, ports: {bind: [8080]}").score <= 1.0
    assert 5 < rated("", "compat").score < 8
    assert rated("capabilities: [all], pid: host, devices: [{path: all, type: c}], binds: ['/:/host']", "compat").score > 8.5


WORSE = [
    "net: host", "ipc: host", "userns: host", "capabilities: [CAP_NET_RAW]", "jit: true",
    "seccomp: {allow: ['@debug']}", "seccomp: {families: [netlink]}", "pid: host",
    "mounts: [{type: proc, source: proc, destination: /proc}]", "binds: ['/tmp:/t']",
    "readonly: false, userns: host", "seccomp: {allow: [personality]}", "additionalGids: [5]",
    "devices: [{path: /dev/fuse, type: c, major: 10, minor: 229, mode: '0600'}]",
    "seccomp: {allow: ['@namespaces']}", "seccomp: {allow: [chmod, fchmod]}", "uts: host",
]  # fmt: skip


@pytest.mark.parametrize("text", WORSE)
def test_every_relaxation_costs(text):
    before, after = rated(), rated(text)
    assert after.score >= before.score
    assert {f.name for f in after.findings} > {f.name for f in before.findings}


# Units that allow what the containers above allow, in systemd's words.
CAPABILITIES = "CapabilityBoundingSet="
STRICT_UNIT = f"""
DynamicUser=yes
{CAPABILITIES}
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHome=yes
ProtectHostname=yes
ProtectSystem=strict
RootDirectory=/srv
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
DevicePolicy=closed
"""
UNITS = [
    ("", "strict", STRICT_UNIT + "PrivateNetwork=yes\nIPAddressDeny=any\n"),
    ("net: host, ports: {bind: [8080]}", "strict", STRICT_UNIT + "IPAddressDeny=any\nIPAddressAllow=10.0.0.0/8\n"),
    ("net: host, ports: {bind: [any], connect: [any]}", "strict", STRICT_UNIT),
    ("capabilities: [all], pid: host, net: host, devices: [{path: all, type: c}], binds: ['/:/host', '/tmp:/tmp', '/sys:/sys:rw', '/root:/root'], uts: host, ipc: host",
     "compat", "RootDirectory=/srv\nPrivateMounts=yes\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "unit"), UNITS)
def test_the_score_is_systemds_for_a_unit_that_allows_the_same(text, name, unit, tmp_path):
    analyze = need("systemd-analyze")
    path = tmp_path / "web.service"
    path.write_text(f"[Service]\nExecStart=/bin/true\n{unit}")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = float(re.search(r"Overall exposure level for web.service: ([0-9.]+)", done.stdout)[1])
    assert rated(text, name).score == pytest.approx(theirs, abs=0.11)


def test_weights_are_systemds(tmp_path):
    """Of a unit without any protection systemd tells what each check adds, rounded up."""
    analyze = need("systemd-analyze")
    version = subprocess.run([analyze, "--version"], capture_output=True, text=True, check=True)
    path = tmp_path / "open.service"
    path.write_text("[Service]\nExecStart=/bin/true\n")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--json=short", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = {row["name"]: row["exposure"] for row in json.loads(done.stdout)}
    checks = {check.name: check.weight for check in exposure.CHECKS}
    assert len(checks) == len(exposure.CHECKS) == 81
    if not version.stdout.startswith("systemd 252 "):  # the weights are that one's
        assert len(checks.keys() & theirs.keys()) > 70
        return
    assert checks.keys() == theirs.keys()
    total = sum(checks.values()) - checks["SupplementaryGroups="] - checks["RemoveIPC="]
    for name, told in theirs.items():
        if told is not None:
            assert math.ceil(100 * checks[name] / total) / 10 == pytest.approx(float(told)), name


def test_a_strict_container_follows_every_row_but_the_ones_about_its_network():
    shut = posture.read("services/web", *files(""), "amd64")
    found = standards.verdicts([shut])
    assert [v.id for v in found if v.result == "fail"] == []
    assert sum(v.result == "pass" for v in found) == len(standards.CIS) + len(standards.NIST)
    wide = posture.read("services/web", *files("net: host, ports: {bind: [80]}"), "amd64")
    failing = [(v.standard, v.id) for v in standards.verdicts([wide]) if v.result == "fail"]
    assert failing == [("CIS", "5.8"), ("CIS", "5.10")]


@pytest.mark.parametrize("text", ["ready: {notify: true}", "secrets: [token]", "clocks: {boottime: 5}"])
@pytest.mark.parametrize("name", ["strict", "compat"])
def test_what_the_build_adds_by_itself_breaks_no_row(text, name):
    without, found = (
        [v[:4] for v in standards.verdicts([posture.read("services/web", *files(t, name), "amd64")])]
        for t in ("", text)
    )
    assert found == without


BREAKS = [
    ("userns: host", "4.1"), ("landlock: 'off'", "5.2"), ("capabilities: [CAP_SYS_ADMIN]", "5.4"),
    ("net: host", "5.10"), ("resources: {memory: {limit: -1}}", "5.11"),
    ("resources: {cpu: {quota: -1}}", "5.12"), ("readonly: false, userns: host", "5.13"),
    ("pid: host", "5.16"), ("ipc: host", "5.17"), ("uts: host", "5.21"),
    ("devices: [{path: /dev/fuse, type: c, major: 10, minor: 229, mode: '0600'}]", "5.18"),
    ("binds: ['/a:/b:rshared']", "5.20"), ("resources: {pids: {limit: -1}}", "5.29"),
    ("userns: host", "5.31"), ("command: [/usr/sbin/sshd]", "5.7"),
    ("net: host, ports: {bind: [any]}", "5.9"), ("net: host, ports: {bind: [80]}", "5.8"),
    ("binds: ['/etc/x:/x:rw']", "5.6"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "row"), BREAKS)
def test_a_row_can_fail(text, row):
    found = standards.verdicts([posture.read("services/web", *files(text), "amd64")])
    (verdict,) = [v for v in found if (v.standard, v.id) == ("CIS", row)]
    assert (verdict.result, verdict.detail) == ("fail", "services/web")


@pytest.mark.parametrize("row", [row.id for row in standards.CIS])
def test_every_row_fails_for_something(row):
    text = "capabilities: [all], net: host, pid: host, binds: ['/:/host', '/run/docker.sock:/d', '/x:/y:rshared'], devices: [{path: all, type: c}], command: [/sbin/getty]"
    opened = posture.read("services/web", *files(text, "compat"), "amd64")
    found = {v.id: v.result for v in standards.verdicts([opened]) if v.standard == "CIS"}
    assert found[row] == "fail"


def image(**content):
    config, record = files("net: host")
    tree = {"containers/services/web/config.json": config, "containers/services/web/confine.record": record}
    return [Entry(path, Kind.FILE, content=Bytes(data)) for path, data in {**tree, **content}.items()]


def test_an_image_says_what_its_yaml_did():
    found = report.of_image(image(), "amd64")
    (web,) = found.containers
    assert (web.posture.name, web.profile, web.held) == ("services/web", "strict", ())
    assert web.exposure.score == found.worst == rated("net: host").score
    assert web.posture.command == ("/app",)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", "LK0756"), (b"[" * 100000, "LK0756"), (b" " * (1 << 20) + b"{}", "LK0756")],
)
def test_images_that_make_no_sense(content, code):
    with pytest.raises(Error) as caught:
        report.of_image(image(**{"containers/services/web/config.json": content}), "amd64")
    assert caught.value.code == code


@pytest.mark.parametrize("record", [b"", b"x", bytes(100)])
def test_a_damaged_record_is_no_confinement(record):
    with pytest.raises(Error) as caught:
        report.of_image(image(**{"containers/services/web/confine.record": record}), "amd64")
    assert caught.value.code == "LK0752"


@pytest.mark.parametrize("config", [b"{}", b"[]", b"null", b'{"process": 3, "linux": {"resources": []}}'])
def test_what_is_missing_counts_as_open(config):
    (web,) = report.of_image(
        [Entry("containers/services/web/config.json", Kind.FILE, content=Bytes(config))], "amd64"
    ).containers
    assert web.posture.root
    assert web.exposure.score > 5


def test_no_containers():
    with pytest.raises(Error) as caught:
        report.of_image([], "amd64")
    assert caught.value.code == "LK0757"
